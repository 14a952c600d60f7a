//! Org API keys: mint, list, change, revoke.

use std::sync::Arc;

use claviger_core::{
    action::{Action, ChangeKey, MintKey, ResumeKey, RevokeKey, SuspendKey},
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    grant::Grant,
    id::{KeyId, OrgId},
    key::{Credential, KeyState, Metadata, OrgKey, Revocation},
    permission::Permission,
    tier::{Minter, Tier},
    time::Timestamp,
    token::{Prefix, Secret},
};
use claviger_store::{
    Idempotency, KeyChange, NewKey, Receipt, Recorder, Revocations, Revoked, StoreError,
    Suspension, Written,
};
use serde_json::json;

use crate::{app::App, clock, entropy, failure::Failure, trace::Trace};

/// How often a mint is tried with another secret when its prefix is taken: at a million keys that
/// happens once in a hundred million mints.
pub(super) const PREFIX_TRIES: usize = 5;
/// The most keys above a key: each of them is looked at for each request.
const CHAIN_MAX: usize = 16;

/// A key to be minted, checked.
#[derive(Debug, Clone)]
pub struct Mint {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Free pairs.
    pub metadata: Metadata,
    /// What makes a repetition recognisable.
    pub idempotency: Option<Idempotency>,
}

/// A key that was minted, with its secret.
pub struct Minted {
    /// The key.
    pub key: OrgKey,
    /// The secret: for the one response that shows it.
    pub secret: Secret,
    /// Proof that it is recorded.
    pub receipt: Receipt,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Mints a key.
///
/// # Errors
/// 403 for a grant beyond the minter's, 409 for a repetition, 429 beyond the mint limit.
pub async fn mint(
    app: &Arc<App>,
    permit: &Permit<MintKey>,
    mint: Mint,
    trace: &Arc<Trace>,
) -> Result<Minted, Failure> {
    let principal = permit.principal();
    if let Some(field) = permit.field_beyond(&mint.grant) {
        return Err(Failure::BeyondMinter(field));
    }
    let minter = principal.as_minter();
    if minter.chain.len() > CHAIN_MAX {
        return Err(Failure::Refused(
            "a key may stand at most 16 mints below the org",
        ));
    }
    let now = clock::now();
    app.mint_limiter.check(principal, now)?;
    for _ in 0..PREFIX_TRIES {
        let secret = Secret::from_entropy(&app.config.brand, &entropy::for_secret()?);
        let key = new_key(principal.org, &minter, &mint, (secret.prefix(), now));
        let new = NewKey {
            key,
            digest: *secret.digest().as_bytes(),
            is_bootstrap: principal.tier == Tier::Bootstrap,
            idempotency: mint.idempotency.clone(),
        };
        let acting = super::acting(principal);
        let birth = app.births.read().await;
        let outcome = app.store.mint_key(new, acting, record_mint(trace)).await;
        match outcome {
            Ok(Written {
                value: key,
                receipt,
            }) => {
                take_in(app, &key, secret.digest())?;
                drop(birth);
                return Ok(Minted {
                    key,
                    secret,
                    receipt,
                });
            }
            Err(StoreError::PrefixTaken) => {}
            Err(StoreError::BootstrapClosed) => {
                app.bootstrap.close();
                return Err(StoreError::BootstrapClosed.into());
            }
            Err(error) => {
                let is_unknown = matches!(error, StoreError::Unavailable { .. });
                if is_unknown && principal.tier == Tier::Bootstrap {
                    app.settle_bootstrap();
                }
                return Err(error.into());
            }
        }
    }
    Err(Failure::Internal("no free prefix was found".to_owned()))
}

fn new_key(org: OrgId, minter: &Minter, mint: &Mint, (prefix, now): (Prefix, Timestamp)) -> OrgKey {
    OrgKey {
        id: KeyId::from_parts(now, entropy::bits()),
        org,
        name: mint.name.clone(),
        prefix,
        minter: minter.clone(),
        created_at: now,
        expires_at: mint.expires_at,
        grant: mint.grant.clone(),
        metadata: mint.metadata.clone(),
        suspended_at: None,
        revocation: None,
        last_used_at: None,
    }
}

fn record_mint(trace: &Arc<Trace>) -> Recorder<OrgKey> {
    let trace = Arc::clone(trace);
    Box::new(move |key: &OrgKey| {
        let grant: serde_json::Value =
            serde_json::from_str(&key.grant.to_json()).unwrap_or_default();
        let change = json!({"minted": {
            "id": key.id.to_string(),
            "name": key.name,
            "prefix": key.prefix.as_str(),
            "expires_at": key.expires_at.map(|at| at.to_string()),
            "grant": grant,
        }});
        trace.entry_of_change(201, &change)
    })
}

/// From the commit on the key is accepted, and tier 0 is closed.
fn take_in(app: &App, key: &OrgKey, digest: Digest) -> Result<(), Failure> {
    app.bootstrap.close();
    let credential = app
        .interner
        .minted(key, digest)
        .map_err(Failure::Internal)?;
    app.keys.put(credential, None);
    Ok(())
}

/// A key of the caller's org.
///
/// # Errors
/// 404.
pub async fn get<A: Action>(app: &App, permit: &Permit<A>, id: KeyId) -> Result<OrgKey, Failure> {
    let mut key = app
        .store
        .find_key(permit.org(), id)
        .await?
        .ok_or(Failure::NotFound("key"))?;
    refresh_last_used(app, &mut key);
    Ok(key)
}

/// Uses are written behind: what memory knows is newer.
pub fn refresh_last_used(app: &App, key: &mut OrgKey) {
    let known = app
        .keys
        .find_by_id(key.id)
        .and_then(|slot| slot.last_used());
    key.last_used_at = key.last_used_at.max(known);
}

/// Changes name and metadata, or narrows a key; `make` says what changes, given what it is.
///
/// # Errors
/// 403 for a key wider than the caller, 404, 409 when it is revoked or was changed meanwhile, 422 for
/// a change that would widen it.
pub async fn change(
    app: &Arc<App>,
    permit: &Permit<ChangeKey>,
    id: KeyId,
    make: impl FnOnce(&OrgKey) -> Result<KeyChange, Failure>,
    record: Recorder<OrgKey>,
) -> Result<Written<OrgKey>, Failure> {
    let before = get(app, permit, id).await?;
    may_act_on(permit, &before)?;
    let change = make(&before)?;
    if let Some((from, to)) = &change.grant {
        from.covers(to).map_err(|error| {
            let reason = "can only be narrowed; mint another key for more";
            Failure::out_of_range(error.field, reason)
        })?;
    }
    if let (Some(asked), Some(ends)) = (change.expires_at, before.expires_at)
        && asked > ends
    {
        let reason = "can only be brought forward; mint another key for longer";
        return Err(Failure::out_of_range("expires_at", reason));
    }
    settle(app, permit, id, change, record).await
}

/// Suspends a key: when this returns, no request with it, or with what it minted, is accepted until
/// it is resumed.
///
/// # Errors
/// 403 for a key that is not the caller's own, no descendant, and wider; 404, 409 when it is revoked.
pub async fn suspend(
    app: &Arc<App>,
    permit: &Permit<SuspendKey>,
    id: KeyId,
    record: Recorder<OrgKey>,
) -> Result<Written<OrgKey>, Failure> {
    may_act_on(permit, &get(app, permit, id).await?)?;
    let change = KeyChange {
        suspension: Some(Suspension::Suspend(clock::now())),
        ..KeyChange::default()
    };
    settle(app, permit, id, change, record).await
}

/// Resumes a suspended key.
///
/// # Errors
/// As [`suspend`].
pub async fn resume(
    app: &Arc<App>,
    permit: &Permit<ResumeKey>,
    id: KeyId,
    record: Recorder<OrgKey>,
) -> Result<Written<OrgKey>, Failure> {
    may_empower(app, permit, &get(app, permit, id).await?)?;
    let change = KeyChange {
        suspension: Some(Suspension::Resume),
        ..KeyChange::default()
    };
    settle(app, permit, id, change, record).await
}

/// Commits a change and makes the index follow. Changes of one key take turns, so that the index
/// follows them in the order of their commits.
async fn settle<A: Action>(
    app: &Arc<App>,
    permit: &Permit<A>,
    id: KeyId,
    change: KeyChange,
    record: Recorder<OrgKey>,
) -> Result<Written<OrgKey>, Failure> {
    let acting = super::acting(permit.principal());
    let turn = app.key_turns.take(id).await;
    // Whoever makes the index agree with the store waits meanwhile: it might have read the row before.
    let birth = app.births.read().await;
    let mut written = app
        .store
        .change_key(permit.org(), id, change, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    if let Some(slot) = app.keys.find_by_id(id) {
        let digest = slot.credential.digest;
        let new = app.interner.minted(&written.value, digest);
        let new = new.map_err(Failure::Internal)?;
        app.keys.change(&digest, |old| Credential {
            // A revocation is final, whichever of the two was committed first.
            state: match old.state {
                KeyState::Revoked => KeyState::Revoked,
                KeyState::Live | KeyState::Suspended => new.state,
            },
            ..new
        });
    }
    drop((birth, turn));
    refresh_last_used(app, &mut written.value);
    Ok(written)
}

/// The end of a key, as it is answered.
#[derive(Debug)]
pub struct Ended {
    /// What died and when.
    pub revoked: Revoked,
    /// From when on every request is refused.
    pub effective_at: Timestamp,
    /// Proof that it is recorded; absent for a repetition.
    pub receipt: Option<Receipt>,
}

/// Revokes a key and its descendants: when this returns, no request with any of them is accepted.
///
/// # Errors
/// 403 for a key that is not the caller's own, no descendant, and wider; 404.
pub async fn revoke(
    app: &Arc<App>,
    permit: &Permit<RevokeKey>,
    id: KeyId,
    reason: Option<String>,
    record: Recorder<Revoked>,
) -> Result<Ended, Failure> {
    let principal = permit.principal();
    if principal.key != Some(id) {
        if !permit.has(Permission::TokensRevoke) {
            return Err(Denial::MissingPermission(Permission::TokensRevoke).into());
        }
        // The action itself asks for nothing, so that a key can always give itself up.
        if !permit.reaches_endpoint("DELETE", &format!("/org/tokens/{id}")) {
            return Err(Denial::OutsideEndpoints.into());
        }
        may_act_on(permit, &get(app, permit, id).await?)?;
    }
    let now = clock::now();
    let end = Revocation {
        at: now,
        by: principal.actor.clone(),
        reason,
    };
    let acting = super::acting(principal);
    let outcome = app
        .store
        .revoke_key(permit.org(), id, end, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    match outcome {
        Revocations::Now(Written {
            value: revoked,
            receipt,
        }) => {
            let effective_at = drop_keys(app, &revoked, None).await;
            Ok(Ended {
                revoked,
                effective_at,
                receipt: Some(receipt),
            })
        }
        Revocations::Before(revoked) => {
            // The index has them as revoked already, or is made to: a repetition passes the barrier too.
            let effective_at = drop_keys(app, &revoked, Some(revoked.at)).await;
            Ok(Ended {
                revoked,
                effective_at,
                receipt: None,
            })
        }
    }
}

/// From here on no request with any of them is accepted. Gives the instant of the first time.
pub(super) async fn drop_keys(app: &App, revoked: &Revoked, first: Option<Timestamp>) -> Timestamp {
    let alone = app.births.write().await;
    for key in std::iter::once(&revoked.key).chain(&revoked.descendants) {
        app.keys
            .change(&Digest::from_bytes(key.digest), |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
    }
    drop(alone);
    let mut effective = app.effective.lock();
    if effective.len() > crate::app::EFFECTIVE_KEPT_MAX {
        effective.clear();
    }
    *effective
        .entry(revoked.key.id)
        .or_insert_with(|| first.unwrap_or_else(clock::now))
}

/// Acting on a key: the caller's own, a descendant, or one that the caller's authority covers.
pub(super) fn may_act_on<A: Action>(permit: &Permit<A>, key: &OrgKey) -> Result<(), Failure> {
    let own = permit.principal().key;
    let is_own = own == Some(key.id);
    let is_descendant = own.is_some_and(|own| key.minter.chain.contains(&own));
    if is_own || is_descendant || permit.covers(&key.grant) {
        Ok(())
    } else {
        Err(Denial::WiderKey.into())
    }
}

/// Acting on a key so that somebody obtains or regains its power: beside the rule above, not on a
/// key that the caller descends from, and on none that outlives the caller.
pub(super) fn may_empower<A: Action>(
    app: &App,
    permit: &Permit<A>,
    key: &OrgKey,
) -> Result<(), Failure> {
    may_act_on(permit, key)?;
    let principal = permit.principal();
    let above = principal.minter.as_ref().map_or(&[][..], |m| &m.chain);
    let is_below = principal
        .key
        .is_some_and(|own| own == key.id || key.minter.chain.contains(&own));
    if is_below {
        return Ok(());
    }
    let end_of = |id: &KeyId| {
        let slot = app.keys.find_by_id(*id);
        slot.map_or(Timestamp::from_millis(0), |slot| slot.credential.expires_at)
    };
    let ends = principal.key.iter().chain(above).map(end_of).min();
    let outlives = key.expires_at.unwrap_or(Timestamp::MAX) > ends.unwrap_or(Timestamp::MAX);
    if above.contains(&key.id) || outlives {
        return Err(Denial::WiderKey.into());
    }
    Ok(())
}
