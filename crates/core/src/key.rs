//! An org API key: as it is kept, and as the gate sees it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

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

/// A reversible stop of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Since when.
    pub at: Timestamp,
    /// Who did it.
    pub by: Actor,
    /// Why, if a reason was given.
    pub reason: Option<String>,
}

/// A use of a secret: when it was accepted, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// The caller's address.
    pub from: Option<IpAddr>,
}

/// The secret that is a key's own now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSecret {
    /// Since when the key has it: its mint, or its last rotation.
    pub since: Timestamp,
    /// Its last use; written behind, so it may lag by seconds.
    pub last_use: Option<Use>,
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
    /// Its stop, if it is suspended.
    pub suspension: Option<Suspension>,
    /// When it was last resumed.
    pub resumed_at: Option<Timestamp>,
    /// Its end.
    pub revocation: Option<Revocation>,
    /// When any of its secrets was last accepted; written behind, so it may lag by seconds.
    pub last_use: Option<Use>,
    /// The secret that is its own.
    pub secret: OwnSecret,
    /// How often it is to get another secret.
    pub rotate_every: Option<Duration>,
}

/// What ends the overlap of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The instant that was set.
    Fixed,
    /// The clock starts when the new secret is first accepted, and runs for so long.
    OnFirstUse(Duration),
    /// The old secret was not seen for so long.
    WhenQuiet(Duration),
}

/// A secret of a key that was replaced by a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldSecret {
    /// The key.
    pub key: KeyId,
    /// Its public name.
    pub prefix: Prefix,
    /// Since when the key had it.
    pub since: Timestamp,
    /// When it was replaced.
    pub replaced_at: Timestamp,
    /// From when on it is refused, whatever happens before.
    pub ends_at: Timestamp,
    /// What may end it earlier.
    pub overlap: Overlap,
    /// Its last use, as it was kept.
    pub last_use: Option<Use>,
}

impl OldSecret {
    /// From when on it is refused, as far as is known now.
    ///
    /// `last_seen` is the last instant at which it was accepted, or at which nobody could have
    /// seen it: a service that was down has not seen a secret be quiet.
    #[must_use]
    pub fn end(&self, last_seen: Timestamp) -> Timestamp {
        match self.overlap {
            Overlap::Fixed | Overlap::OnFirstUse(_) => self.ends_at,
            Overlap::WhenQuiet(span) => {
                let quiet_since = self.replaced_at.max(last_seen);
                self.ends_at.min(quiet_since.plus(span))
            }
        }
    }
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
        match (&self.revocation, &self.suspension) {
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

    /// When it is to get another secret.
    #[must_use]
    pub fn rotation_due_at(&self) -> Option<Timestamp> {
        self.rotate_every.map(|span| self.secret.since.plus(span))
    }

    /// Since when it has been idle: its mint, its last use, or its last resumption.
    #[must_use]
    pub fn idle_since(&self) -> Timestamp {
        let used = self.last_use.map(|last| last.at);
        let latest = used.max(self.resumed_at);
        latest.map_or(self.created_at, |at| at.max(self.created_at))
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
    use std::time::Duration;

    use super::{KeyState, KeyStatus, OldSecret, Overlap, status};
    use crate::{id::KeyId, time::Timestamp};

    #[test]
    fn a_quiet_secret_ends_when_it_was_not_seen_for_long_enough() {
        let at = Timestamp::from_millis;
        let old = |overlap| OldSecret {
            key: KeyId::from_u128(1),
            prefix: "mole_a1b2c3d4".parse().expect("a prefix"),
            since: at(0),
            replaced_at: at(1000),
            ends_at: at(60_000),
            overlap,
            last_use: None,
        };
        let quiet = old(Overlap::WhenQuiet(Duration::from_secs(10)));
        assert_eq!(quiet.end(at(0)), at(11_000), "never seen since");
        assert_eq!(quiet.end(at(5000)), at(15_000), "seen again");
        assert_eq!(quiet.end(at(55_000)), at(60_000), "the last end holds");
        for other in [Overlap::Fixed, Overlap::OnFirstUse(Duration::from_secs(10))] {
            assert_eq!(old(other).end(at(5000)), at(60_000));
        }
    }

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
