//! Org API keys: get, change, suspend, resume; and who may act on which.

use std::sync::Arc;

use claviger_core::{
    action::{Action, ChangeKey, ResumeKey, SuspendKey},
    authorize::Permit,
    denial::Denial,
    id::{Key, KeyId},
    key::{Credential, KeyState, OrgKey, Suspension, Use},
    tier::Tier,
    time::Timestamp,
};
use claviger_store::{KeyChange, Recorder, Turn, Written};

use crate::{app::App, clock, failure::Failure, index::Slot, rotations::later};

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
    if let Some(slot) = app.keys.find_by_id(key.id) {
        key.secret.last_use = newest_use(app, &slot, key.secret.last_use);
    }
    let newest = later(app.other_uses.get(key.id), key.secret.last_use);
    // Of two at one instant the one that the store has: it knows from where.
    key.last_use = later(newest, key.last_use);
}

/// When a key was last used, whichever of its secrets it was, or a session that it began.
pub(crate) fn last_used(app: &App, own: &Slot<Key>) -> Option<Timestamp> {
    let otherwise = app.other_uses.get(own.credential.id);
    own.last_used().max(otherwise.map(|last| last.at))
}

/// The last use of a secret, of which the store knows this much.
pub(crate) fn newest_use(app: &App, slot: &Slot<Key>, kept: Option<Use>) -> Option<Use> {
    let unwritten = app.keys.unwritten_use(&slot.credential.digest);
    let known = later(kept, unwritten);
    // The address of a use is kept once a second; its time may be known better.
    let at = slot.last_used().max(known.map(|known| known.at))?;
    Some(Use {
        at,
        from: known.and_then(|known| known.from),
    })
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
    if let (Some(asked), Some(own)) = (change.rotate_every, before.rotate_every)
        && permit.principal().key == Some(id)
        && asked.is_none_or(|asked| asked > own)
    {
        let reason = "can only be shortened by the key itself";
        return Err(Failure::out_of_range("rotate_every", reason));
    }
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
    (id, reason): (KeyId, Option<String>),
    record: Recorder<OrgKey>,
) -> Result<Written<OrgKey>, Failure> {
    may_act_on(permit, &get(app, permit, id).await?)?;
    let change = KeyChange {
        turn: Some(Turn::Suspend(Suspension {
            at: clock::now(),
            by: permit.principal().actor.clone(),
            reason,
        })),
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
        turn: Some(Turn::Resume(clock::now())),
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
    // A policy comes into force when no change is under way.
    if let (Some(metadata), Some(policy)) = (&change.metadata, app.policies.of(permit.org()))
        && let Some(name) = policy.policy.missing_metadata(metadata)
    {
        let reason = format!("must keep `{name}`: the org's policy requires it");
        return Err(Failure::out_of_range("metadata", reason));
    }
    let mut written = app
        .store
        .change_key(permit.org(), id, change, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    follow(app, &written.value)?;
    drop((birth, turn));
    refresh_last_used(app, &mut written.value);
    Ok(written)
}

/// The index says of a key from here on what the store says.
pub(crate) fn follow(app: &App, key: &OrgKey) -> Result<(), Failure> {
    if let Some(slot) = app.keys.find_by_id(key.id) {
        let digest = slot.credential.digest;
        let new = app.interner.minted(key, digest);
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
    app.policies.look_again(key);
    Ok(())
}

/// Acting on a key: the caller's own, a descendant, or one that the caller's authority covers.
pub(super) fn may_act_on<A: Action>(permit: &Permit<A>, key: &OrgKey) -> Result<(), Failure> {
    let principal = permit.principal();
    let own = principal.key;
    let is_own = own == Some(key.id);
    let is_descendant = own.is_some_and(|own| key.minter.chain.contains(&own));
    // Of a person all that goes back to it descends; it never holds more than the person does now.
    let is_person = principal.tier == Tier::Session && principal.minter.is_none();
    let goes_back = is_person && key.minter.root == principal.actor;
    if is_own || is_descendant || goes_back || permit.covers(&key.grant) {
        Ok(())
    } else {
        Err(Denial::WiderKey.into())
    }
}

/// Whether a caller may see where and from where a key was used: that is what the audit trail says,
/// which a key that is bound to some workspaces reads of those alone.
pub(super) fn may_see_uses<A: Action>(permit: &Permit<A>, key: &OrgKey) -> Result<(), Failure> {
    let own = permit.principal().key;
    let is_below = own.is_some_and(|own| own == key.id || key.minter.chain.contains(&own));
    if permit.is_unbound() || is_below {
        return Ok(());
    }
    Err(Denial::OutsideWorkspaces.into())
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
