//! What every backend does with requests for keys.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, RequestId},
    key::OrgKey,
    request::{KeyRequest, Status, Step},
    time::Timestamp,
};

use crate::{Acting, NewKey, Page, Recorder, Result, Written};

/// The largest number of pending requests of one asker.
pub const PENDING_PER_ASKER_MAX: u64 = 20;
/// The largest number of pending requests of one org.
pub const PENDING_PER_ORG_MAX: u64 = 1000;
/// The largest number of requests that are kept of one org: beyond it the oldest closed ones go first.
pub const REQUESTS_PER_ORG_MAX: u64 = 10_000;
/// How many requests that are kept no longer one insert clears away.
pub(crate) const REQUESTS_PURGED_MAX: u32 = 100;

/// Which requests a list shows.
#[derive(Debug, Clone)]
pub struct RequestFilter {
    /// Only these statuses (as of `now`).
    pub statuses: Vec<Status>,
    /// The instant at which statuses are judged.
    pub now: Timestamp,
    /// Only those of this asker, as it is written.
    pub asker: Option<String>,
}

/// What a collection came to.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The request, which is closed by it.
    pub request: KeyRequest,
    /// The key.
    pub key: OrgKey,
}

/// Requests for keys.
#[async_trait]
pub trait RequestStore: Send + Sync + 'static {
    /// Inserts a request, and clears some away that are kept no longer.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`](crate::StoreError::LimitReached) at [`PENDING_PER_ASKER_MAX`], [`PENDING_PER_ORG_MAX`] or
    /// [`REQUESTS_PER_ORG_MAX`]; [`StoreError::NotFound`](crate::StoreError::NotFound) when the org is gone;
    /// [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    async fn insert_request(
        &self,
        request: KeyRequest,
        acting: Acting,
        record: Recorder<KeyRequest>,
    ) -> Result<Written<KeyRequest>>;

    /// A request of the org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn find_request(&self, org: OrgId, id: RequestId) -> Result<Option<KeyRequest>>;

    /// Requests of the org, newest first (by id, descending). The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_requests(
        &self,
        org: OrgId,
        filter: RequestFilter,
        page: Page<RequestId>,
    ) -> Result<Vec<KeyRequest>>;

    /// Takes a step other than a collection, judged at `acting.now`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound); [`StoreError::WrongStatus`](crate::StoreError::WrongStatus) when its status does not
    /// allow the step; [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn step_request(
        &self,
        org: OrgId,
        id: RequestId,
        step: Step,
        acting: Acting,
        record: Recorder<KeyRequest>,
    ) -> Result<Written<KeyRequest>>;

    /// Closes an approved request and mints its key, in one transaction: of two at once one gets it.
    /// The minter must still hold what it approved, with every key above it.
    ///
    /// # Errors
    /// As [`KeyStore::mint_key`](crate::KeyStore::mint_key); [`StoreError::NotFound`](crate::StoreError::NotFound);
    /// [`StoreError::WrongStatus`](crate::StoreError::WrongStatus); [`StoreError::ApprovalVoid`](crate::StoreError::ApprovalVoid).
    async fn collect_request(
        &self,
        id: RequestId,
        key: NewKey,
        acting: Acting,
        record: Recorder<Collected>,
    ) -> Result<Written<Collected>>;
}
