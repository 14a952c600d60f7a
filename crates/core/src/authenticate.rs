//! From a presented credential and what was found for it to a principal.

use std::sync::Arc;

use crate::{
    denial::Denial,
    grant::{Grant, Workspaces},
    id::OrgId,
    key::{Credential, KeyCredential, KeyStatus, WorkspaceTokenCredential},
    tier::{Actor, Authority, Principal, Tier},
    time::Timestamp,
};

/// Tier 0: the principal of a request that may bootstrap.
#[must_use]
pub fn bootstrap(org: OrgId, grant: Arc<Grant>) -> Principal {
    of_the_org(Tier::Bootstrap, Actor::Bootstrap, org, grant)
}

/// Tier 2b: the principal of a request that holds `ADMIN_TOKEN`.
#[must_use]
pub fn admin_token(org: OrgId, grant: Arc<Grant>) -> Principal {
    of_the_org(Tier::AdminToken, Actor::AdminToken, org, grant)
}

fn of_the_org(tier: Tier, actor: Actor, org: OrgId, grant: Arc<Grant>) -> Principal {
    let authority = Authority::of(vec![grant]);
    Principal {
        tier,
        org,
        actor,
        key: None,
        minter: None,
        own_workspace: None,
        replaced_until: None,
        authority,
    }
}

/// Tier 2a: the principal of a request that presents a known key.
///
/// `above` are the grants of the keys that the key descends from, nearest first.
///
/// # Errors
/// A [`Denial`] saying how the key stands: whoever holds the whole secret may know.
pub fn org_key(
    key: &KeyCredential,
    above: impl IntoIterator<Item = Arc<Grant>>,
    now: Timestamp,
) -> Result<Principal, Denial> {
    check_status(key, now)?;
    let layers = std::iter::once(Arc::clone(&key.grant))
        .chain(above)
        .collect();
    Ok(Principal {
        tier: Tier::OrgKey,
        org: key.org,
        actor: Actor::OrgKey(key.prefix),
        key: Some(key.id),
        minter: Some(Arc::clone(&key.minter)),
        own_workspace: None,
        replaced_until: None,
        authority: Authority::of(layers),
    })
}

/// Tier 3: the principal of a request that presents a known workspace token.
///
/// # Errors
/// A [`Denial`] saying how the token stands.
pub fn workspace_token(
    token: &WorkspaceTokenCredential,
    above: impl IntoIterator<Item = Arc<Grant>>,
    now: Timestamp,
) -> Result<Principal, Denial> {
    check_status(token, now)?;
    let layers = std::iter::once(Arc::clone(&token.grant))
        .chain(above)
        .collect();
    let own_workspace = match &token.grant.workspaces {
        Workspaces::Ids(ids) => ids.first().copied(),
        Workspaces::All | Workspaces::Labels(_) => None,
    };
    Ok(Principal {
        tier: Tier::WorkspaceToken,
        org: token.org,
        actor: Actor::WorkspaceToken(token.prefix),
        key: None,
        minter: Some(Arc::clone(&token.minter)),
        own_workspace,
        replaced_until: None,
        authority: Authority::of(layers),
    })
}

fn check_status<K>(credential: &Credential<K>, now: Timestamp) -> Result<(), Denial> {
    match credential.status(now) {
        KeyStatus::Active => Ok(()),
        KeyStatus::Revoked => Err(Denial::Revoked),
        KeyStatus::Suspended => Err(Denial::Suspended),
        KeyStatus::Expired => Err(Denial::Expired(credential.expires_at)),
        KeyStatus::RotatedOut => Err(Denial::RotatedOut(credential.expires_at)),
        KeyStatus::NotYetValid => Err(Denial::NotYetValid(
            credential.grant.not_before.unwrap_or(Timestamp::MAX),
        )),
    }
}
