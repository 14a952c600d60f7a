//! What every backend does with policies, and with what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    policy::Policy,
    time::Timestamp,
};

use crate::{Acting, KeyChange, Notice, Page, Recorder, Result, Written};

/// Says whether a change by the clock is still due.
pub type Check = Box<dyn FnOnce(&OrgKey) -> bool + Send>;

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

    /// Living keys whose end lies between these instants, or whose next rotation is before the
    /// second, oldest first after a key, at most so many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_due(
        &self,
        between: (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>>;

    /// Living keys of an org that are not suspended and were last used, minted and resumed before
    /// this instant, oldest first, at most so many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_idle(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>>;

    /// Keeps that something was said of a key, with the record that says it. `None` if it was said
    /// before, or if the key is gone: then nothing is recorded.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn keep_notice(
        &self,
        org: OrgId,
        notice: Notice,
        record: Recorder<Notice>,
    ) -> Result<Option<Written<Notice>>>;

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
