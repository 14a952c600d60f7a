//! The org's policy: the ceiling over every key of the org, and what a key must be like.
//!
//! The ceiling (permissions, addresses) cuts what a key may do, at every request. What a key must be
//! like (its life, its metadata) blocks one that is not; nothing is deleted, and a policy that is
//! loosened again lets the same keys work again.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use crate::{
    grant::Grant,
    permission::PermissionSet,
    signal::SignalType,
    tier::Tier,
    time::{Timestamp, format_duration},
};

mod text;

pub use text::PolicyText;

/// The most names of metadata that a policy can require.
pub const REQUIRED_METADATA_MAX: usize = 16;

/// The shortest time for which the bodies of audit records are kept.
pub const KEEP_AUDIT_MIN: Duration = Duration::from_hours(24);

/// Who may mint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minters {
    /// People, by their sessions.
    pub people: bool,
    /// Org API keys.
    pub keys: bool,
    /// `ADMIN_TOKEN`.
    pub admin_token: bool,
}

impl Minters {
    /// Everybody whose grant allows it.
    pub const ALL: Self = Self {
        people: true,
        keys: true,
        admin_token: true,
    };

    /// Whether a tier is among them. The bootstrap comes before any policy.
    #[must_use]
    pub const fn has(self, tier: Tier) -> bool {
        match tier {
            Tier::Session => self.people,
            Tier::OrgKey => self.keys,
            Tier::AdminToken => self.admin_token,
            Tier::Bootstrap => true,
            Tier::WorkspaceToken | Tier::Anonymous => false,
        }
    }
}

/// What an org asks of its keys. The default asks nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The permissions that keys may hold, as patterns and presets were written; `None` for all.
    pub permissions: Option<Vec<String>>,
    /// Presets that are allowed beside `permissions`; `None` for none.
    pub presets: Option<Vec<String>>,
    /// What the two come to.
    pub ceiling: PermissionSet,
    /// From where keys may be used; empty is from anywhere.
    pub ip_allow: Vec<IpNet>,
    /// The longest life of a key, from its mint to its end.
    pub lifetime_max: Option<Duration>,
    /// Whether every key must have an end.
    pub is_expiry_required: bool,
    /// Names of metadata that every key must have.
    pub required_metadata: Vec<String>,
    /// Who may mint.
    pub minters: Minters,
    /// How many keys of the org may live at a time.
    pub keys_max: Option<u32>,
    /// How many keys may stand above a key.
    pub depth_max: Option<u32>,
    /// A key that was not used for so long is suspended.
    pub idle_max: Option<Duration>,
    /// Whether a key whose rotation is overdue is suspended.
    pub suspends_overdue: bool,
    /// A key of which such a signal tells is suspended. In the order of the types, each once.
    pub suspends_on: Vec<SignalType>,
    /// For how long the bodies of audit records are kept; `None` for ever.
    pub keep_audit_for: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            permissions: None,
            presets: None,
            ceiling: PermissionSet::ALL,
            ip_allow: Vec::new(),
            lifetime_max: None,
            is_expiry_required: false,
            required_metadata: Vec::new(),
            minters: Minters::ALL,
            keys_max: None,
            depth_max: None,
            idle_max: None,
            suspends_overdue: false,
            suspends_on: Vec::new(),
            keep_audit_for: None,
        }
    }
}

/// Why a key is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Block {
    /// It has no end.
    #[error(
        "the org's policy requires that every key has an end: give it one with PATCH, or mint another in its place"
    )]
    NoEnd,
    /// It lives longer than is allowed.
    #[error("the key's end lies further from its mint than the org's policy allows ({}): bring it forward with PATCH, or mint another in its place", format_duration(*.0))]
    Lifetime(Duration),
    /// It lacks metadata.
    #[error(
        "the key lacks metadata that the org's policy requires: see `required_metadata` of GET /org/policy, and add it with PATCH"
    )]
    Metadata,
}

impl Block {
    /// The stable word in answers and records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoEnd => "no_end",
            Self::Lifetime(_) => "lifetime",
            Self::Metadata => "metadata",
        }
    }
}

/// Why a mint is not allowed, and the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Breach {
    /// The field of the mint.
    pub field: &'static str,
    /// In words.
    pub reason: String,
}

/// A key to be, as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct NewKeyFacts<'a> {
    /// How the minter proved itself.
    pub tier: Tier,
    /// How many keys stand above it.
    pub depth: usize,
    /// What it may do.
    pub grant: &'a Grant,
    /// How long it lives; `None` for ever.
    pub lifetime: Option<Duration>,
    /// Its metadata.
    pub metadata: &'a BTreeMap<String, String>,
}

impl Policy {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The ceiling as a grant, where there is one.
    #[must_use]
    pub fn ceiling(&self) -> Option<Grant> {
        let is_open = self.ceiling == PermissionSet::ALL && self.ip_allow.is_empty();
        (!is_open).then(|| Grant {
            permissions: self.ceiling,
            ip_allow: self.ip_allow.clone(),
            ..Grant::admin()
        })
    }

    /// Why a key is blocked, apart from its metadata.
    #[must_use]
    pub fn block(&self, created_at: Timestamp, ends: Option<Timestamp>) -> Option<Block> {
        match (ends, self.lifetime_max) {
            (None, Some(_)) => Some(Block::NoEnd),
            (None, None) => self.is_expiry_required.then_some(Block::NoEnd),
            (Some(end), Some(longest)) if end > created_at.plus(longest) => {
                Some(Block::Lifetime(longest))
            }
            (Some(_), Some(_) | None) => None,
        }
    }

    /// The first required name that is missing.
    #[must_use]
    pub fn missing_metadata(&self, metadata: &BTreeMap<String, String>) -> Option<&str> {
        let names = self.required_metadata.iter();
        let mut missing = names.filter(|name| metadata.get(*name).is_none_or(String::is_empty));
        missing.next().map(String::as_str)
    }

    /// Decides on a mint.
    ///
    /// # Errors
    /// The first [`Breach`].
    pub fn check_mint(&self, new: NewKeyFacts<'_>) -> Result<(), Breach> {
        let breach = |field, reason: String| Err(Breach { field, reason });
        if !self.minters.has(new.tier) {
            return breach(
                "minters",
                "the org's policy does not let you mint".to_owned(),
            );
        }
        if let Some(deepest) = self.depth_max
            && u32::try_from(new.depth).map_or(true, |depth| depth > deepest)
        {
            let reason = format!(
                "the org's policy (`depth_max`) allows {deepest} keys above a key at most: let a key above you mint it"
            );
            return breach("depth_max", reason);
        }
        if !self.ceiling.covers(new.grant.permissions) {
            let allowed = self.ceiling.patterns().join(", ");
            let reason =
                format!("`permissions` holds more than the org's policy allows: {allowed}");
            return breach("permissions", reason);
        }
        if let Some(name) = self.missing_metadata(new.metadata) {
            let reason = format!("the org's policy requires `metadata` with `{name}`");
            return breach("metadata", reason);
        }
        // The instants do not matter, only how far they lie apart.
        let start = Timestamp::from_millis(0);
        match self.block(start, new.lifetime.map(|span| start.plus(span))) {
            Some(Block::NoEnd) => breach(
                "expires_in",
                "the org's policy requires that every key has an end: give `expires_in`".to_owned(),
            ),
            Some(Block::Lifetime(longest)) => breach(
                "expires_in",
                format!(
                    "the org's policy allows keys to live for {} at most",
                    format_duration(longest)
                ),
            ),
            Some(Block::Metadata) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{Block, Minters, NewKeyFacts, Policy};
    use crate::{grant::Grant, permission::PermissionSet, tier::Tier, time::Timestamp};

    const DAY: Duration = Duration::from_secs(86_400);

    fn field(policy: &Policy, change: impl FnOnce(&mut NewKeyFacts<'_>)) -> Option<&'static str> {
        let (grant, metadata) = (Grant::admin(), BTreeMap::new());
        let mut new = NewKeyFacts {
            tier: Tier::OrgKey,
            depth: 1,
            grant: &grant,
            lifetime: None,
            metadata: &metadata,
        };
        change(&mut new);
        policy.check_mint(new).err().map(|breach| breach.field)
    }

    #[test]
    fn the_default_asks_nothing() {
        assert_eq!(field(&Policy::default(), |_| {}), None);
        assert_eq!(Policy::default().ceiling(), None);
        assert_eq!(
            Policy::default().block(Timestamp::from_millis(0), None),
            None
        );
    }

    #[test]
    fn each_rule_names_its_field() {
        let reader = PermissionSet::preset("reader").expect("a preset");
        let table = [
            (
                Policy {
                    minters: Minters {
                        keys: false,
                        ..Minters::ALL
                    },
                    ..Policy::default()
                },
                "minters",
            ),
            (
                Policy {
                    depth_max: Some(0),
                    ..Policy::default()
                },
                "depth_max",
            ),
            (
                Policy {
                    ceiling: reader,
                    ..Policy::default()
                },
                "permissions",
            ),
            (
                Policy {
                    required_metadata: vec!["team".to_owned()],
                    ..Policy::default()
                },
                "metadata",
            ),
            (
                Policy {
                    is_expiry_required: true,
                    ..Policy::default()
                },
                "expires_in",
            ),
            (
                Policy {
                    lifetime_max: Some(DAY),
                    ..Policy::default()
                },
                "expires_in",
            ),
        ];
        for (policy, expected) in table {
            assert_eq!(field(&policy, |_| {}), Some(expected));
        }
        let short = Policy {
            lifetime_max: Some(DAY),
            ..Policy::default()
        };
        assert_eq!(field(&short, |new| new.lifetime = Some(DAY)), None);
        assert_eq!(
            field(&short, |new| new.lifetime = Some(DAY * 2)),
            Some("expires_in")
        );
    }

    #[test]
    fn a_key_is_blocked_by_its_life_and_not_by_its_age() {
        let policy = Policy {
            lifetime_max: Some(DAY),
            ..Policy::default()
        };
        let made = Timestamp::from_millis(1000);
        assert_eq!(policy.block(made, None), Some(Block::NoEnd));
        assert_eq!(policy.block(made, Some(made.plus(DAY))), None);
        let late = made.plus(DAY + Duration::from_millis(1));
        assert_eq!(policy.block(made, Some(late)), Some(Block::Lifetime(DAY)));
    }

    #[test]
    fn empty_metadata_is_missing() {
        let policy = Policy {
            required_metadata: vec!["team".to_owned()],
            ..Policy::default()
        };
        let pairs = |value: &str| [("team".to_owned(), value.to_owned())].into();
        assert_eq!(policy.missing_metadata(&pairs("")), Some("team"));
        assert_eq!(policy.missing_metadata(&pairs("red")), None);
    }
}
