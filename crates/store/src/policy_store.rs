//! What every backend does with policies, and with what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    ledger::entry::Entry,
    policy::Policy,
    time::Timestamp,
};

use crate::{Acting, DueFilter, KeyChange, Notice, Page, Recorder, Result, Written};

/// Says whether a change by the clock is still due.
pub type Check = Box<dyn FnOnce(&OrgKey) -> bool + Send>;

/// How many notices one purge forgets at most.
pub(crate) const NOTICES_PURGED_MAX: i64 = 1000;

/// Policies, and sweeps.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Sets the policy of an org.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when the org is gone; [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    async fn put_policy(
        &self,
        org: OrgId,
        policy: Policy,
        acting: Acting,
        record: Recorder<Policy>,
    ) -> Result<Written<Policy>>;

    /// Every policy of a living org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn load_policies(&self) -> Result<Vec<(OrgId, Policy)>>;

    /// Living keys of which something is to be said that was not said before, by id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_due(&self, due: DueFilter, page: Page<KeyId>) -> Result<Vec<OrgKey>>;

    /// Keys of an org that are accepted now, apart from policy, and whose rotation was due before
    /// this instant, by id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_overdue(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>>;

    /// Keys of an org that are accepted now, apart from policy, and were used, minted, resumed and
    /// valid only before the first of these instants, by id. The second is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_idle(
        &self,
        org: OrgId,
        before_and_now: (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>>;

    /// Keeps what was said of keys, with the records that say it, in one transaction. What was said
    /// before, and what is about a key that is gone, is left out; gives the rest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn keep_notices(
        &self,
        notices: Vec<Notice>,
        record: Recorder<Vec<Notice>, Vec<Entry>>,
    ) -> Result<Vec<Notice>>;

    /// Forgets some of the notices about instants before this one; gives how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn purge_notices(&self, before: Timestamp) -> Result<u64>;

    /// Changes a living key by the clock, if the check still holds for it; `None` if not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn change_key_if(
        &self,
        (org, id): (OrgId, KeyId),
        check: Check,
        change: KeyChange,
        record: Recorder<OrgKey>,
    ) -> Result<Option<Written<OrgKey>>>;
}
