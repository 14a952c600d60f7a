//! What every backend keeps for receivers of the trails: how far each trail was sent to each of them.

use async_trait::async_trait;
use claviger_core::{id::OrgId, time::Timestamp};

use crate::{Page, Result};

/// A trail of which a receiver lacks records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BehindTrail {
    /// Whose trail it is.
    pub org: OrgId,
    /// Up to the record of this number it was sent; 0 for none.
    pub sent: u64,
    /// How many records it has.
    pub size: u64,
}

/// How far trails were sent to receivers, which are known by a name of at most 512 characters.
#[async_trait]
pub trait SinkStore: Send + Sync + 'static {
    /// Makes a receiver known, unless it is. A new one begins at the present end of every trail; one
    /// that was known goes on where it was. Gives whether it is new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn begin_sink(&self, name: &str, at: Timestamp) -> Result<bool>;

    /// The trails of which a receiver lacks records, also those of deleted orgs, in the order of the
    /// ids. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn trails_behind(&self, name: &str, page: Page<OrgId>) -> Result<Vec<BehindTrail>>;

    /// How many records a receiver lacks in all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn count_behind(&self, name: &str) -> Result<u64>;

    /// Keeps up to which record trails were sent; it never moves back. An org is named once. Written
    /// without waiting for the disk: after a power cut the last records are sent again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), also for a receiver that is not known.
    async fn keep_sent(&self, name: &str, sent: Vec<(OrgId, u64)>) -> Result<()>;
}
