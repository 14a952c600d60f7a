//! What every backend tells of many keys at once, for those who show lists of them.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    time::Timestamp,
    token::Prefix,
};

use crate::{Result, Span};

/// What a key did in one day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUse {
    /// The key.
    pub key: KeyId,
    /// The beginning of the day.
    pub day: Timestamp,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// Many keys at once. Lists of keys are of one org: those of another are as if they were not named.
#[async_trait]
pub trait ShelfStore: Send + Sync + 'static {
    /// These keys, newest first, whatever their status; those that do not exist are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn find_keys(&self, org: OrgId, keys: &[KeyId]) -> Result<Vec<OrgKey>>;

    /// The keys whose metadata has this pair, or without a value this name, newest first, whatever
    /// their status; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn keys_tagged(
        &self,
        org: OrgId,
        (name, value): (&str, Option<&str>),
        limit: u32,
    ) -> Result<Vec<KeyId>>;

    /// The names of the keys that these secrets are or were of, whatever their status, by the public
    /// names of the secrets; those that do not exist are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn names_of_secrets(
        &self,
        org: OrgId,
        secrets: &[Prefix],
    ) -> Result<Vec<(Prefix, String)>>;

    /// What each of these keys did day by day, by key and day; days without a request are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn usage_by_day(&self, org: OrgId, keys: &[KeyId], span: Span) -> Result<Vec<DayUse>>;
}
