//! What every backend does to keep how far the places outside the database know the trails.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::tree::Frontier, time::Timestamp};

use crate::{Checkpoint, Page, Result};

/// How far a place outside the database knows a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// Which place, in a word or two.
    pub place: String,
    /// How many records the last checkpoint had that it took; if that history was given up, that it
    /// still knows of.
    pub size: u64,
    /// When that was.
    pub at: Timestamp,
    /// Whether the operator went on without what the place knows, and it has not taken the new
    /// history yet.
    pub is_given_up: bool,
}

/// Anchors of the trails.
#[async_trait]
pub trait AnchorStore: Send + Sync + 'static {
    /// What is known of the places of an org, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn anchors(&self, org: OrgId) -> Result<Vec<Anchored>>;

    /// Keeps how far places know a trail, and waits for the disk. `cosigned` is a checkpoint that was
    /// kept before, with the signatures of witnesses: its note takes the place of that one's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when there is no such org or checkpoint:
    /// then nothing is kept.
    async fn keep_anchors(
        &self,
        org: OrgId,
        anchored: Vec<Anchored>,
        cosigned: Option<Checkpoint>,
    ) -> Result<()>;

    /// Living orgs and how many records their trails have, in the order of the ids. The cursor is the
    /// id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_ledgers(&self, page: Page<OrgId>) -> Result<Vec<(OrgId, u64)>>;

    /// Makes this the tree of a trail, and forgets the checkpoints with more records than a number
    /// says (all, if it says none). It is for a database whose records are not those that were signed:
    /// from then on what is there counts.
    ///
    /// # Errors
    /// [`StoreError::CheckpointRefused`](crate::StoreError::CheckpointRefused) when the trail has not
    /// as many records as the tree: then nothing is changed.
    async fn rebase(&self, org: OrgId, tree: Frontier, last_checkpoint: Option<u64>) -> Result<()>;
}
