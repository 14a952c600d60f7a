//! Tree, records and checkpoints, as a store finds them that is opened after the process is gone.

use std::collections::HashMap;

use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, Hash, leaf_hash},
    time::Timestamp,
};
use claviger_store::{AuditFilter, Checkpoint, OpenOptions, Page, Store, open};

/// How many records are read at once.
const PART: u32 = 1000;

/// What was found each time, and what must hold the next time.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    last: Option<Checkpoint>,
}

impl Agreement {
    /// Checks the database of a process that was killed, and keeps a checkpoint of what is there.
    pub(crate) fn check(&mut self, url: String) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let last = self.last.take();
        self.last = Some(runtime.block_on(agree(url, last)));
    }
}

async fn agree(url: String, last: Option<Checkpoint>) -> Checkpoint {
    let options = OpenOptions {
        url,
        sync_audit: false,
        default_org: OrgId::from_u128(1),
        now: Timestamp::from_millis(1),
    };
    let store = open(options).await.expect("it opens");
    let org = store.deployment().await.expect("found").default_org;
    let kept = store.last_checkpoint(org).await.expect("read");
    assert_eq!(kept, last, "a checkpoint was lost, or made up");

    let (leaves, roots) = records(&*store, org).await;
    let size = u64::try_from(leaves.len()).expect("a small number");
    let frontier = store.frontier(org).await.expect("read");
    assert_eq!(frontier.size(), size, "tree and records");
    assert_eq!(Some(&frontier.root()), roots.get(&size), "tree and records");
    let page = Page {
        after: None,
        limit: PART,
    };
    for checkpoint in store.list_checkpoints(org, page).await.expect("listed") {
        let root = roots.get(&checkpoint.size);
        assert_eq!(root, Some(&checkpoint.root), "records and checkpoint");
    }
    if let Some(last) = &last {
        assert!(last.size <= size, "records are gone that were signed");
        let then = store.frontier_at(org, last.size).await.expect("read");
        assert_eq!(then.root(), last.root, "tiles and checkpoint");
    }
    while store.derive_tiles().await.expect("derived") {}
    let found = store.leaves(org, 0..size).await.expect("read");
    assert!(found == leaves, "tiles and records");

    let new = Checkpoint {
        size,
        root: frontier.root(),
        note: format!("{size}\n"),
        at: Timestamp::from_millis(1),
    };
    let keep = store.keep_checkpoint(org, new.clone()).await;
    keep.expect("it follows the last one");
    store.close().await;
    new
}

/// The leaves of all records, and the root after each.
async fn records(store: &dyn Store, org: OrgId) -> (Vec<Hash>, HashMap<u64, Hash>) {
    let mut plain = Frontier::default();
    let mut leaves = vec![];
    let mut roots = HashMap::from([(0, plain.root())]);
    let mut after = None;
    loop {
        let page = Page { after, limit: PART };
        let part = store.export_audit(org, AuditFilter::default(), page).await;
        let part = part.expect("exported");
        for row in part.rows {
            assert_eq!(row.seq, plain.size() + 1, "a gap");
            let leaf = leaf_hash(&row.bytes);
            plain.append(leaf);
            leaves.push(leaf);
            roots.insert(plain.size(), plain.root());
        }
        after = part.next;
        if after.is_none() {
            return (leaves, roots);
        }
    }
}
