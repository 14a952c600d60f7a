//! Many keys at once: by id, by tag, and what each did day by day.

use std::sync::Arc;

use claviger_core::{id::KeyId, time::Timestamp};
use claviger_store::{DayUse, HOUR, NewKey, Span, UsageBatch, UsageCell, hour_of};

use crate::{
    bed::Bed,
    support::{NOW, default_org, id, key, mint, other_org},
};

fn tagged(mut new: NewKey, name: &str, value: &str) -> NewKey {
    new.key.metadata = [(name.to_owned(), value.to_owned())].into();
    new
}

pub(crate) async fn keys_are_found_by_id_and_by_tag(bed: &Bed) {
    let db = bed.open().await;
    let (org, strangers) = (default_org(&db).await, other_org(&db).await);
    let one = mint(&db, tagged(key(org, "one"), "team", "data")).await;
    let two = mint(&db, tagged(key(org, "two"), "team", "data")).await;
    let other = mint(&db, tagged(key(org, "other"), "team", "web")).await;
    let plain = mint(&db, key(org, "plain")).await;
    let foreign = mint(&db, tagged(key(strangers, "foreign"), "team", "data")).await;
    let mut expected = vec![one.id, plain.id];
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let asked = [plain.id, foreign.id, id(), one.id];
    let found = db.find_keys(org, &asked).await.expect("keys");
    let found: Vec<KeyId> = found.iter().map(|key| key.id).collect();
    assert_eq!(found, expected);
    assert!(db.find_keys(org, &[]).await.expect("nothing").is_empty());

    let of_data = |limit| db.keys_tagged(org, ("team", Some("data")), limit);
    let mut expected = vec![one.id, two.id];
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(of_data(10).await.expect("keys"), expected);
    expected.truncate(1);
    assert_eq!(of_data(1).await.expect("keys"), expected);
    let of_web = db.keys_tagged(org, ("team", Some("web")), 10).await;
    assert_eq!(of_web.expect("keys"), [other.id]);
    let mut expected = vec![one.id, two.id, other.id];
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let of_any = db.keys_tagged(org, ("team", None), 10).await;
    assert_eq!(of_any.expect("keys"), expected);
    for none in [
        ("team", Some("dat")),
        ("data", Some("team")),
        ("te\"am", Some("data")),
        ("data", None),
    ] {
        let found = db.keys_tagged(org, none, 10).await.expect("an answer");
        assert!(found.is_empty(), "{none:?}");
    }
}

pub(crate) async fn calls_of_keys_are_told_day_by_day(bed: &Bed) {
    let db = bed.open().await;
    let (org, strangers) = (default_org(&db).await, other_org(&db).await);
    let mine = mint(&db, key(org, "mine")).await;
    let idle = mint(&db, key(org, "idle")).await;
    let foreign = mint(&db, key(strangers, "foreign")).await;
    let day = Timestamp::from_millis(NOW.millis() - NOW.millis() % 86_400_000);
    let cell = |key, hours: u32, route| UsageCell {
        key,
        hour: hour_of(day.plus(HOUR * hours)),
        method: "GET",
        route,
        workspace: None,
        calls: 2,
        refusals: 1,
    };
    let cells = vec![
        cell(mine.id, 0, "/a"),
        cell(mine.id, 23, "/b"),
        cell(mine.id, 24, "/a"),
        cell(mine.id, 48, "/a"),
        cell(foreign.id, 1, "/a"),
    ];
    let batch = UsageBatch {
        cells,
        addresses: Vec::new(),
    };
    db.add_usage(Arc::new(batch)).await.expect("added");
    let span = Span {
        since: day,
        until: day.plus(HOUR * 48),
    };
    let asked = [mine.id, idle.id, foreign.id];
    let use_of = |days: u32, calls, refusals| DayUse {
        key: mine.id,
        day: day.plus(HOUR * 24 * days),
        calls,
        refusals,
    };
    assert_eq!(
        db.usage_by_day(org, &asked, span).await.expect("days"),
        [use_of(0, 4, 2), use_of(1, 2, 1)]
    );
}
