//! Lists of keys: every filter, and every page.

use claviger_core::{
    grant::Workspaces,
    key::{KeyStatus, OrgKey},
    tier::Actor,
};
use claviger_store::{KeyFilter, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{NOBODY, NOW, beget, default_org, end, first, id, key, later, mint, other_org, walk},
    witness::{every_key, revoke_now, unseen},
};

async fn names(db: &Db, filter: KeyFilter) -> Vec<String> {
    let org = default_org(db).await;
    let keys = db
        .list_keys(org, filter, first(1000))
        .await
        .expect("the keys");
    keys.into_iter().map(|key| key.name).collect()
}

pub(crate) async fn status_filter_judges_at_its_instant(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let plain = key(org, "plain");
    let mut ends = key(org, "ends at 10");
    ends.key.expires_at = Some(later(10));
    let mut begins = key(org, "begins at 5");
    begins.key.grant.not_before = Some(later(5));
    begins.key.expires_at = Some(later(10));
    // Revoked comes before suspended, and suspended before expired.
    let mut suspended = key(org, "suspended");
    suspended.key.expires_at = Some(later(1));
    let mut revoked = key(org, "revoked");
    revoked.key.expires_at = Some(later(1));
    let (suspended_id, revoked_id) = (suspended.key.id, revoked.key.id);
    for new in [plain, ends, begins, suspended, revoked] {
        mint(&db, new).await;
    }
    revoke_now(&db, org, revoked_id, end(later(2))).await;
    let statement = format!(
        "update keys set suspended_at = 5, suspended_by = 'admin-token' where id in ('{suspended_id}', '{revoked_id}')"
    );
    let db = bed.patch(db, &statement).await;

    use KeyStatus::{Active, Expired, NotYetValid, Revoked, Suspended};
    let table: [(u64, &[KeyStatus], &[&str]); 14] = [
        (4, &[Active], &["ends at 10", "plain"]),
        (4, &[NotYetValid], &["begins at 5"]),
        (4, &[Expired], &[]),
        (5, &[Active], &["begins at 5", "ends at 10", "plain"]),
        (5, &[NotYetValid], &[]),
        (9, &[Expired], &[]),
        (10, &[Active], &["plain"]),
        (10, &[Expired], &["begins at 5", "ends at 10"]),
        (10, &[Suspended], &["suspended"]),
        (10, &[Revoked], &["revoked"]),
        (10, &[Active, Revoked], &["revoked", "plain"]),
        (0, &[Suspended, Expired], &["suspended"]),
        (
            4,
            KeyStatus::ALL,
            &["revoked", "suspended", "begins at 5", "ends at 10", "plain"],
        ),
        // Nothing asked for is nothing, not everything.
        (4, &[], &[]),
    ];
    for (at, statuses, expected) in table {
        let filter = KeyFilter {
            statuses: statuses.to_vec(),
            now: later(at),
            ..every_key()
        };
        assert_eq!(names(&db, filter).await, expected, "{statuses:?} at {at}");
    }
}

pub(crate) async fn text_filter_finds_parts_of_names_and_prefixes(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for name in [
        "Deploy Bot",
        "100%_sure",
        "100 per cent",
        "back\\slash",
        "o'neil",
        "Éclair",
        "x",
    ] {
        let mut new = key(org, name);
        if name == "x" {
            new.key.prefix = "mole_zZ9zZ9zZ".parse().expect("a prefix");
        }
        mint(&db, new).await;
    }
    let table: [(&str, &[&str]); 18] = [
        ("deploy", &["Deploy Bot"]),
        ("Y B", &["Deploy Bot"]),
        ("%", &["100%_sure"]),
        ("%_S", &["100%_sure"]),
        ("0_s", &[]),
        ("100%s", &[]),
        ("y_b", &[]),
        ("100", &["100 per cent", "100%_sure"]),
        ("\\", &["back\\slash"]),
        ("K\\S", &["back\\slash"]),
        ("\\%", &[]),
        ("O'N", &["o'neil"]),
        ("mole_zz9", &["x"]),
        ("9ZZ9", &["x"]),
        ("Éclair", &["Éclair"]),
        // Only ASCII case is ignored.
        ("éclair", &[]),
        ("CLAIR", &["Éclair"]),
        ("no such thing", &[]),
    ];
    for (text, expected) in table {
        let filter = KeyFilter {
            text: Some(text.to_owned()),
            ..every_key()
        };
        assert_eq!(names(&db, filter).await, expected, "{text}");
    }
    // The underscore of the prefix is found as what it is.
    let filter = KeyFilter {
        text: Some("LE_".to_owned()),
        ..every_key()
    };
    assert_eq!(names(&db, filter).await.len(), 7);
}

pub(crate) async fn creator_filter_wants_the_whole_label(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let parent = mint(&db, key(org, "parent")).await;
    beget(&db, &parent).await;
    let mut by_person = key(org, "by a person");
    by_person.key.minter.created_by = Actor::Session("user_1".into());
    mint(&db, by_person).await;
    let label = format!("org-token:{}", parent.prefix);
    let table: [(&str, &[&str]); 6] = [
        ("admin-token", &["parent"]),
        (&label, &["child"]),
        ("session:user_1", &["by a person"]),
        ("session:user%", &[]),
        ("SESSION:user_1", &[]),
        ("session:user", &[]),
    ];
    for (label, expected) in table {
        let filter = KeyFilter {
            created_by: Some(label.to_owned()),
            ..every_key()
        };
        assert_eq!(names(&db, filter).await, expected, "{label}");
    }
}

pub(crate) async fn workspace_filter_finds_grants_that_name_it_or_reach_all(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (one, two) = (id(), id());
    let labels = [("agent".to_owned(), one.to_string())];
    for (name, workspaces) in [
        ("all", Workspaces::All),
        ("one", Workspaces::Ids(vec![one])),
        ("two and one", Workspaces::Ids(vec![two, one])),
        ("two", Workspaces::Ids(vec![two])),
        ("none", Workspaces::Ids(Vec::new())),
        ("labels", Workspaces::Labels(labels.into())),
    ] {
        let mut new = key(org, name);
        new.key.grant.workspaces = workspaces;
        // Elsewhere in a grant or beside it, an id is not a binding.
        new.key.metadata = [("home".to_owned(), one.to_string())].into();
        new.key.grant.endpoints = vec![
            format!("GET /workspaces/{one}")
                .parse()
                .expect("an endpoint"),
        ];
        mint(&db, new).await;
    }
    let table = [
        (one, vec!["two and one", "one", "all"]),
        (two, vec!["two", "two and one", "all"]),
        (id(), vec!["all"]),
    ];
    for (workspace, expected) in table {
        let filter = KeyFilter {
            workspace: Some(workspace),
            ..every_key()
        };
        assert_eq!(names(&db, filter).await, expected, "{workspace}");
    }
}

pub(crate) async fn filters_hold_together(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let workspace = id();
    for (name, person, workspaces) in [
        ("bot a", "user_1", Workspaces::All),
        ("bot b", "user_2", Workspaces::All),
        ("other", "user_1", Workspaces::All),
        ("bot c", "user_1", Workspaces::Ids(Vec::new())),
    ] {
        let mut new = key(org, name);
        new.key.minter.created_by = Actor::Session(person.into());
        new.key.grant.workspaces = workspaces;
        mint(&db, new).await;
    }
    let filter = KeyFilter {
        statuses: vec![KeyStatus::Active],
        now: NOW,
        text: Some("BOT".to_owned()),
        created_by: Some("session:user_1".to_owned()),
        workspace: Some(workspace),
        expires_before: None,
    };
    assert_eq!(names(&db, filter).await, ["bot a"]);
}

pub(crate) async fn pages_walk_all_keys_once_newest_first(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let mut made = Vec::new();
    let mut news: Vec<_> = (0..250).map(|at| key(org, &format!("key {at}"))).collect();
    // The order is that of the ids, not that of arrival.
    news.sort_by_key(|new| new.key.name.clone());
    for new in news {
        made.push(new.key.id);
        mint_unseen(&db, new).await;
    }
    mint(&db, key(other, "of another org")).await;
    made.sort();
    made.reverse();
    for limit in [1000, 250, 60, 1] {
        let fetch = |page| db.list_keys(org, every_key(), page);
        let all = walk(limit, |key: &OrgKey| key.id, fetch).await;
        assert_eq!(
            all.iter().map(|key| key.id).collect::<Vec<_>>(),
            made,
            "{limit} at a time"
        );
    }
    let filter = KeyFilter {
        text: Some("key 1".to_owned()),
        ..every_key()
    };
    let fetch = |page| db.list_keys(org, filter.clone(), page);
    let some = walk(7, |key: &OrgKey| key.id, fetch).await;
    assert_eq!(some.len(), 111, "the filter and the pages hold together");
}

async fn mint_unseen(db: &Db, new: claviger_store::NewKey) {
    let record = unseen(new.key.org);
    let outcome: Result<_, StoreError> = db.mint_key(new, NOBODY, record).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}
