//! Rotation: a key gets another secret, and for a while both work.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    action::RotateKey,
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    id::KeyId,
    key::{Credential, OldSecret, Overlap, Use},
    permission::Permission,
    time::{Timestamp, format_duration},
    token::Secret,
};
use claviger_store::{NewSecretOfKey, Receipt, Rotated, RotationEnd, StoreError, Written};
use serde_json::json;

use super::{
    keys::{get, may_empower, newest_use, refresh_last_used},
    mints::PREFIX_TRIES,
};
use crate::{app::App, clock, entropy, failure::Failure, trace::Trace};

/// How long both secrets of a key may work.
pub const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);

/// When the old secret of a rotation is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// After so long at the latest.
    pub longest: Duration,
    /// What may end it earlier.
    pub overlap: Overlap,
}

/// A key with a new secret.
pub struct NewSecret {
    /// The key, and the secret that it had.
    pub rotated: Rotated,
    /// The new secret: for the one response that shows it.
    pub secret: Secret,
    /// From when on the old one is refused, as far as is known now.
    pub overlap_until: Timestamp,
    /// When the old one was last seen.
    pub previous_use: Option<Use>,
    /// Proof that it is recorded.
    pub receipt: Receipt,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret")
            .field("rotated", &self.rotated)
            .finish_non_exhaustive()
    }
}

/// Gives a key another secret. The one that it had is refused from the end of the overlap on, to
/// the millisecond.
///
/// # Errors
/// 403 for a key that is not the caller's own, no descendant, and wider; 404; 409 when it is revoked,
/// or while the overlap of an earlier rotation lasts; 429 beyond the mint limit.
pub async fn rotate(
    app: &Arc<App>,
    permit: &Permit<RotateKey>,
    id: KeyId,
    plan: Plan,
    trace: &Arc<Trace>,
) -> Result<NewSecret, Failure> {
    check(app, permit, id, trace).await?;
    refuse_replaced(permit)?;
    let principal = permit.principal();
    app.mint_limiter.check(principal, clock::now())?;
    let turn = app.key_turns.take(id).await;
    // A secret that was quiet for long enough is over, though the store was not told.
    app.flush_overlaps().await?;
    for _ in 0..PREFIX_TRIES {
        let secret = Secret::from_entropy(&app.config.brand, &entropy::for_secret()?);
        let acting = super::acting(principal);
        let new = NewSecretOfKey {
            prefix: secret.prefix(),
            digest: *secret.digest().as_bytes(),
            at: acting.now,
            ends_at: acting.now.plus(plan.longest),
            overlap: plan.overlap,
        };
        let record = {
            let trace = Arc::clone(trace);
            Box::new(move |rotated: &Rotated| trace.entry_of_change(200, &said("rotated", rotated)))
        };
        // As with a mint: whoever revokes the key waits until the index has its new secret.
        let birth = app.births.read().await;
        let outcome = app
            .store
            .rotate_key(permit.org(), id, new, acting, record)
            .await;
        match outcome {
            Ok(Written { value, receipt }) => {
                follow(app, &value)?;
                drop((birth, turn));
                return Ok(NewSecret {
                    overlap_until: value.old.end(value.old.replaced_at),
                    previous_use: previous_use(app, &value),
                    rotated: value,
                    secret,
                    receipt,
                });
            }
            Err(StoreError::PrefixTaken) => {}
            Err(StoreError::Exists(_)) => return Err(Failure::RotationLasts),
            Err(error) => return Err(super::narrowing_failed(app, error)),
        }
    }
    Err(Failure::Internal("no free prefix was found".to_owned()))
}

/// Ends the overlap of a rotation before its time: when this returns, one of the two secrets is
/// refused.
///
/// # Errors
/// As [`rotate`]; 404 when no overlap lasts.
pub async fn end(
    app: &Arc<App>,
    permit: &Permit<RotateKey>,
    id: KeyId,
    end: RotationEnd,
    trace: &Arc<Trace>,
) -> Result<Written<Rotated>, Failure> {
    check(app, permit, id, trace).await?;
    if end == RotationEnd::Cancel {
        refuse_replaced(permit)?;
    }
    let turn = app.key_turns.take(id).await;
    let what = match end {
        RotationEnd::Finish => "finished_rotation",
        RotationEnd::Cancel => "cancelled_rotation",
    };
    let record = {
        let trace = Arc::clone(trace);
        Box::new(move |rotated: &Rotated| {
            trace.entry_of_change(trace.status_of_change(), &said(what, rotated))
        })
    };
    let birth = app.births.read().await;
    let acting = super::acting(permit.principal());
    let written = app
        .store
        .end_rotation(permit.org(), id, end, acting, record)
        .await;
    if let Err(StoreError::NotFound("rotation")) = written {
        // It may have been ended by a request whose answer got lost: the repetition passes the
        // barrier too. This key alone: others are being changed beside us.
        app.take_in_old_secrets(|other| other == id).await?;
    }
    let mut written = written.map_err(|error| super::narrowing_failed(app, error))?;
    follow(app, &written.value)?;
    drop((birth, turn));
    refresh_last_used(app, &mut written.value.key);
    Ok(written)
}

/// A key may always rotate itself; another one under the rules for acting on keys.
async fn check(
    app: &App,
    permit: &Permit<RotateKey>,
    id: KeyId,
    trace: &Trace,
) -> Result<(), Failure> {
    if permit.principal().key == Some(id) {
        return Ok(());
    }
    if !permit.has(Permission::TokensMint) {
        return Err(Denial::MissingPermission(Permission::TokensMint).into());
    }
    // The action itself asks for nothing, so that a key can always rotate itself.
    if !permit.reaches_endpoint(trace.method.as_str(), &trace.path) {
        return Err(Denial::OutsideEndpoints.into());
    }
    may_empower(app, permit, &get(app, permit, id).await?)
}

/// Whoever holds a secret that was replaced, perhaps because it leaked, must not get a new one with it,
/// nor take the new one out of force.
fn refuse_replaced(permit: &Permit<RotateKey>) -> Result<(), Failure> {
    match permit.principal().replaced_until {
        Some(_) => Err(Denial::ReplacedSecret.into()),
        None => Ok(()),
    }
}

/// From here on the index knows both secrets as the store does.
pub(super) fn follow(app: &App, rotated: &Rotated) -> Result<(), Failure> {
    let digest = Digest::from_bytes(rotated.digest);
    let old_digest = Digest::from_bytes(rotated.old_digest);
    let last_used = app.keys.find(&digest).and_then(|slot| slot.last_used());
    let own = app.interner.minted(&rotated.key, digest);
    let own: Credential<_> = own.map_err(Failure::Internal)?;
    // As long as it is the key's own, the index knows best when it was used.
    let slot = app.keys.find(&old_digest);
    let seen = slot.and_then(|slot| newest_use(app, &slot, rotated.old.last_use));
    let old = OldSecret {
        last_use: seen,
        ..rotated.old
    };
    for last in seen.into_iter().chain(rotated.key.last_use) {
        app.other_uses.keep(old.key, last);
    }
    app.old_secrets.take_in(&app.keys, old, old_digest);
    app.keys.put(own, last_used);
    Ok(())
}

/// When the old secret was last seen.
fn previous_use(app: &App, rotated: &Rotated) -> Option<Use> {
    let slot = app.keys.find(&Digest::from_bytes(rotated.old_digest))?;
    newest_use(app, &slot, rotated.old.last_use)
}

fn said(what: &str, rotated: &Rotated) -> serde_json::Value {
    let said = json!({
        "id": rotated.key.id.to_string(),
        "prefix": rotated.key.prefix.as_str(),
        "previous": rotated.old.prefix.as_str(),
        "overlap_until": rotated.old.ends_at.to_string(),
        "ends": match rotated.old.overlap {
            Overlap::Fixed => "fixed".to_owned(),
            Overlap::OnFirstUse(span) => format!("{} after first use", format_duration(span)),
            Overlap::WhenQuiet(span) => format!("after {} of quiet", format_duration(span)),
        },
    });
    serde_json::Value::Object([(what.to_owned(), said)].into_iter().collect())
}
