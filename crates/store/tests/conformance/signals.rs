//! What keys have done before: kept whole, and given back to whoever asks for the key.

use claviger_core::{
    id::KeyId,
    signal::{Habits, Network, Sighting},
};

use crate::{
    bed::Bed,
    support::{NOW, default_org, id, key, later, mint},
};

/// The habits of a key that called from so many networks.
fn habits(of: KeyId, networks: u8) -> String {
    let mut habits = Habits::begin(NOW);
    for n in 0..networks {
        let network = Network::of(std::net::IpAddr::from([10, 0, n, 1]));
        habits.meet(Sighting::Network(network), (of, later(u64::from(n))));
    }
    habits.to_json()
}

pub(crate) async fn habits_of_a_key_are_kept_and_replaced(bed: &Bed) {
    let db = bed.open().await;
    let one = mint(&db, key(default_org(&db).await, "one")).await.id;
    // Of a key that is gone it is kept as well: nobody asks for it.
    let gone: KeyId = id();
    let ask = [one, gone, id()];
    let none = db.habits_of_keys(&ask).await.expect("an answer");
    assert_eq!(none, []);
    let (few, many) = (habits(one, 2), habits(one, 255));
    let both = vec![(one, few.clone()), (gone, few.clone())];
    db.keep_habits(both.clone()).await.expect("kept");
    let db = bed.reopen(db).await;
    let mut kept = db.habits_of_keys(&ask).await.expect("an answer");
    let mut expected = both;
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);
    db.keep_habits(vec![(one, many.clone())])
        .await
        .expect("kept");
    let kept = db.habits_of_keys(&[one]).await.expect("an answer");
    assert_eq!(kept, [(one, many)]);
    assert_eq!(db.habits_of_keys(&[]).await.expect("an answer"), []);
    db.keep_habits(vec![]).await.expect("nothing is kept");
    let kept = db.habits_of_keys(&[gone]).await.expect("an answer");
    assert_eq!(kept, [(gone, few)]);
}
