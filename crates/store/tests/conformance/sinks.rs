//! How far trails were sent to receivers outside.

use claviger_core::id::OrgId;
use claviger_store::{BehindTrail, Page, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{NOW, batch, default_org, end, entry, first, later, other_org, walk},
    witness::{assert_error, unseen},
};

const SINK: &str = "syslog tcp://logs.example:601";

async fn records(db: &Db, org: OrgId, count: usize) {
    let entries = (0..count).map(|_| entry(org));
    db.append(batch(entries)).await.expect("they are written");
}

async fn behind(db: &Db, name: &str) -> Vec<(OrgId, u64, u64)> {
    let trails = db.trails_behind(name, first(100)).await.expect("asked");
    let lacking: u64 = trails.iter().map(|trail| trail.size - trail.sent).sum();
    assert_eq!(db.count_behind(name).await.expect("asked"), lacking);
    let all = trails.iter();
    all.map(|trail| (trail.org, trail.sent, trail.size))
        .collect()
}

pub(crate) async fn new_receiver_begins_at_the_end_and_a_known_one_goes_on(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    records(&db, org, 3).await;
    assert!(db.begin_sink(SINK, NOW).await.expect("begun"));
    assert_eq!(behind(&db, SINK).await, []);
    let size = db.audit_size(org).await.expect("asked");
    records(&db, org, 2).await;
    assert_eq!(behind(&db, SINK).await, [(org, size, size + 2)]);
    let db = bed.reopen(db).await;
    assert!(!db.begin_sink(SINK, later(1)).await.expect("asked"));
    assert_eq!(behind(&db, SINK).await, [(org, size, size + 2)]);
    // What came after the receiver did is sent from its beginning.
    let young = other_org(&db).await;
    let own = db.audit_size(young).await.expect("asked");
    let mut expected = vec![(org, size, size + 2), (young, 0, own)];
    expected.sort_unstable();
    assert_eq!(behind(&db, SINK).await, expected);
    assert!(db.begin_sink("another", NOW).await.expect("begun"));
    assert_eq!(behind(&db, "another").await, []);
    assert_eq!(behind(&db, SINK).await, expected);
}

pub(crate) async fn what_was_sent_never_moves_back_and_is_kept_for_each_receiver(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for name in [SINK, "another"] {
        db.begin_sink(name, NOW).await.expect("begun");
    }
    records(&db, org, 5).await;
    let young = other_org(&db).await;
    let own = db.audit_size(young).await.expect("asked");
    let size = db.audit_size(org).await.expect("asked");
    let both = vec![(org, size - 1), (young, own)];
    db.keep_sent(SINK, both).await.expect("kept");
    db.keep_sent(SINK, vec![(org, 1)]).await.expect("kept");
    db.keep_sent(SINK, vec![]).await.expect("nothing is kept");
    let db = bed.reopen(db).await;
    assert_eq!(behind(&db, SINK).await, [(org, size - 1, size)]);
    assert_eq!(behind(&db, "another").await.len(), 2);
    let error = db.keep_sent("unknown", vec![(org, 1)]).await.err();
    assert_error!(error, Some(StoreError::Unavailable { .. }));
}

pub(crate) async fn trails_behind_are_listed_in_parts_and_with_those_of_deleted_orgs(bed: &Bed) {
    let db = bed.open().await;
    db.begin_sink(SINK, NOW).await.expect("begun");
    for _ in 0..4 {
        other_org(&db).await;
    }
    let gone = other_org(&db).await;
    records(&db, gone, 1).await;
    db.delete_org(gone, end(later(1)), unseen(gone))
        .await
        .expect("deleted");
    let all = behind(&db, SINK).await;
    assert!(all.iter().any(|(org, ..)| *org == gone));
    let cursor = |trail: &BehindTrail| trail.org;
    let parts = walk(2, cursor, |page: Page<OrgId>| db.trails_behind(SINK, page)).await;
    let parts: Vec<_> = parts
        .iter()
        .map(|one| (one.org, one.sent, one.size))
        .collect();
    assert_eq!(parts, all);
}
