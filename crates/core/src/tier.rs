//! How a request proved who it is, and who that makes it: tier, actor, principal.

use std::{fmt, sync::Arc};

use crate::{
    grant::Grant,
    id::{KeyId, OrgId, SessionId, WorkspaceId},
    permission::PermissionSet,
    token::Prefix,
};

/// The way a request proved who it is, in the order in which the gate asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Tier 0: no credential, before the first key.
    Bootstrap,
    /// Tier 1: a person's session.
    Session,
    /// Tier 2a: an org API key.
    OrgKey,
    /// Tier 2b: `ADMIN_TOKEN`, break-glass.
    AdminToken,
    /// Tier 3: a deprecated workspace token.
    WorkspaceToken,
    /// None of them.
    Anonymous,
}

impl Tier {
    /// The short name in records, metrics and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "0",
            Self::Session => "1",
            Self::OrgKey => "2a",
            Self::AdminToken => "2b",
            Self::WorkspaceToken => "3",
            Self::Anonymous => "none",
        }
    }
}

/// The text is no short name of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tier")]
pub struct TierError;

impl std::str::FromStr for Tier {
    type Err = TierError;

    fn from_str(text: &str) -> Result<Self, TierError> {
        let all = [
            Self::Bootstrap,
            Self::Session,
            Self::OrgKey,
            Self::AdminToken,
            Self::WorkspaceToken,
            Self::Anonymous,
        ];
        let named = all.into_iter().find(|tier| tier.as_str() == text);
        named.ok_or(TierError)
    }
}

/// Who acts. Its `Display` is the label in the audit trail and in `created_by`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// `bootstrap`
    Bootstrap,
    /// `session:<user id>`
    Session(Arc<str>),
    /// `org-token:<prefix>`
    OrgKey(Prefix),
    /// `admin-token`
    AdminToken,
    /// `workspace-token:<prefix>`
    WorkspaceToken(Prefix),
    /// `policy`: the org's policy itself, outside any request.
    Policy,
    /// `anonymous`
    Anonymous,
}

impl Actor {
    /// Adds the label to a text, without the machinery of formatting.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let (start, rest) = match self {
            Self::Bootstrap => ("bootstrap", ""),
            Self::Session(person) => ("session:", &**person),
            Self::OrgKey(prefix) => ("org-token:", prefix.as_str()),
            Self::AdminToken => ("admin-token", ""),
            Self::WorkspaceToken(prefix) => ("workspace-token:", prefix.as_str()),
            Self::Policy => ("policy", ""),
            Self::Anonymous => ("anonymous", ""),
        };
        out.extend_from_slice(start.as_bytes());
        out.extend_from_slice(rest.as_bytes());
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap => f.write_str("bootstrap"),
            Self::Session(person) => {
                f.write_str("session:")?;
                f.write_str(person)
            }
            Self::OrgKey(prefix) => {
                f.write_str("org-token:")?;
                f.write_str(prefix.as_str())
            }
            Self::AdminToken => f.write_str("admin-token"),
            Self::WorkspaceToken(prefix) => {
                f.write_str("workspace-token:")?;
                f.write_str(prefix.as_str())
            }
            Self::Policy => f.write_str("policy"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// The text is not an actor label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an actor label")]
pub struct ActorError;

impl std::str::FromStr for Actor {
    type Err = ActorError;

    fn from_str(text: &str) -> Result<Self, ActorError> {
        let prefix = |text: &str| text.parse::<Prefix>().or(Err(ActorError));
        match text.split_once(':') {
            None if text == "bootstrap" => Ok(Self::Bootstrap),
            None if text == "admin-token" => Ok(Self::AdminToken),
            None if text == "policy" => Ok(Self::Policy),
            None if text == "anonymous" => Ok(Self::Anonymous),
            Some(("session", person)) if !person.is_empty() => Ok(Self::Session(person.into())),
            Some(("org-token", rest)) => prefix(rest).map(Self::OrgKey),
            Some(("workspace-token", rest)) => prefix(rest).map(Self::WorkspaceToken),
            None | Some(_) => Err(ActorError),
        }
    }
}

/// Who minted a key: shared by all keys of one minter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Minter {
    /// The label kept as `created_by`.
    pub created_by: Actor,
    /// Where the chain of minters began: a person, `admin-token` or `bootstrap`.
    pub root: Actor,
    /// The keys between the root and the minted key, nearest first; empty for a key of the org itself.
    pub chain: Vec<KeyId>,
}

/// What bounds a principal: its own grant, the grant of every key above it, and the ceiling of the
/// org's policy. No layer permits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    layers: Vec<Arc<Grant>>,
    ceiling: Option<Arc<Grant>>,
}

impl Authority {
    /// The intersection of these grants.
    #[must_use]
    pub const fn of(layers: Vec<Arc<Grant>>) -> Self {
        Self {
            layers,
            ceiling: None,
        }
    }

    /// The same under the ceiling of the org's policy, where there is one.
    #[must_use]
    pub fn under(self, ceiling: Option<Arc<Grant>>) -> Self {
        Self { ceiling, ..self }
    }

    /// The ceiling of the org's policy.
    #[must_use]
    pub const fn ceiling(&self) -> Option<&Arc<Grant>> {
        self.ceiling.as_ref()
    }

    /// What every layer permits, and the ceiling with them; nothing where there is no layer.
    #[must_use]
    pub fn permissions(&self) -> PermissionSet {
        if self.layers.is_empty() {
            return PermissionSet::NONE;
        }
        let all = self.layers.iter().chain(&self.ceiling);
        all.fold(PermissionSet::ALL, |left, grant| {
            left.intersection(grant.permissions)
        })
    }

    /// The grants, the principal's own first.
    #[must_use]
    pub fn layers(&self) -> &[Arc<Grant>] {
        &self.layers
    }
}

/// The outcome of authentication: who acts, in which org, within which authority.
#[derive(Debug, Clone)]
pub struct Principal {
    /// How it was proved.
    pub tier: Tier,
    /// The org it acts on.
    pub org: OrgId,
    /// Who acts.
    pub actor: Actor,
    /// The org API key that was presented, or whose link began the session that was presented.
    pub key: Option<KeyId>,
    /// Whom the key came from; absent where the principal is not a key.
    pub minter: Option<Arc<Minter>>,
    /// The workspace that a tier 3 token belongs to.
    pub own_workspace: Option<WorkspaceId>,
    /// Until when the presented secret is accepted, if a newer one has replaced it.
    pub replaced_until: Option<crate::time::Timestamp>,
    /// What bounds it.
    pub authority: Authority,
    /// Who acts as the person, where the identity provider says that somebody does.
    pub impersonator: Option<Arc<str>>,
    /// The session that was presented, in which a change must still be wanted when it is made.
    pub session: Option<SessionId>,
    /// Whether `ADMIN_TOKEN` was presented, or began the session that was, itself or with a link.
    pub is_break_glass: bool,
}

impl Principal {
    /// Where the chain of authority began, for `created_by` chains and the audit trail.
    #[must_use]
    pub fn root(&self) -> &Actor {
        self.minter
            .as_ref()
            .map_or(&self.actor, |minter| &minter.root)
    }

    /// What it counts as where a policy says who mints: a session that a key began is that key, and
    /// one that `ADMIN_TOKEN` began is that.
    #[must_use]
    pub const fn minting_tier(&self) -> Tier {
        match (self.key, self.is_break_glass) {
            (Some(_), _) => Tier::OrgKey,
            (None, true) => Tier::AdminToken,
            (None, false) => self.tier,
        }
    }

    /// The minter of what this principal mints.
    #[must_use]
    pub fn as_minter(&self) -> Minter {
        let above = self.minter.as_ref().map_or(&[][..], |minter| &minter.chain);
        Minter {
            created_by: self.actor.clone(),
            root: self.root().clone(),
            chain: self.key.iter().chain(above).copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Actor;

    #[test]
    fn labels_parse_back() {
        for label in [
            "bootstrap",
            "admin-token",
            "anonymous",
            "policy",
            "session:user_01H",
            "org-token:mole_a1b2c3d4",
            "workspace-token:molw_a1b2c3d4",
        ] {
            assert_eq!(
                label
                    .parse::<Actor>()
                    .map(|actor| actor.to_string())
                    .as_deref(),
                Ok(label)
            );
        }
        for label in ["", "root", "session:", "org-token:x", "admin-token:1"] {
            assert!(label.parse::<Actor>().is_err(), "{label}");
        }
    }
}
