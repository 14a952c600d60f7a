//! What speaks against a key as it is, in words for whoever is to look at it.

use std::time::Duration;

use crate::{
    grant::{Grant, Workspaces},
    permission::{Permission, PermissionSet},
    time::Timestamp,
};

/// Permissions by which a stolen key does the most harm.
pub const SENSITIVE: &[Permission] = &[
    Permission::SecretsReveal,
    Permission::TokensMint,
    Permission::TokensRevoke,
    Permission::OrgAdmin,
    Permission::WorkspacesDelete,
];

/// A key that holds everything and used at most so many permissions is wider than it need be.
const FEW_PERMISSIONS: usize = 5;
/// One day in seconds.
const DAY_SECONDS: u64 = 86_400;

/// From which ages on something speaks against a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// A key younger than this may yet be used for the first time.
    pub unused: Duration,
    /// A key that was not used for so long is idle.
    pub idle: Duration,
}

/// What a key is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Habits<'a> {
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it was last accepted.
    pub last_used_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub grant: &'a Grant,
    /// The permissions that it used; `None` when that is not known.
    pub used: Option<PermissionSet>,
    /// How the person stands that minted it, or that it goes back to, where that person is not here.
    pub left: Option<Left>,
}

/// How somebody who made keys is not here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Removed from the org.
    Removed,
    /// Suspended.
    Suspended,
    /// Has not signed in for so long.
    Away(Duration),
}

/// Something that speaks against a key as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Somebody made it who left, and may still know its secret.
    MakerLeft(Left),
    /// It was never accepted.
    NeverUsed,
    /// It was not accepted for so long.
    Idle(Duration),
    /// It does not end by itself.
    NoExpiry,
    /// It holds sensitive permissions (these) that it does not use, or everything and uses little.
    OverBroad(PermissionSet),
}

impl Concern {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MakerLeft(_) => "maker_left",
            Self::NeverUsed => "never_used",
            Self::Idle(_) => "idle",
            Self::NoExpiry => "no_expiry",
            Self::OverBroad(_) => "over_broad",
        }
    }

    /// In a few words.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::MakerLeft(Left::Removed) => "made by somebody who left".to_owned(),
            Self::MakerLeft(Left::Suspended) => "made by somebody suspended".to_owned(),
            Self::MakerLeft(Left::Away(age)) => {
                format!("its maker was away for {}", age_text(age))
            }
            Self::NeverUsed => "never used".to_owned(),
            Self::Idle(age) => format!("idle for {}", age_text(age)),
            Self::NoExpiry => "has no expiry".to_owned(),
            Self::OverBroad(_) => "over-broad".to_owned(),
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::MakerLeft(Left::Removed) => {
                "the person who made the key was removed, and may still know its secret".to_owned()
            }
            Self::MakerLeft(Left::Suspended) => {
                "the person who made the key is suspended, and may still know its secret".to_owned()
            }
            Self::MakerLeft(Left::Away(age)) => {
                let age = age_text(age);
                format!("the person who made the key has not signed in for {age}")
            }
            Self::NeverUsed => "the key was never used".to_owned(),
            Self::Idle(age) => format!("the key was not used for {}", age_text(age)),
            Self::NoExpiry => "the key does not end by itself".to_owned(),
            Self::OverBroad(unused) if unused == PermissionSet::NONE => {
                "the key holds every permission and uses few".to_owned()
            }
            Self::OverBroad(unused) => {
                let names: Vec<_> = Permission::ALL.iter().filter(|p| unused.has(**p)).collect();
                let names: Vec<_> = names.iter().map(|p| format!("`{p}`")).collect();
                format!("the key holds {} and does not use it", names.join(", "))
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::MakerLeft(Left::Removed | Left::Suspended) => {
                "rotate it, so that nobody knows its secret who is not here, or revoke it"
            }
            Self::MakerLeft(Left::Away(_)) => {
                "ask whether that person is still here: if not, remove it and hand its keys over"
            }
            Self::NeverUsed => "revoke it, unless somebody is about to use it",
            Self::Idle(_) => "revoke it, or suspend it and see who asks",
            Self::NoExpiry => {
                "give it an end with `expires_in`, and mint its successor before that"
            }
            Self::OverBroad(_) => "narrow it to what it uses: see its advice",
        }
    }
}

/// Whole days in words, or a short duration as it is written.
fn age_text(age: Duration) -> String {
    match (age.as_secs() / DAY_SECONDS, age.as_secs() % DAY_SECONDS) {
        (1, 0) => "1 day".to_owned(),
        (days, 0) => format!("{days} days"),
        _ => crate::time::format_duration(age),
    }
}

/// What speaks against a key, the gravest first.
#[must_use]
pub fn concerns(habits: &Habits<'_>, ages: Ages, now: Timestamp) -> Vec<Concern> {
    let begins = habits.grant.not_before.unwrap_or(habits.created_at);
    let begins = begins.max(habits.created_at);
    let is_old = begins.plus(ages.unused) <= now;
    let mut found = Vec::new();
    found.extend(habits.left.map(Concern::MakerLeft));
    let before = found.len();
    match habits.last_used_at {
        None if is_old => found.push(Concern::NeverUsed),
        Some(last) if last.plus(ages.idle) <= now => found.push(Concern::Idle(ages.idle)),
        None | Some(_) => {}
    }
    // Of a key that goes anyway it does not matter how wide it is.
    if found.len() == before && is_old && habits.last_used_at.is_some() {
        found.extend(habits.used.and_then(|used| over_broad(habits.grant, used)));
    }
    if habits.expires_at.is_none() {
        found.push(Concern::NoExpiry);
    }
    found
}

fn over_broad(grant: &Grant, used: PermissionSet) -> Option<Concern> {
    let held = grant.permissions;
    let unused = SENSITIVE.iter().filter(|p| held.has(**p) && !used.has(**p));
    let unused: Vec<_> = unused.copied().collect();
    let count = Permission::ALL.iter().filter(|p| used.has(**p)).count();
    let is_much = held == PermissionSet::ALL && count <= FEW_PERMISSIONS;
    (is_much || !unused.is_empty()).then(|| Concern::OverBroad(PermissionSet::of(&unused)))
}

/// What whoever steals the narrow grant can no longer do, one sentence each.
pub(super) fn risk_removed(own: &Grant, narrow: &Grant) -> Vec<String> {
    let goes = |p: &&Permission| own.permissions.has(**p) && !narrow.permissions.has(**p);
    let mut said: Vec<String> = SENSITIVE
        .iter()
        .filter(goes)
        .map(|permission| sentence(*permission))
        .collect();
    if own.permissions == PermissionSet::ALL && narrow.permissions != PermissionSet::ALL {
        said.push("no longer gains the permissions that later versions add".to_owned());
    }
    if own.workspaces != narrow.workspaces
        && let Workspaces::Ids(ids) = &narrow.workspaces
    {
        said.push(match ids.len() {
            0 => "can no longer reach any workspace".to_owned(),
            1 => "can no longer reach any workspace but one".to_owned(),
            count => format!("can no longer reach any workspace but {count}"),
        });
    }
    if own.endpoints != narrow.endpoints {
        let count = narrow.endpoints.len();
        said.push(format!("can no longer call any route but {count}"));
    }
    if own.ip_allow != narrow.ip_allow {
        let count = narrow.ip_allow.len();
        let plural = if count == 1 { "" } else { "es" };
        said.push(format!("is of no use but from {count} address{plural}"));
    }
    said
}

fn sentence(permission: Permission) -> String {
    match permission {
        Permission::SecretsReveal => "can no longer read the values of secrets".to_owned(),
        Permission::TokensMint => {
            "can no longer mint keys, or change, rotate or resume those of others".to_owned()
        }
        Permission::TokensRevoke => "can no longer revoke or suspend keys of others".to_owned(),
        Permission::OrgAdmin => "can no longer administer the org".to_owned(),
        Permission::WorkspacesDelete => "can no longer delete workspaces".to_owned(),
        other => format!("can no longer use `{other}`"),
    }
}
