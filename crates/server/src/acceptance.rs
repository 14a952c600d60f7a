//! Whether a credential is accepted now, and as whom: by its own state, by those above it, by the
//! person at its root, and by the org's policy.

use std::sync::Arc;

use claviger_core::{
    authenticate,
    denial::Denial,
    grant::Grant,
    id::{Key, KeyId, OrgId, WorkspaceToken},
    key::{Credential, KeyStatus},
    person::PersonState,
    tier::{Actor, Minter, Principal},
    time::Timestamp,
};

use crate::{app::App, policies::InForce};

/// Who a key is, if it is accepted now.
///
/// # Errors
/// The [`Denial`] that its holder gets.
pub(crate) fn accept_key(
    app: &App,
    presented: &Credential<Key>,
    now: Timestamp,
) -> Result<Principal, Denial> {
    let found;
    let key = if presented.is_replaced {
        found = app.keys.find_by_id(presented.id).ok_or(Denial::Unknown)?;
        &found.credential
    } else {
        presented
    };
    let policy = app.policies.of(key.org);
    let policy = policy.as_deref();
    let principal = match above(app, key.org, &key.minter, policy, now) {
        Some(above) if presented.is_replaced => {
            app.old_secrets
                .settle_one(&app.keys, presented.id, (now, app.started_at));
            let end = app.old_secrets.end(&app.keys, presented, app.started_at);
            authenticate::replaced_secret((presented.prefix, end), key, above, now)?
        }
        Some(above) => authenticate::org_key(key, above, now)?,
        // Its own state is the better news, if it has any.
        None => {
            authenticate::org_key(key, [], now)?;
            return Err(Denial::MinterInactive);
        }
    };
    match policy.and_then(|policy| policy.block(key)) {
        Some(block) => Err(Denial::PolicyBlocked(block)),
        None => Ok(under(principal, policy)),
    }
}

/// The same under the ceiling of the org's policy.
fn under(principal: Principal, policy: Option<&InForce>) -> Principal {
    match policy.and_then(InForce::ceiling) {
        Some(ceiling) => Principal {
            authority: principal.authority.under(Some(ceiling)),
            ..principal
        },
        None => principal,
    }
}

/// Who a workspace token is, if it is accepted now.
///
/// # Errors
/// The [`Denial`] that its holder gets.
pub(crate) fn accept_workspace_token(
    app: &App,
    token: &Credential<WorkspaceToken>,
    now: Timestamp,
) -> Result<Principal, Denial> {
    let policy = app.policies.of(token.org);
    let policy = policy.as_deref();
    match above(app, token.org, &token.minter, policy, now) {
        Some(above) => {
            let principal = authenticate::workspace_token(token, above, now)?;
            Ok(under(principal, policy))
        }
        // As with keys.
        None => {
            authenticate::workspace_token(token, [], now)?;
            Err(Denial::MinterInactive)
        }
    }
}

/// The grants of the keys above a credential and of the person at its root, or `None` when one of
/// them is refused now.
fn above(
    app: &App,
    org: OrgId,
    minter: &Minter,
    policy: Option<&InForce>,
    now: Timestamp,
) -> Option<Vec<Arc<Grant>>> {
    let grant_of = |id: &KeyId| {
        let slot = app.keys.find_by_id(*id)?;
        let key = &slot.credential;
        let is_blocked = policy.is_some_and(|policy| policy.block(key).is_some());
        let is_active = key.status(now) == KeyStatus::Active && !is_blocked;
        is_active.then(|| Arc::clone(&key.grant))
    };
    let keys = minter.chain.iter().map(grant_of);
    let Actor::Session(person) = &minter.root else {
        return keys.collect();
    };
    let known = app.people.get(org, person);
    let own = known.and_then(|known| {
        (known.person.state == PersonState::Active).then(|| Arc::clone(&known.grant))
    });
    keys.chain([own]).collect()
}
