//! Tree, records and checkpoints, as a store finds them that is opened after the process is gone.

use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, Hash, leaf_hash},
    time::Timestamp,
};
use claviger_store::{AuditFilter, Checkpoint, OpenOptions, Page, Store, open};

/// How many records or checkpoints are read at once.
const PART: u32 = 1000;

/// How many of the last leaves are read from tiles.
const LEAVES_CHECKED: usize = 2000;

/// What was found so far. A tree that has it as its beginning, and the new records after it, is that
/// of all records: nothing that was found before can have changed.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    tree: Frontier,
    leaves: Vec<Hash>,
    checkpoints: Vec<Checkpoint>,
}

impl Agreement {
    /// Checks the database of a process that was killed, and keeps a checkpoint of what is there.
    pub(crate) fn check(&mut self, url: String) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(self.agree(url));
    }

    async fn agree(&mut self, url: String) {
        let options = OpenOptions {
            url,
            sync_audit: false,
            default_org: OrgId::from_u128(1),
            now: Timestamp::from_millis(1),
        };
        let store = open(options).await.expect("it opens");
        let org = store.deployment().await.expect("found").default_org;
        let page = Page {
            after: None,
            limit: PART,
        };
        let kept = store.list_checkpoints(org, page).await.expect("listed");
        assert_eq!(kept, self.checkpoints, "a checkpoint was lost, or made up");

        self.read_on(&*store, org).await;
        let frontier = store.frontier(org).await.expect("read");
        assert_eq!(frontier, self.tree, "tree and records");
        for checkpoint in self.checkpoints.iter().rev().take(3) {
            let then = store.frontier_at(org, checkpoint.size).await;
            let root = then.expect("read").root();
            assert_eq!(root, checkpoint.root, "tiles and checkpoint");
        }
        while store.derive_tiles().await.expect("derived") {}
        let from = self.leaves.len().saturating_sub(LEAVES_CHECKED);
        let range = u64::try_from(from).expect("a small number")..self.tree.size();
        let found = store.leaves(org, range).await.expect("read");
        assert!(
            Some(&*found) == self.leaves.get(from..),
            "tiles and records"
        );

        let new = Checkpoint {
            size: self.tree.size(),
            root: self.tree.root(),
            note: format!("{}\n", self.tree.size()),
            at: Timestamp::from_millis(1),
        };
        let keep = store.keep_checkpoint(org, new.clone()).await;
        keep.expect("it follows the last one");
        if self.checkpoints.last().is_none_or(|last| *last != new) {
            self.checkpoints.push(new);
        }
        store.close().await;
    }

    /// Reads the records that came since.
    async fn read_on(&mut self, store: &dyn Store, org: OrgId) {
        let mut after = Some(self.tree.size());
        while after.is_some() {
            let page = Page { after, limit: PART };
            let part = store.export_audit(org, AuditFilter::default(), page).await;
            let part = part.expect("exported");
            for row in part.rows {
                assert_eq!(row.seq, self.tree.size() + 1, "a gap");
                let leaf = leaf_hash(&row.bytes);
                self.tree.append(leaf);
                self.leaves.push(leaf);
            }
            after = part.next;
        }
    }
}
