//! What every backend does with the counts of what keys were used for.
//!
//! The audit trail is the truth; these are sums by hour that can be asked quickly. They are written
//! behind: a process that is killed loses the last seconds of them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId, WorkspaceId},
    time::Timestamp,
};

use crate::Result;

/// What calls are counted by.
pub const HOUR: Duration = Duration::from_secs(3600);
/// The most client addresses that are kept of a key. Of more, those seen longest ago give way.
pub const ADDRESSES_PER_KEY_MAX: u32 = 256;

/// The beginning of the hour of an instant.
#[must_use]
pub fn hour_of(at: Timestamp) -> Timestamp {
    let hour = i64::try_from(HOUR.as_millis()).unwrap_or(1);
    Timestamp::from_millis(at.millis() - at.millis().rem_euclid(hour))
}

/// What one key did in one hour on one route, in one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageCell {
    /// The key that was presented, with whichever of its secrets.
    pub key: KeyId,
    /// The beginning of the hour.
    pub hour: Timestamp,
    /// The method.
    pub method: &'static str,
    /// The pattern of the route; empty for none.
    pub route: &'static str,
    /// The workspace that the path named.
    pub workspace: Option<WorkspaceId>,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// An address from which a key was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressUse {
    /// The address.
    pub address: IpAddr,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// Requests that were let in.
    pub calls: u64,
}

/// What was counted since the last batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageBatch {
    /// Counts; of one key, hour, route and workspace there may be several.
    pub cells: Vec<UsageCell>,
    /// Addresses; of one key there may be several, also the same.
    pub addresses: Vec<(KeyId, AddressUse)>,
}

/// A stretch of time, in whole hours: those that begin at or after the hour of `since`, and before
/// `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From the beginning of the hour of this instant.
    pub since: Timestamp,
    /// Before this instant.
    pub until: Timestamp,
}

impl Span {
    /// The bounds as they are kept: from the first hour, and before the second instant.
    pub(crate) fn bounds(self) -> (i64, i64) {
        (hour_of(self.since).millis(), self.until.millis())
    }
}

/// What keys did on one route in one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteUse {
    /// The method.
    pub method: String,
    /// The pattern of the route; empty for none.
    pub route: String,
    /// The workspace that the path named.
    pub workspace: Option<WorkspaceId>,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// The last hour with either.
    pub last_hour: Timestamp,
}

/// How long the stretches are by which uses are told. They begin with those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Hour by hour.
    Hour,
    /// Day by day.
    Day,
}

impl Step {
    /// In milliseconds.
    pub(crate) const fn millis(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

/// What a key did in one hour or on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepUse {
    /// When it begins.
    pub from: Timestamp,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// In how many workspaces.
    pub workspaces: u64,
    /// On how many routes, each method for itself.
    pub endpoints: u64,
}

/// How often one key called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCalls {
    /// The key.
    pub key: KeyId,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// A route on which a key was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOfKey {
    /// The key.
    pub key: KeyId,
    /// The method.
    pub method: String,
    /// The pattern of the route.
    pub route: String,
    /// Requests that were let in: at least one.
    pub calls: u64,
}

/// A living key below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descendant {
    /// Its id.
    pub id: KeyId,
    /// Whether its grant selects workspaces by their labels.
    pub selects_by_labels: bool,
}

/// What keys were used for. Lists of keys are of one org: those of another are as if they were not
/// named.
#[async_trait]
pub trait UsageStore: Send + Sync + 'static {
    /// Adds counts to those that are there, in one commit that does not wait for the disk. Beyond
    /// [`ADDRESSES_PER_KEY_MAX`] the addresses of a key that were seen longest ago go.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): the batch may be added later.
    async fn add_usage(&self, batch: Arc<UsageBatch>) -> Result<()>;

    /// What these keys did by method, route and workspace, most calls first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn usage_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        span: Span,
        limit: u32,
    ) -> Result<Vec<RouteUse>>;

    /// What a key did hour by hour or day by day, oldest first; those without a request are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn usage_by(
        &self,
        org: OrgId,
        key: KeyId,
        span: Span,
        step: Step,
    ) -> Result<Vec<StepUse>>;

    /// From where these keys were let in at or after an instant, last seen first. The counts are
    /// those of each address since it was first seen.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn addresses_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<AddressUse>>;

    /// How often each of these keys called since an instant (in whole hours), by id; keys that did
    /// not are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn calls_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<KeyCalls>>;

    /// The routes on which each of these keys was let in since an instant (in whole hours), in the
    /// order of the ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn routes_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<RouteOfKey>>;

    /// The keys below a key that are neither revoked nor expired, in no order; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn descendants_of_key(
        &self,
        org: OrgId,
        key: KeyId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Descendant>>;

    /// Which of these keys minted keys that are neither revoked nor expired, by id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn parents_among(&self, org: OrgId, keys: &[KeyId], now: Timestamp)
    -> Result<Vec<KeyId>>;

    /// The first hour of which anything is kept, of any key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn usage_begins(&self) -> Result<Option<Timestamp>>;

    /// Forgets hours, and addresses last seen, before an instant: at most `limit` of each. Gives
    /// how many went.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn purge_usage(&self, before: Timestamp, limit: u32) -> Result<u64>;
}
