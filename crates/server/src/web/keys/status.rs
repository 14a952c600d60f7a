//! What a key is now, as people see it.

use std::time::Duration;

use claviger_core::{
    id::{Key, KeyId},
    key::{Credential, KeyStatus as Kept, OrgKey},
    time::Timestamp,
};

use crate::{
    app::App,
    policies::{InForce, block_of},
    web::parts::KeyStatus,
};

/// A key that ends within this is about to end.
pub(super) const EXPIRING: Duration = Duration::from_secs(14 * 86_400);

/// Of a key as the store has it.
pub(super) fn of_key(app: &App, key: &OrgKey, now: Timestamp) -> KeyStatus {
    let policy = app.policies.of(key.org);
    let is_blocked = policy.is_some_and(|policy| block_of(&policy.policy, key).is_some());
    let soon = key.expires_at.is_some_and(|end| end <= now.plus(EXPIRING));
    seen(key.status(now), (is_blocked, soon), || {
        is_rotating(app, key.id, now)
    })
}

/// Of a key as the index has it.
pub(super) fn of_credential(
    app: &App,
    key: &Credential<Key>,
    policy: Option<&InForce>,
    now: Timestamp,
) -> KeyStatus {
    let is_blocked = policy.is_some_and(|policy| policy.block(key).is_some());
    let soon = key.expires_at <= now.plus(EXPIRING);
    seen(key.status(now), (is_blocked, soon), || {
        is_rotating(app, key.id, now)
    })
}

fn seen(
    kept: Kept,
    (is_blocked, ends_soon): (bool, bool),
    is_rotating: impl FnOnce() -> bool,
) -> KeyStatus {
    match kept {
        Kept::Revoked => KeyStatus::Revoked,
        Kept::Expired | Kept::RotatedOut => KeyStatus::Expired,
        Kept::Suspended => KeyStatus::Suspended,
        Kept::Active | Kept::NotYetValid if is_blocked => KeyStatus::Blocked,
        Kept::NotYetValid => KeyStatus::NotYetValid,
        Kept::Active if is_rotating() => KeyStatus::Rotating,
        Kept::Active if ends_soon => KeyStatus::Expiring,
        Kept::Active => KeyStatus::Active,
    }
}

/// Whether the secret that a key had before is accepted still.
pub(super) fn is_rotating(app: &App, id: KeyId, now: Timestamp) -> bool {
    old_end(app, id).is_some_and(|end| end > now)
}

/// From when on the replaced secret of a key is refused, as far as is known now.
pub(super) fn old_end(app: &App, id: KeyId) -> Option<Timestamp> {
    let (_, digest) = app.old_secrets.get(id)?;
    let slot = app.keys.find(&digest)?;
    let credential = &slot.credential;
    Some(app.old_secrets.end(&app.keys, credential, app.started_at))
}
