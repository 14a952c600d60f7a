//! What every backend does to keep the tree of each trail (RFC 6962), and what was signed of it.
//!
//! The frontier is changed in the transaction that writes the records, whoever writes them. The
//! tiles are made behind the trail; what is not in a tile yet is computed from the records.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, Hash, tile::Tile},
    time::Timestamp,
};

use crate::{
    Page, Result, StoreError,
    tiles::{self, TILE_HASHES},
};

/// The most leaves that [`TreeStore::leaves`] gives at once.
pub const LEAVES_MAX: u64 = 65_536;

/// The trees of the trails.
#[async_trait]
pub trait TreeStore: Send + Sync + 'static {
    /// The size and the peaks of the tree of an org, as they are now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such org.
    async fn frontier(&self, org: OrgId) -> Result<Frontier>;

    /// The bytes of tiles, full or not, in the order in which they are asked for: 32 for each hash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the tree does not have one of them;
    /// [`StoreError::Unavailable`], also while the tiles of a long trail that was written before
    /// are still being made.
    async fn tiles(&self, org: OrgId, wanted: Vec<Tile>) -> Result<Vec<Vec<u8>>>;

    /// Makes the next tiles of the trail that is furthest behind, in a commit of its own that does
    /// not wait for the disk. Gives whether there was one to be made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what was not done is done by the next call, also after a
    /// restart. [`StoreError::Corrupt`], once, for a trail in which records are missing: the next
    /// call goes on with the others.
    async fn derive_tiles(&self) -> Result<bool>;

    /// The hashes of the leaves from an index (0 for the first record) up to, and without, another.
    ///
    /// # Errors
    /// As [`Self::tiles`]; [`StoreError::NotFound`] also for more than [`LEAVES_MAX`].
    async fn leaves(&self, org: OrgId, range: std::ops::Range<u64>) -> Result<Vec<Hash>> {
        let count = range.end.saturating_sub(range.start);
        if count > LEAVES_MAX {
            return Err(StoreError::NotFound("range of leaves"));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let (first, last) = (range.start / TILE_HASHES, (range.end - 1) / TILE_HASHES);
        let wanted = (first..=last).filter_map(|number| Tile::of_tree(0, number, range.end));
        let found = self.tiles(org, wanted.collect()).await?;
        let before = usize::try_from(range.start % TILE_HASHES).unwrap_or(usize::MAX);
        let hashes = found.iter().flat_map(|tile| tiles::hashes(tile));
        Ok(hashes.skip(before).collect())
    }

    /// The tree as it was when it had so many records. Tiles that have still to be made for it are made.
    ///
    /// # Errors
    /// As [`Self::tiles`].
    async fn frontier_at(&self, org: OrgId, size: u64) -> Result<Frontier> {
        let edge = loop {
            let behind = match self.tiles(org, tiles::edge(size)).await {
                Err(behind @ StoreError::Unavailable { .. }) => behind,
                outcome => break outcome?,
            };
            match self.derive_tiles().await {
                // A trail in which records are missing may be another one; then the next turn is ours.
                Ok(true) | Err(StoreError::Corrupt { .. }) => {}
                Ok(false) => return Err(behind),
                Err(error) => return Err(error),
            }
        };
        tiles::frontier(size, &edge).map_err(|error| StoreError::Corrupt {
            what: format!("the tree of `{org}`"),
            reason: error.to_string(),
        })
    }
}

/// What was said of a tree, and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records the tree had.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note (C2SP tlog-checkpoint), as it was given out.
    pub note: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// The checkpoints of the trails.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// Keeps a checkpoint, and waits for the disk: what was given out is not forgotten. One that
    /// says the same as the last (with other signatures, perhaps) takes its place.
    ///
    /// # Errors
    /// [`StoreError::CheckpointRefused`] when it has fewer records than the last one, or as many
    /// and another root, or more than the trail; [`StoreError::NotFound`] when there is no such org.
    async fn keep_checkpoint(&self, org: OrgId, checkpoint: Checkpoint) -> Result<()>;

    /// The last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn last_checkpoint(&self, org: OrgId) -> Result<Option<Checkpoint>>;

    /// Those with more records than a number says, in order. The cursor is that number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_checkpoints(&self, org: OrgId, page: Page<u64>) -> Result<Vec<Checkpoint>>;
}

/// Whether a checkpoint may follow the last one, for a trail of so many records.
pub(crate) fn may_follow(new: &Checkpoint, last: Option<&(u64, Hash)>, records: u64) -> Result<()> {
    let refuse = |reason| {
        let size = new.size;
        Err(StoreError::CheckpointRefused { size, reason })
    };
    if new.size > records {
        return refuse("the trail has fewer");
    }
    match last {
        Some((size, _)) if new.size < *size => refuse("an earlier one has more"),
        Some((size, root)) if new.size == *size && new.root != *root => {
            refuse("an earlier one has as many, and another root")
        }
        Some(_) | None => Ok(()),
    }
}
