//! What lies in workspaces, counted and named.

use claviger_store::{ContentCount, Contents};

use crate::{
    bed::Bed,
    support::{default_org, id, insert_channel, insert_workspace, other_org, put_secret},
};

pub(crate) async fn what_lies_in_workspaces_is_counted_and_named(bed: &Bed) {
    let db = bed.open().await;
    let (org, strangers) = (default_org(&db).await, other_org(&db).await);
    let full = insert_workspace(&db, org).await;
    let empty = insert_workspace(&db, org).await;
    let unasked = insert_workspace(&db, org).await;
    let foreign = insert_workspace(&db, strangers).await;
    for place in [&full, &unasked, &foreign] {
        for name in ["B", "A"] {
            put_secret(&db, place, name).await;
        }
        insert_channel(&db, place).await;
    }
    let asked = [full.id, empty.id, foreign.id, id()];
    let count = |workspace, channels, secrets| ContentCount {
        workspace,
        channels,
        secrets,
    };
    let counted = db.count_contents(org, &asked).await.expect("counts");
    assert_eq!(counted, [count(full.id, 1, 2), count(empty.id, 0, 0)]);
    let named = db.name_contents(org, &asked, 10).await.expect("names");
    let names: Vec<_> = named.secrets.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    let all = named.secrets.iter().chain(&named.channels);
    assert!(all.clone().all(|one| one.workspace == full.id));
    assert_eq!(named.channels.len(), 1);
    let cut = db.name_contents(org, &asked, 1).await.expect("names");
    assert_eq!((cut.secrets.len(), cut.channels.len()), (1, 1));
    let none = db.name_contents(org, &[], 10).await.expect("nothing");
    assert_eq!(none, Contents::default());
}
