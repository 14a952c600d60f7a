//! Who asked for a key, and who stands below it.

use std::{fmt, str::FromStr};

use super::RequestTextError;
use crate::{
    id::KeyId,
    tier::{Actor, Principal},
};

/// Who asked: a key by its id, for its label changes with its secret; anybody else by the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// An org API key.
    Key(KeyId),
    /// Anybody else.
    Other(Actor),
}

impl Asker {
    /// The asker that a principal is.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        match principal.key {
            Some(id) => Self::Key(id),
            None => Self::Other(principal.actor.clone()),
        }
    }

    /// Whether a principal descends from the asker: a key that the asker's key minted, or one whose
    /// chain began with the person who asked. `ADMIN_TOKEN` and the bootstrap mint for the org, and
    /// nothing descends from them.
    #[must_use]
    pub fn is_above(&self, principal: &Principal) -> bool {
        match self {
            Self::Key(id) => principal
                .minter
                .as_ref()
                .is_some_and(|minter| minter.chain.contains(id)),
            Self::Other(Actor::Session(_)) => {
                principal.key.is_some() && Self::Other(principal.root().clone()) == *self
            }
            Self::Other(
                Actor::Bootstrap
                | Actor::OrgKey(_)
                | Actor::AdminToken
                | Actor::WorkspaceToken(_)
                | Actor::Policy
                | Actor::Anonymous,
            ) => false,
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Other(actor) => actor.fmt(f),
        }
    }
}

impl FromStr for Asker {
    type Err = RequestTextError;

    fn from_str(text: &str) -> Result<Self, RequestTextError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Key(id));
        }
        let actor = text.parse().map(Self::Other);
        actor.or(Err(RequestTextError("an asker")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Asker;
    use crate::{
        id::{KeyId, OrgId},
        tier::{Actor, Authority, Minter, Principal, Tier},
    };

    fn key(id: u128, root: Actor, chain: &[u128]) -> Principal {
        Principal {
            tier: Tier::OrgKey,
            org: OrgId::from_u128(1),
            actor: Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix")),
            key: Some(KeyId::from_u128(id)),
            minter: Some(Arc::new(Minter {
                created_by: root.clone(),
                root,
                chain: chain.iter().map(|id| KeyId::from_u128(*id)).collect(),
            })),
            own_workspace: None,
            replaced_until: None,
            impersonator: None,
            session: None,
            is_break_glass: false,
            authority: Authority::default(),
        }
    }

    #[test]
    fn key_is_above_what_descends_from_it_and_nothing_else() {
        let asker = Asker::of(&key(7, Actor::AdminToken, &[3]));
        assert_eq!(asker, Asker::Key(KeyId::from_u128(7)));
        assert!(asker.is_above(&key(9, Actor::AdminToken, &[8, 7, 3])));
        for other in [&[3][..], &[], &[8]] {
            assert!(!asker.is_above(&key(9, Actor::AdminToken, other)));
        }
    }

    #[test]
    fn person_is_above_the_keys_that_began_with_it_and_the_org_above_none() {
        let person = Actor::Session("u".into());
        let asker = Asker::Other(person.clone());
        assert!(asker.is_above(&key(9, person, &[8])));
        assert!(!asker.is_above(&key(9, Actor::Session("v".into()), &[])));
        let org = Asker::Other(Actor::AdminToken);
        assert!(!org.is_above(&key(9, Actor::AdminToken, &[])));
    }
}
