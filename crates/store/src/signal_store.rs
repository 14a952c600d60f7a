//! What every backend keeps for signals: what each key has done before.

use async_trait::async_trait;
use claviger_core::id::KeyId;

use crate::Result;

/// What keys have done before, as [`Habits`](claviger_core::signal::Habits) are written.
#[async_trait]
pub trait SignalStore: Send + Sync + 'static {
    /// What is kept of these keys, by id; those of which nothing is kept are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn habits_of_keys(&self, keys: &[KeyId]) -> Result<Vec<(KeyId, String)>>;

    /// Keeps what is known of keys now, in place of what was. A key is named once. Written behind: the
    /// last seconds may be lost, and are learnt again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn keep_habits(&self, habits: Vec<(KeyId, String)>) -> Result<()>;
}
