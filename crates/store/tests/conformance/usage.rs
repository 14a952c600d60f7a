//! What keys were used for: counts that are added up, asked for, and forgotten.

use std::{net::IpAddr, sync::Arc, time::Duration};

use claviger_core::{
    grant::{Grant, Workspaces},
    id::{KeyId, OrgId, WorkspaceId},
    key::OrgKey,
    time::Timestamp,
};
use claviger_store::{
    ADDRESSES_PER_KEY_MAX, AddressUse, HOUR, KeyCalls, RouteUse, Span, Step, StepUse, UsageBatch,
    UsageCell, hour_of,
};

use crate::{
    bed::{Bed, Db},
    support::{NOW, acting, beget, child, default_org, end, id, key, later, mint, other_org},
    witness::{done, revoke_now},
};

/// So many hours after the hour in which every test begins.
fn hour(count: u32) -> Timestamp {
    hour_of(NOW).plus(HOUR * count)
}

/// Every hour of these tests.
const ALWAYS: Span = Span {
    since: Timestamp::from_millis(0),
    until: Timestamp::MAX,
};

/// Calls of one key on the route of secrets.
fn cell(key: KeyId, hour: Timestamp, calls: u64) -> UsageCell {
    UsageCell {
        key,
        hour,
        method: "GET",
        route: "/workspaces/{id}/secrets",
        workspace: None,
        calls,
        refusals: 0,
    }
}

fn seen(address: &str, at: Timestamp, calls: u64) -> AddressUse {
    AddressUse {
        address: address.parse().expect("an address"),
        first_at: at,
        last_at: at,
        calls,
    }
}

async fn add(db: &Db, cells: Vec<UsageCell>, addresses: Vec<(KeyId, AddressUse)>) {
    let batch = UsageBatch { cells, addresses };
    db.add_usage(Arc::new(batch)).await.expect("added");
}

async fn used(db: &Db, org: OrgId, keys: &[KeyId], span: Span) -> Vec<RouteUse> {
    let used = db.usage_of_keys(org, keys, span, 100).await;
    used.expect("an answer")
}

async fn addresses(db: &Db, key: &OrgKey, since: Timestamp) -> Vec<AddressUse> {
    let found = db.addresses_of_keys(key.org, &[key.id], since, 1000).await;
    found.expect("an answer")
}

pub(crate) async fn counts_are_added_up_by_hour_route_and_workspace(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    let workspace: WorkspaceId = id();
    let named = |calls, refusals| UsageCell {
        workspace: Some(workspace),
        refusals,
        ..cell(key.id, hour(1), calls)
    };
    // Twice the same in one batch, and once more in another.
    let cells = vec![cell(key.id, hour(0), 2), named(1, 3), named(10, 0)];
    add(&db, cells, vec![]).await;
    add(&db, vec![named(100, 1), cell(key.id, hour(2), 5)], vec![]).await;
    let db = bed.reopen(db).await;
    let in_workspace = RouteUse {
        method: "GET".to_owned(),
        route: "/workspaces/{id}/secrets".to_owned(),
        workspace: Some(workspace),
        calls: 111,
        refusals: 4,
        last_hour: hour(1),
    };
    let elsewhere = RouteUse {
        workspace: None,
        calls: 7,
        refusals: 0,
        last_hour: hour(2),
        ..in_workspace.clone()
    };
    let found = used(&db, key.org, &[key.id], ALWAYS).await;
    assert_eq!(found, [in_workspace.clone(), elsewhere]);
    let most = db.usage_of_keys(key.org, &[key.id], ALWAYS, 1).await;
    assert_eq!(most.expect("an answer"), [in_workspace]);
    let by_hour = db.usage_by(key.org, key.id, ALWAYS, Step::Hour).await;
    let of = |at, calls, refusals, workspaces| StepUse {
        from: hour(at),
        calls,
        refusals,
        workspaces,
        endpoints: 1,
    };
    let expected = [of(0, 2, 0, 0), of(1, 111, 4, 1), of(2, 5, 0, 0)];
    assert_eq!(by_hour.expect("an answer"), expected);
    assert_eq!(db.usage_begins().await.expect("an answer"), Some(hour(0)));
}

pub(crate) async fn days_are_those_of_utc_and_count_each_thing_once(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    let workspace: WorkspaceId = id();
    let midnight = Timestamp::from_millis(86_400_000 * 20_000);
    let at = |hour: u32| midnight.plus(HOUR * hour);
    let named = |hour, method| UsageCell {
        method,
        workspace: Some(workspace),
        ..cell(key.id, at(hour), 1)
    };
    let cells = vec![
        named(0, "GET"),
        named(23, "GET"),
        named(23, "PUT"),
        cell(key.id, at(23), 5),
        named(24, "GET"),
    ];
    add(&db, cells, vec![]).await;
    let by_day = db.usage_by(key.org, key.id, ALWAYS, Step::Day).await;
    let of = |hour, calls, endpoints| StepUse {
        from: at(hour),
        calls,
        refusals: 0,
        workspaces: 1,
        endpoints,
    };
    assert_eq!(by_day.expect("an answer"), [of(0, 8, 2), of(24, 1, 1)]);
}

pub(crate) async fn span_begins_with_its_first_hour_and_ends_before_its_last_instant(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    let cells = (0..4).map(|at| cell(key.id, hour(at), 10_u64.pow(at)));
    add(&db, cells.collect(), vec![]).await;
    for (since, until, calls) in [
        (hour(1), hour(3), 110),
        (hour(1).plus(Duration::from_secs(1)), hour(3), 110),
        (hour(1), hour(3).plus(Duration::from_millis(1)), 1110),
        (hour(3), hour(3), 0),
    ] {
        let span = Span { since, until };
        let found = used(&db, key.org, &[key.id], span).await;
        assert_eq!(found.iter().map(|row| row.calls).sum::<u64>(), calls);
        let by_hour = db.usage_by(key.org, key.id, span, Step::Hour).await;
        let by_hour = by_hour.expect("an answer");
        assert_eq!(by_hour.iter().map(|row| row.calls).sum::<u64>(), calls);
    }
}

pub(crate) async fn counts_of_keys_of_another_org_are_not_read(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let key = mint(&db, key(org, "agent")).await;
    let address = (key.id, seen("192.0.2.1", NOW, 1));
    add(&db, vec![cell(key.id, hour(0), 1)], vec![address]).await;
    let keys = [key.id];
    assert_eq!(used(&db, other, &keys, ALWAYS).await, []);
    let zero = Timestamp::from_millis(0);
    let by_hour = db.usage_by(other, key.id, ALWAYS, Step::Hour).await;
    assert_eq!(by_hour.expect("an answer"), []);
    let found = db.addresses_of_keys(other, &keys, zero, 10).await;
    assert_eq!(found.expect("an answer"), []);
    let found = db.calls_of_keys(other, &keys, zero).await;
    assert_eq!(found.expect("an answer"), []);
    let found = db.routes_of_keys(other, &keys, zero).await;
    assert_eq!(found.expect("an answer"), []);
}

pub(crate) async fn calls_and_routes_are_those_of_each_key(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let one = mint(&db, key(org, "one")).await;
    let other = mint(&db, key(org, "other")).await;
    let idle = mint(&db, key(org, "idle")).await;
    let refused = UsageCell {
        route: "",
        calls: 0,
        refusals: 9,
        ..cell(other.id, hour(1), 0)
    };
    let cells = vec![
        cell(one.id, hour(0), 5),
        cell(one.id, hour(1), 2),
        cell(other.id, hour(1), 3),
        refused,
    ];
    add(&db, cells, vec![]).await;
    let keys = [one.id, other.id, idle.id];
    let calls = db.calls_of_keys(org, &keys, hour(1)).await;
    let of = |key, calls, refusals| KeyCalls {
        key,
        calls,
        refusals,
    };
    let expected = [of(one.id, 2, 0), of(other.id, 3, 9)];
    assert_eq!(calls.expect("an answer"), expected);
    let routes = db.routes_of_keys(org, &keys, hour(0)).await;
    let routes = routes.expect("an answer");
    let said: Vec<_> = routes.iter().map(|row| (row.key, row.calls)).collect();
    assert_eq!(said, [(one.id, 7), (other.id, 3)], "refusals use nothing");
    assert_eq!(used(&db, org, &keys, ALWAYS).await[0].calls, 10);
}

pub(crate) async fn addresses_keep_their_first_and_last_time(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    let at = |millis, calls| (key.id, seen("2001:db8::1", later(millis), calls));
    add(&db, vec![], vec![at(50, 1), at(20, 2)]).await;
    add(
        &db,
        vec![],
        vec![at(90, 4), (key.id, seen("192.0.2.1", later(30), 1))],
    )
    .await;
    add(&db, vec![], vec![at(40, 8)]).await;
    let whole = AddressUse {
        last_at: later(90),
        ..seen("2001:db8::1", later(20), 15)
    };
    let found = addresses(&db, &key, NOW).await;
    assert_eq!(found, [whole, seen("192.0.2.1", later(30), 1)]);
    assert_eq!(addresses(&db, &key, later(90)).await, [whole]);
    assert_eq!(addresses(&db, &key, later(91)).await, []);
}

pub(crate) async fn address_seen_longest_ago_gives_way(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = mint(&db, key(org, "agent")).await;
    let bystander = mint(&db, crate::support::key(org, "bystander")).await;
    let nth = |at: u32| {
        let address = IpAddr::from(u32::to_be_bytes(0x0a00_0000 + at));
        seen(&address.to_string(), later(u64::from(at)), 1)
    };
    add(&db, vec![], vec![(bystander.id, nth(0))]).await;
    let first: Vec<_> = (0..ADDRESSES_PER_KEY_MAX)
        .map(|at| (key.id, nth(at)))
        .collect();
    add(&db, vec![], first).await;
    let again = seen(&nth(0).address.to_string(), later(5000), 1);
    let more = vec![(key.id, again), (key.id, nth(6000)), (key.id, nth(6001))];
    add(&db, vec![], more).await;
    let found = addresses(&db, &key, NOW).await;
    assert_eq!(
        found.len(),
        usize::try_from(ADDRESSES_PER_KEY_MAX).expect("small")
    );
    let has = |at| found.iter().any(|kept| kept.address == nth(at).address);
    assert!(has(0) && has(6000) && has(6001) && has(3));
    assert!(!has(1) && !has(2), "they were seen longest ago");
    assert_eq!(addresses(&db, &bystander, NOW).await.len(), 1);
}

pub(crate) async fn descendants_are_the_living_of_every_generation(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let mut by_labels = child(&root);
    by_labels.key.grant = Grant {
        workspaces: Workspaces::Labels([("agent".to_owned(), "a".to_owned())].into()),
        ..Grant::admin()
    };
    let son = done(&db, org, |record| {
        db.mint_key(by_labels, acting(&root), record)
    })
    .await;
    let grandson = beget(&db, &son).await;
    let mut short = child(&root);
    short.key.expires_at = Some(later(10));
    let expired = done(&db, org, |record| db.mint_key(short, acting(&root), record)).await;
    let dead = beget(&db, &root).await;
    revoke_now(&db, org, dead.id, end(later(1))).await;
    mint(&db, key(org, "stranger")).await;
    let found = db.descendants_of_key(org, root.id, later(20), 10).await;
    let mut found = found.expect("an answer");
    found.sort_by_key(|one| one.id);
    let said: Vec<_> = found.iter().map(|d| (d.id, d.selects_by_labels)).collect();
    assert_eq!(said, [(son.id, true), (grandson.id, false)]);
    let few = db.descendants_of_key(org, root.id, later(20), 1).await;
    assert_eq!(few.expect("an answer").len(), 1);
    let other = other_org(&db).await;
    let none = db.descendants_of_key(other, root.id, NOW, 10).await;
    assert_eq!(none.expect("an answer"), []);
    let all = [root.id, son.id, grandson.id, expired.id, dead.id];
    let parents = db.parents_among(org, &all, later(20)).await;
    assert_eq!(parents.expect("an answer"), [root.id, son.id]);
}

pub(crate) async fn purge_forgets_what_is_old_a_bounded_part_at_a_time(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    let cells = (0..5).map(|at| cell(key.id, hour(at), 1)).collect();
    let addresses = (0..5).map(|at| (key.id, seen(&format!("192.0.2.{at}"), hour(at), 1)));
    add(&db, cells, addresses.collect()).await;
    let purge = |limit| db.purge_usage(hour(3), limit);
    assert_eq!(purge(2).await.expect("purged"), 4);
    assert_eq!(db.usage_begins().await.expect("an answer"), Some(hour(2)));
    assert_eq!(purge(2).await.expect("purged"), 2);
    assert_eq!(purge(2).await.expect("purged"), 0);
    let left = db.usage_by(key.org, key.id, ALWAYS, Step::Hour).await;
    let left: Vec<_> = left
        .expect("an answer")
        .iter()
        .map(|row| row.from)
        .collect();
    assert_eq!(left, [hour(3), hour(4)]);
    assert_eq!(self::addresses(&db, &key, NOW.minus(HOUR)).await.len(), 2);
}

pub(crate) async fn nothing_counted_is_nothing_answered(bed: &Bed) {
    let db = bed.open().await;
    let key = mint(&db, key(default_org(&db).await, "agent")).await;
    add(&db, vec![], vec![]).await;
    assert_eq!(used(&db, key.org, &[key.id], ALWAYS).await, []);
    assert_eq!(used(&db, key.org, &[], ALWAYS).await, []);
    assert_eq!(addresses(&db, &key, NOW).await, []);
    assert_eq!(db.usage_begins().await.expect("an answer"), None);
    assert_eq!(db.purge_usage(Timestamp::MAX, 10).await.expect("purged"), 0);
}
