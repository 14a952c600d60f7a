//! From a presented credential and what was found for it to a principal.

use std::sync::Arc;

use crate::{
    denial::Denial,
    grant::{Grant, Workspaces},
    id::{OrgId, SessionId},
    key::{Credential, KeyCredential, KeyStatus, WorkspaceTokenCredential},
    person::{Person, PersonState},
    tier::{Actor, Authority, Principal, Tier},
    time::Timestamp,
    token::Prefix,
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
        impersonator: None,
        session: None,
        is_break_glass: matches!(tier, Tier::AdminToken),
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
        impersonator: None,
        session: None,
        is_break_glass: false,
        authority: Authority::of(layers),
    })
}

/// Tier 2a: the principal of a request that presents a secret which a newer one of the same key has
/// replaced: whatever holds for the key holds for it, until its own end.
///
/// `prefix` is the public name of that secret, `end` the instant from which on it is refused.
///
/// # Errors
/// The denial of the key; [`Denial::RotatedOut`] from the end of the overlap on.
pub fn replaced_secret(
    (prefix, end): (Prefix, Timestamp),
    key: &KeyCredential,
    above: impl IntoIterator<Item = Arc<Grant>>,
    now: Timestamp,
) -> Result<Principal, Denial> {
    let principal = org_key(key, above, now)?;
    if now >= end {
        return Err(Denial::RotatedOut(end));
    }
    Ok(Principal {
        actor: Actor::OrgKey(prefix),
        replaced_until: Some(end),
        ..principal
    })
}

/// Tier 1: the principal of a request that presents the session of an active person, or that
/// person's access token.
///
/// `grants` are what the person's role comes to, and what a token says of it.
///
/// # Errors
/// A [`Denial`] for a person who is not active.
pub fn person(
    person: &Person,
    grants: Vec<Arc<Grant>>,
    (session, impersonator): (Option<SessionId>, Option<Arc<str>>),
) -> Result<Principal, Denial> {
    check_person(person)?;
    Ok(Principal {
        tier: Tier::Session,
        org: person.org,
        actor: person.id.actor(),
        key: None,
        minter: None,
        own_workspace: None,
        replaced_until: None,
        impersonator,
        session,
        is_break_glass: false,
        authority: Authority::of(grants),
    })
}

/// Tier 1: the principal of a request that presents a session which a key's link began. It is the key
/// in all that the key holds, is held to, and leaves in the trail; a person is at the keyboard.
///
/// `key` is the principal that the key itself would be now, under the org's policy.
///
/// # Errors
/// A [`Denial`] for a person who is not active.
pub fn through_key(
    person: &Person,
    key: Principal,
    (session, impersonator): (Option<SessionId>, Option<Arc<str>>),
) -> Result<Principal, Denial> {
    check_person(person)?;
    Ok(Principal {
        tier: Tier::Session,
        actor: person.id.actor(),
        impersonator,
        session,
        ..key
    })
}

fn check_person(person: &Person) -> Result<(), Denial> {
    match person.state {
        PersonState::Active => Ok(()),
        PersonState::Suspended => Err(Denial::PersonSuspended),
        PersonState::Removed => Err(Denial::PersonRemoved),
    }
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
        impersonator: None,
        session: None,
        is_break_glass: false,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{org_key, replaced_secret};
    use crate::{
        denial::Denial,
        digest::Digest,
        grant::Grant,
        id::{KeyId, OrgId},
        key::{Credential, KeyCredential, KeyState},
        tier::{Actor, Minter},
        time::Timestamp,
    };

    fn credential(prefix: &str, expires_at: i64, is_replaced: bool) -> KeyCredential {
        Credential {
            digest: Digest::of(prefix.as_bytes()),
            prefix: prefix.parse().expect("a prefix"),
            state: KeyState::Live,
            is_replaced,
            id: KeyId::from_u128(1),
            org: OrgId::from_u128(1),
            grant: Arc::new(Grant::admin()),
            minter: Arc::new(Minter {
                created_by: Actor::AdminToken,
                root: Actor::AdminToken,
                chain: Vec::new(),
            }),
            name: "k".into(),
            expires_at: Timestamp::from_millis(expires_at),
        }
    }

    #[test]
    fn replaced_secret_is_refused_from_the_exact_millisecond_on() {
        let old = credential("mole_00000001", 1000, true);
        let own = credential("mole_00000002", 5000, false);
        let at = |millis| {
            replaced_secret(
                (old.prefix, old.expires_at),
                &own,
                [],
                Timestamp::from_millis(millis),
            )
        };
        let last = at(999).expect("accepted");
        assert_eq!(last.actor, Actor::OrgKey(old.prefix));
        assert_eq!(last.replaced_until, Some(old.expires_at));
        let ended = Denial::RotatedOut(Timestamp::from_millis(1000));
        assert_eq!(at(1000).err(), Some(ended));
        assert!(org_key(&own, [], Timestamp::from_millis(1000)).is_ok());
    }

    #[test]
    fn replaced_secret_ends_with_its_key() {
        let old = credential("mole_00000001", 9000, true);
        let mut own = credential("mole_00000002", 5000, false);
        let at = |own: &KeyCredential, millis| {
            replaced_secret(
                (old.prefix, old.expires_at),
                own,
                [],
                Timestamp::from_millis(millis),
            )
            .err()
        };
        assert_eq!(at(&own, 5000), Some(Denial::Expired(own.expires_at)));
        own.state = KeyState::Suspended;
        assert_eq!(at(&own, 1), Some(Denial::Suspended));
        own.state = KeyState::Revoked;
        assert_eq!(at(&own, 9999), Some(Denial::Revoked));
    }
}
