//! What was signed of the trees: it is kept, and never goes back.

use claviger_core::{
    id::{Org as OrgKind, OrgId},
    ledger::tree::{Hash, leaf_hash},
};
use claviger_store::{Checkpoint, Page, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{batch, default_org, entry, first, id, later, other_org},
    witness::assert_error,
};

fn checkpoint(size: u64, root: Hash, note: &str) -> Checkpoint {
    Checkpoint {
        size,
        root,
        note: note.to_owned(),
        at: later(size),
    }
}

async fn records(db: &Db, org: OrgId, count: usize) {
    let entries = (0..count).map(|_| entry(org));
    db.append(batch(entries)).await.expect("they are written");
}

pub(crate) async fn checkpoints_are_kept_in_order(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    assert_eq!(db.last_checkpoint(org).await.expect("asked"), None);
    records(&db, org, 10).await;
    let note = "claviger.example/org\n3\nAAAA\n\n\u{2014} name sig\n";
    let all = [0, 3, 10].map(|size| checkpoint(size, leaf_hash(&[1]), note));
    for next in &all {
        db.keep_checkpoint(org, next.clone()).await.expect("kept");
        assert_eq!(
            db.last_checkpoint(org).await.expect("asked").as_ref(),
            Some(next)
        );
    }
    let db = bed.reopen(db).await;
    let list = |after, limit| db.list_checkpoints(org, Page { after, limit });
    assert_eq!(list(None, 9).await.expect("listed"), all);
    assert_eq!(list(Some(0), 1).await.expect("listed"), all[1..2]);
    assert_eq!(list(Some(10), 9).await.expect("listed"), []);
    assert_eq!(db.last_checkpoint(other).await.expect("asked"), None);
    assert_eq!(
        db.list_checkpoints(other, first(9)).await.expect("listed"),
        []
    );
}

pub(crate) async fn checkpoint_never_goes_back(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    records(&db, org, 10).await;
    let (root, fork) = (leaf_hash(b"root"), leaf_hash(b"fork"));
    let last = checkpoint(7, root, "first");
    db.keep_checkpoint(org, last.clone()).await.expect("kept");
    for refused in [
        checkpoint(6, root, "smaller"),
        checkpoint(7, fork, "forked"),
        checkpoint(11, root, "ahead of the records"),
    ] {
        let error = db.keep_checkpoint(org, refused).await.err();
        assert_error!(error, Some(StoreError::CheckpointRefused { .. }));
        let kept = db.list_checkpoints(org, first(9)).await.expect("listed");
        assert_eq!(kept, std::slice::from_ref(&last));
    }
    let signed_again = checkpoint(7, root, "with another signature");
    db.keep_checkpoint(org, signed_again.clone())
        .await
        .expect("kept");
    let kept = db.list_checkpoints(org, first(9)).await.expect("listed");
    assert_eq!(kept, [signed_again]);
    let stranger = id::<OrgKind>();
    let error = db
        .keep_checkpoint(stranger, checkpoint(0, root, ""))
        .await
        .err();
    assert_error!(error, Some(StoreError::NotFound("org")));
}

pub(crate) async fn of_racing_checkpoints_the_last_has_the_most_records(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    records(&db, org, 20).await;
    let mut tasks = tokio::task::JoinSet::new();
    for size in [9, 20, 3, 14, 1, 17, 11, 6] {
        let db = std::sync::Arc::clone(&db);
        tasks.spawn(async move {
            let new = checkpoint(size, leaf_hash(b"root"), "racing");
            match db.keep_checkpoint(org, new).await {
                Ok(()) | Err(StoreError::CheckpointRefused { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    tasks.join_all().await;
    let last = db.last_checkpoint(org).await.expect("asked");
    assert_eq!(last.map(|last| last.size), Some(20));
}
