//! What keys were used for.

use claviger_core::{action::ReadKeys, authorize::Permit, id::KeyId, key::OrgKey, time::Timestamp};
use claviger_store::{
    ADDRESSES_PER_KEY_MAX, AddressUse, HOUR, KeyCalls, RouteUse, Span, Step, StepUse,
};

use super::keys;
use crate::{app::App, clock, failure::Failure};

/// How many sums by method, route and workspace are looked at: those with the most calls.
pub const ROWS_MAX: u32 = 10_000;

/// What a key was used for.
#[derive(Debug)]
pub struct Uses {
    /// The key.
    pub key: OrgKey,
    /// By hour or by day, oldest first.
    pub steps: Vec<StepUse>,
    /// By method, route and workspace, most calls first; at most [`ROWS_MAX`].
    pub rows: Vec<RouteUse>,
    /// From where, last seen first.
    pub addresses: Vec<AddressUse>,
}

/// What a key was used for in a stretch of time, up to this request.
///
/// # Errors
/// 403 for a caller that is bound to workspaces, about a key that is neither its own nor below it;
/// 404, 503.
pub async fn of_key(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
    (span, step): (Span, Step),
) -> Result<Uses, Failure> {
    let key = keys::get(app, permit, id).await?;
    keys::may_see_uses(permit, &key)?;
    let place = app.scan_place().await?;
    app.flush_usage().await?;
    let (org, store) = (permit.org(), &app.store);
    let steps = store.usage_by(org, id, span, step).await?;
    let rows = store.usage_of_keys(org, &[id], span, ROWS_MAX).await?;
    let addresses = addresses(app, permit, &[id], span.since).await?;
    drop(place);
    let addresses = addresses.into_iter();
    Ok(Uses {
        addresses: addresses
            .filter(|seen| seen.first_at < span.until)
            .collect(),
        key,
        steps,
        rows,
    })
}

/// How often a key called lately: in this hour of the clock and in the one before, up to this request.
///
/// # Errors
/// As [`of_key`].
pub async fn calls_lately(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
) -> Result<KeyCalls, Failure> {
    let key = keys::get(app, permit, id).await?;
    keys::may_see_uses(permit, &key)?;
    app.flush_usage().await?;
    let since = clock::now().minus(HOUR);
    let found = app.store.calls_of_keys(permit.org(), &[id], since).await?;
    Ok(found.first().copied().unwrap_or(KeyCalls {
        key: id,
        calls: 0,
        refusals: 0,
    }))
}

/// From where these keys were let in since an instant.
///
/// # Errors
/// 503.
pub(super) async fn addresses(
    app: &App,
    permit: &Permit<ReadKeys>,
    keys: &[KeyId],
    since: Timestamp,
) -> Result<Vec<AddressUse>, Failure> {
    let found = app
        .store
        .addresses_of_keys(permit.org(), keys, since, ADDRESSES_PER_KEY_MAX);
    Ok(found.await?)
}
