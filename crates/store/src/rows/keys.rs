//! Org API keys: what goes in and what comes out.

use std::{net::IpAddr, time::Duration};

use claviger_core::{
    grant::Grant,
    id::{KeyId, OrgId, WorkspaceId},
    key::{KeyState, KeyStatus, Metadata, OldSecret, OrgKey, Overlap, Suspension},
    time::Timestamp,
    token::Prefix,
};

use crate::{Judge, Result, StoreError};

/// A key to be minted.
#[derive(Clone)]
pub struct NewKey {
    /// The key; not revoked, not suspended, never used.
    pub key: OrgKey,
    /// The SHA-256 of its secret.
    pub digest: [u8; 32],
    /// Whether the mint comes through the bootstrap, which must then be open still.
    pub is_bootstrap: bool,
    /// What makes a repeated mint recognisable.
    pub idempotency: Option<Idempotency>,
    /// How many keys there may be with it.
    pub limits: MintLimits,
}

/// How many living keys there may be, the new one counted: neither revoked nor expired.
#[derive(Debug, Clone, Default)]
pub struct MintLimits {
    /// In the org.
    pub keys_max: Option<u32>,
    /// Below each of these keys.
    pub below: Vec<(KeyId, u32)>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// An `Idempotency-Key`, within one org and actor, for a day.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The header's value.
    pub key: String,
    /// SHA-256 of the request body.
    pub request: [u8; 32],
}

/// What changes in a key.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Its name.
    pub name: Option<String>,
    /// Its free pairs, all of them.
    pub metadata: Option<Metadata>,
    /// Its grant, from the one that the new one was made of: if it is another by now, nothing is
    /// changed.
    pub grant: Option<(Grant, Grant)>,
    /// When it ends by itself: brought forward, never put off.
    pub expires_at: Option<Timestamp>,
    /// Whether it is off. What is off already stays off since then.
    pub turn: Option<Turn>,
    /// How often it is to get another secret; `None` in it is never.
    pub rotate_every: Option<Option<Duration>>,
}

/// A reversible change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Off.
    Suspend(Suspension),
    /// On again, since this instant.
    Resume(Timestamp),
}

impl KeyChange {
    /// The key after the change.
    pub(crate) fn apply(self, mut key: OrgKey) -> Result<OrgKey> {
        if key.revocation.is_some() {
            return Err(StoreError::Gone("key"));
        }
        key.name = self.name.unwrap_or(key.name);
        key.metadata = self.metadata.unwrap_or(key.metadata);
        if let Some((from, to)) = self.grant {
            if key.grant != from {
                return Err(StoreError::Stale("grant"));
            }
            key.grant = to;
        }
        if let Some(end) = self.expires_at {
            key.expires_at = Some(key.expires_at.map_or(end, |ends| ends.min(end)));
        }
        match self.turn {
            None => {}
            // What is on already was not resumed.
            Some(Turn::Resume(at)) => {
                let was_off = key.suspension.take().is_some();
                key.resumed_at = was_off.then_some(at).or(key.resumed_at);
            }
            Some(Turn::Suspend(suspension)) => {
                key.suspension = key.suspension.or(Some(suspension));
            }
        }
        key.rotate_every = self.rotate_every.unwrap_or(key.rotate_every);
        Ok(key)
    }
}

/// A new secret for a key.
#[derive(Clone)]
pub struct NewSecretOfKey {
    /// Its public name.
    pub prefix: Prefix,
    /// Its SHA-256.
    pub digest: [u8; 32],
    /// When the old one is replaced.
    pub at: Timestamp,
    /// From when on the old one is refused, whatever happens before.
    pub ends_at: Timestamp,
    /// What may end it earlier.
    pub overlap: Overlap,
}

impl std::fmt::Debug for NewSecretOfKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecretOfKey")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// How the overlap of a rotation ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationEnd {
    /// The old secret is refused from now on.
    Finish,
    /// The new secret is refused from now on, and the old one is the key's own again.
    Cancel,
}

/// What a rotation, or its end, came to.
#[derive(Clone)]
pub struct Rotated {
    /// The key with the secret that is its own now.
    pub key: OrgKey,
    /// What its own secret is looked up by.
    pub digest: [u8; 32],
    /// The other secret.
    pub old: OldSecret,
    /// What the other secret is looked up by.
    pub old_digest: [u8; 32],
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotated")
            .field("key", &self.key)
            .field("old", &self.old)
            .finish_non_exhaustive()
    }
}

/// Which keys a list shows.
#[derive(Debug, Clone)]
pub struct KeyFilter {
    /// Only these statuses (as of `now`).
    pub statuses: Vec<KeyStatus>,
    /// The instant at which statuses are judged.
    pub now: Timestamp,
    /// Only keys whose name or prefix contains this, ASCII case ignored.
    pub text: Option<String>,
    /// Only keys minted by this actor label.
    pub created_by: Option<String>,
    /// Only keys whose grant names this workspace, or reaches all.
    pub workspace: Option<WorkspaceId>,
    /// Only keys that end by themselves before this instant.
    pub expires_before: Option<Timestamp>,
}

/// A use of a key, to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretUse {
    /// The key.
    pub key: KeyId,
    /// The secret; absent where none was presented, but a session that the key began.
    pub prefix: Option<Prefix>,
    /// When it was last accepted.
    pub at: Timestamp,
    /// From where.
    pub from: Option<IpAddr>,
}

/// Which keys are meant: living ones for which everything that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// One of these keys, or below one of them; empty for any.
    pub under: Vec<KeyId>,
    /// Minted by this actor label.
    pub created_by: Option<String>,
    /// With all of these pairs.
    pub metadata: Metadata,
    /// Minted at this instant or later.
    pub minted_since: Option<Timestamp>,
    /// Suspended at this instant or later.
    pub suspended_since: Option<Timestamp>,
    /// Suspended by this actor label.
    pub suspended_by: Option<String>,
    /// Suspended or not.
    pub is_suspended: Option<bool>,
}

/// The most keys that one selection may find: all of them are changed in one transaction.
pub const KEYS_SELECTED_MAX: usize = 50_000;

/// [`KEYS_SELECTED_MAX`] and one more, to tell that there are more.
pub(crate) const KEYS_SELECTED_LIMIT: i64 = 50_001;

/// What was found, if it is not too much.
pub(crate) fn within_selection(found: Vec<OrgKey>) -> Result<Vec<OrgKey>> {
    if found.len() > KEYS_SELECTED_MAX {
        return Err(StoreError::TooMany(KEYS_SELECTED_MAX));
    }
    Ok(found)
}

/// Refuses a change of more keys than one transaction takes.
pub(crate) fn within_count(count: u64) -> Result<()> {
    if usize::try_from(count).is_ok_and(|count| count <= KEYS_SELECTED_MAX) {
        return Ok(());
    }
    Err(StoreError::TooMany(KEYS_SELECTED_MAX))
}

/// What is to be done with a key that a [`Selection`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is changed.
    Take,
    /// It stays as it is.
    Spare,
    /// Nothing at all is changed: the caller may not act on it.
    Refuse,
}

/// A key with all that it descends from, and a part of all that descends from it.
#[derive(Debug, Clone)]
pub struct Line {
    /// The key.
    pub key: OrgKey,
    /// Those above it, nearest first.
    pub above: Vec<OrgKey>,
    /// Those below it, by id; also revoked ones.
    pub below: Vec<OrgKey>,
}

/// What a key is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// It ends by itself, in so many days or less; 0 for: it has ended.
    Expiry(u16),
    /// It is to get another secret, in so many days or less; 0 for: it is due.
    Rotation(u16),
}

impl NoticeKind {
    /// The word under which it is kept.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Expiry(_) => "expiry",
            Self::Rotation(_) => "rotation",
        }
    }

    /// In how many days.
    #[must_use]
    pub const fn days(self) -> u16 {
        match self {
            Self::Expiry(days) | Self::Rotation(days) => days,
        }
    }
}

/// Keys of which something is to be said that was not said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueFilter {
    /// What is to be said.
    pub kind: NoticeKind,
    /// Only of instants after this one.
    pub after: Timestamp,
    /// And not after this one.
    pub until: Timestamp,
    /// Only of keys, or rotations, that last longer than this.
    pub longer_than: Duration,
    /// Rotations of keys that have ended by now are of no interest.
    pub now: Timestamp,
}

/// Something that is said once of a key and an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// The org of the key.
    pub org: OrgId,
    /// The key.
    pub key: KeyId,
    /// What is said.
    pub kind: NoticeKind,
    /// The instant that it is about.
    pub of: Timestamp,
    /// When it is said.
    pub at: Timestamp,
}

/// A key that was revoked, to be dropped from the index.
#[derive(Clone)]
pub struct RevokedKey<I> {
    /// Its id.
    pub id: I,
    /// Its public name.
    pub prefix: Prefix,
    /// What it is looked up by.
    pub digest: [u8; 32],
}

impl<I: std::fmt::Debug> std::fmt::Debug for RevokedKey<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevokedKey")
            .field("id", &self.id)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What a revocation came to: the key, and the descendants that died with it.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// The key itself.
    pub key: RevokedKey<KeyId>,
    /// When.
    pub at: Timestamp,
    /// Descendants that died with it, in no order. For a repetition: those that died at the same instant.
    pub descendants: Vec<RevokedKey<KeyId>>,
    /// Descendants that live on, under what is above them now.
    pub heirs: Vec<Heir>,
}

/// A key whose chain is another since one above it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heir {
    /// The key.
    pub id: KeyId,
    /// The keys above it now, nearest first.
    pub chain: Vec<KeyId>,
}

/// A key as it is loaded into the index, borrowed from the database's own row.
#[derive(Clone, Copy)]
pub struct LoadedKey<'a> {
    /// Its id.
    pub id: KeyId,
    /// The org.
    pub org: OrgId,
    /// The SHA-256 of its secret.
    pub digest: [u8; 32],
    /// Its public name.
    pub prefix: Prefix,
    /// What people call it.
    pub name: &'a str,
    /// The label of its minter.
    pub created_by: &'a str,
    /// The label of the root of its chain.
    pub root: &'a str,
    /// The ids above it, nearest first, separated by single spaces; empty for none.
    pub chain: &'a str,
    /// Its grant in canonical JSON.
    pub grant: &'a str,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What was done to it.
    pub state: KeyState,
    /// When its own secret was last accepted.
    pub last_used_at: Option<Timestamp>,
    /// When the key was last used, where that was not with its own secret.
    pub otherwise_used_at: Option<Timestamp>,
}

impl std::fmt::Debug for LoadedKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedKey")
            .field("id", &self.id)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Those of the found keys that are to be changed and are not yet as they should be, as they are
/// after the change.
pub(crate) fn to_turn(found: Vec<OrgKey>, judge: &Judge, turn: &Turn) -> Result<Vec<OrgKey>> {
    let is_on = matches!(turn, Turn::Resume(_));
    let mut turned = Vec::new();
    for key in found {
        if key.suspension.is_some() != is_on {
            continue;
        }
        match judge(&key) {
            Verdict::Spare => {}
            Verdict::Refuse => return Err(StoreError::Refused(key.id)),
            Verdict::Take => {
                let change = KeyChange {
                    turn: Some(turn.clone()),
                    ..KeyChange::default()
                };
                turned.push(change.apply(key)?);
            }
        }
    }
    Ok(turned)
}
