//! An org API key: as it is kept, and as the gate sees it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    digest::Digest,
    grant::Grant,
    id::{Id, Key, KeyId, OrgId, WorkspaceId, WorkspaceTokenId},
    tier::{Actor, Minter},
    time::Timestamp,
    token::Prefix,
};

/// The sentence beside a secret that is shown for the only time.
pub const SHOWN_ONCE: &str = "copy this token now; it will not be shown again";

/// Free key-value pairs that an integration keeps with its key.
pub type Metadata = BTreeMap<String, String>;

/// How a key stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// Accepted.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Reversibly off.
    Suspended,
    /// Off for good.
    Revoked,
    /// Of a secret alone: it was replaced, and its overlap is over. A key never has this status.
    RotatedOut,
}

impl KeyStatus {
    /// Every status of a key.
    pub const ALL: &'static [Self] = &[
        Self::Active,
        Self::NotYetValid,
        Self::Expired,
        Self::Suspended,
        Self::Revoked,
    ];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::RotatedOut => "rotated_out",
        }
    }
}

/// What was done to a key, apart from the passing of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Nothing.
    Live,
    /// Reversibly off.
    Suspended,
    /// Off for good.
    Revoked,
}

/// The end of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When the change was committed.
    pub at: Timestamp,
    /// Who did it.
    pub by: Actor,
    /// Why, if a reason was given.
    pub reason: Option<String>,
}

/// An org API key as it is kept. Its secret is not here: only the digest exists.
#[derive(Debug, Clone)]
pub struct OrgKey {
    /// Its id.
    pub id: KeyId,
    /// The org that it belongs to.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// The public name of its secret.
    pub prefix: Prefix,
    /// Who minted it, and whom that one came from.
    pub minter: Minter,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub grant: Grant,
    /// Free pairs.
    pub metadata: Metadata,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
    /// Its end.
    pub revocation: Option<Revocation>,
    /// When it was last accepted; written behind, so it may lag by seconds.
    pub last_used_at: Option<Timestamp>,
}

/// A secret of a key that was replaced by a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldSecret {
    /// The key.
    pub key: KeyId,
    /// Its public name.
    pub prefix: Prefix,
    /// When it was replaced.
    pub replaced_at: Timestamp,
    /// From when on it is refused.
    pub ends_at: Timestamp,
}

/// How a key stands: revoked over suspended over expired over not yet valid.
#[must_use]
pub fn status(
    state: KeyState,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> KeyStatus {
    match state {
        KeyState::Revoked => KeyStatus::Revoked,
        KeyState::Suspended => KeyStatus::Suspended,
        KeyState::Live if expires_at.is_some_and(|end| now >= end) => KeyStatus::Expired,
        KeyState::Live if not_before.is_some_and(|start| now < start) => KeyStatus::NotYetValid,
        KeyState::Live => KeyStatus::Active,
    }
}

impl OrgKey {
    /// What was done to it.
    #[must_use]
    pub const fn state(&self) -> KeyState {
        match (&self.revocation, self.suspended_at) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(_)) => KeyState::Suspended,
            (None, None) => KeyState::Live,
        }
    }

    /// How it stands at this instant.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        status(self.state(), self.grant.not_before, self.expires_at, now)
    }

    /// The key that minted it.
    #[must_use]
    pub fn parent(&self) -> Option<KeyId> {
        self.minter.chain.first().copied()
    }
}

/// A bearer secret as the gate sees it: what verification needs and no more, for all of them are
/// kept in memory.
#[derive(Clone)]
pub struct Credential<K> {
    /// What a presented secret is looked up by.
    pub digest: Digest,
    /// The public name of the secret.
    pub prefix: Prefix,
    /// What was done to it.
    pub state: KeyState,
    /// Whether the secret was replaced by a newer one: `expires_at` is the end of its overlap then.
    pub is_replaced: bool,
    /// Its id.
    pub id: Id<K>,
    /// The org that it belongs to.
    pub org: OrgId,
    /// What it may do; equal grants share one.
    pub grant: Arc<Grant>,
    /// Who minted it; keys of one minter share one.
    pub minter: Arc<Minter>,
    /// What people call it.
    pub name: Box<str>,
    /// When it ends by itself; [`Timestamp::MAX`] for never.
    pub expires_at: Timestamp,
}

impl<K> std::fmt::Debug for Credential<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl<K> Credential<K> {
    /// How it stands at this instant.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        match status(self.state, self.grant.not_before, self.expires(), now) {
            KeyStatus::Expired if self.is_replaced => KeyStatus::RotatedOut,
            status => status,
        }
    }

    /// When it ends by itself.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        (self.expires_at < Timestamp::MAX).then_some(self.expires_at)
    }
}

/// An org API key as the gate sees it.
pub type KeyCredential = Credential<Key>;

/// A workspace token as the gate sees it.
pub type WorkspaceTokenCredential = Credential<crate::id::WorkspaceToken>;

/// A deprecated workspace token as it is kept.
#[derive(Debug, Clone)]
pub struct WorkspaceTokenRow {
    /// Its id.
    pub id: WorkspaceTokenId,
    /// The org of its workspace.
    pub org: OrgId,
    /// The one workspace that it reaches.
    pub workspace: WorkspaceId,
    /// What people call it; may be empty.
    pub name: String,
    /// The public name of its secret.
    pub prefix: Prefix,
    /// Who made it.
    pub minter: Minter,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last accepted.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::{KeyState, KeyStatus, status};
    use crate::time::Timestamp;

    #[test]
    fn a_key_expires_at_the_exact_millisecond() {
        let end = Timestamp::from_millis(1000);
        let at = |now| status(KeyState::Live, None, Some(end), Timestamp::from_millis(now));
        assert_eq!(at(999), KeyStatus::Active);
        assert_eq!(at(1000), KeyStatus::Expired);
    }

    #[test]
    fn what_was_done_comes_before_the_clock() {
        let past = Some(Timestamp::from_millis(1));
        let now = Timestamp::from_millis(5);
        assert_eq!(
            status(KeyState::Revoked, None, past, now),
            KeyStatus::Revoked
        );
        assert_eq!(
            status(KeyState::Suspended, None, past, now),
            KeyStatus::Suspended
        );
        let later = Some(Timestamp::from_millis(9));
        assert_eq!(
            status(KeyState::Live, later, None, now),
            KeyStatus::NotYetValid
        );
    }
}
