//! What every backend does to keep the index of the trails: where the records are that filters ask for.
//!
//! It is written behind the trail, block by block. What is not indexed yet is looked through, so what a
//! query finds never depends on it.

use async_trait::async_trait;

use crate::Result;

/// The index of the trails.
#[async_trait]
pub trait AuditIndexStore: Send + Sync + 'static {
    /// Indexes the next block of the trail that is furthest behind, in a commit of its own that does
    /// not wait for the disk. Gives whether there was one: a block is indexed once it is full.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): what was not done is done by the
    /// next call, also after a restart.
    async fn index_audit(&self) -> Result<bool>;
}
