//! How far places outside the database know the trails, and a tree that is made anew.

use claviger_core::{
    id::{Org as OrgKind, OrgId},
    ledger::tree::{Frontier, leaf_hash},
};
use claviger_store::{Anchored, Checkpoint, Page, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{NOW, batch, default_org, end, entry, first, id, later, other_org},
    tree::expect_tree,
    witness::{assert_error, unseen},
};

fn anchored(place: &str, size: u64, is_given_up: bool) -> Anchored {
    Anchored {
        place: place.to_owned(),
        size,
        at: later(size),
        is_given_up,
    }
}

fn checkpoint(size: u64, root: &[u8], note: &str) -> Checkpoint {
    Checkpoint {
        size,
        root: leaf_hash(root),
        note: note.to_owned(),
        at: later(size),
    }
}

async fn records(db: &Db, org: OrgId, count: usize) {
    let entries = (0..count).map(|_| entry(org));
    db.append(batch(entries)).await.expect("they are written");
}

pub(crate) async fn places_are_kept_with_what_they_know(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    assert_eq!(db.anchors(org).await.expect("asked"), []);
    let two = vec![anchored("witness w", 7, false), anchored("file", 3, false)];
    db.keep_anchors(org, two, None).await.expect("kept");
    let given_up = vec![anchored("witness w", 9, true)];
    db.keep_anchors(org, given_up, None).await.expect("kept");
    let db = bed.reopen(db).await;
    let expected = [anchored("file", 3, false), anchored("witness w", 9, true)];
    assert_eq!(db.anchors(org).await.expect("asked"), expected);
    assert_eq!(db.anchors(other).await.expect("asked"), []);
    let stranger = id::<OrgKind>();
    let one = vec![anchored("file", 1, false)];
    let error = db.keep_anchors(stranger, one, None).await.err();
    assert_error!(error, Some(StoreError::NotFound("org")));
}

pub(crate) async fn signatures_of_witnesses_are_kept_with_their_checkpoint(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    records(&db, org, 10).await;
    for size in [4, 9] {
        let plain = checkpoint(size, b"root", "by the log");
        db.keep_checkpoint(org, plain).await.expect("kept");
    }
    // A later one may have been signed meanwhile.
    let cosigned = checkpoint(4, b"root", "by the log and a witness");
    let place = || vec![anchored("witness w", 4, false)];
    db.keep_anchors(org, place(), Some(cosigned.clone()))
        .await
        .expect("kept");
    let kept = db.list_checkpoints(org, first(9)).await.expect("listed");
    assert_eq!(kept, [cosigned, checkpoint(9, b"root", "by the log")]);
    for none in [checkpoint(5, b"root", ""), checkpoint(9, b"other", "")] {
        let more = vec![anchored("file", 8, false)];
        let error = db.keep_anchors(org, more, Some(none)).await.err();
        assert_error!(error, Some(StoreError::NotFound("checkpoint")));
    }
    assert_eq!(db.anchors(org).await.expect("asked"), place());
}

pub(crate) async fn trails_of_living_orgs_are_listed(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    records(&db, org, 5).await;
    let mut expected = vec![];
    for org in [org, other] {
        let tree = db.frontier(org).await.expect("there");
        expected.push((org, tree.size()));
    }
    expected.sort_by_key(|(org, _)| org.to_string());
    let list = |after, limit| db.list_ledgers(Page { after, limit });
    assert_eq!(list(None, 9).await.expect("listed"), expected);
    assert_eq!(list(None, 1).await.expect("listed"), expected[..1]);
    let after = Some(expected[0].0);
    assert_eq!(list(after, 9).await.expect("listed"), expected[1..]);
    db.delete_org(other, end(NOW), unseen(org))
        .await
        .expect("deleted");
    let left = list(None, 9).await.expect("listed");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, org);
}

pub(crate) async fn tree_that_is_made_anew_goes_on_from_there(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    records(&db, org, 10).await;
    for size in [3, 6, 9] {
        let signed = checkpoint(size, b"root", "");
        db.keep_checkpoint(org, signed).await.expect("kept");
    }
    let mut tree = Frontier::default();
    (0..10_u8).for_each(|at| tree.append(leaf_hash(&[at])));
    let mut short = Frontier::default();
    short.append(leaf_hash(b"one"));
    let error = db.rebase(org, short, None).await.err();
    assert_error!(error, Some(StoreError::CheckpointRefused { size: 1, .. }));
    db.rebase(org, tree.clone(), Some(6)).await.expect("made");
    assert_eq!(db.frontier(org).await.expect("there"), tree);
    let kept = db.list_checkpoints(org, first(9)).await.expect("listed");
    assert_eq!(
        kept.iter().map(|kept| kept.size).collect::<Vec<_>>(),
        [3, 6]
    );
    let next = entry(org);
    tree.append(next.leaf());
    db.append(batch([next])).await.expect("it is written");
    assert_eq!(db.frontier(org).await.expect("there"), tree);
    // What the records are is a tree like any other.
    let whole = db.frontier_at(org, 11).await.expect("computed");
    db.rebase(org, whole, None).await.expect("made");
    expect_tree(&db, org).await;
    let kept = db.list_checkpoints(org, first(9)).await.expect("listed");
    assert_eq!(kept, []);
}
