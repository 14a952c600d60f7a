//! The secrets that were replaced, by their key: those that are accepted, and the last that ended.

use std::collections::{HashMap, HashSet};

use claviger_core::{
    digest::Digest,
    id::{Key, KeyId},
    key::{Credential, OldSecret, Overlap, Use},
    time::Timestamp,
    token::Prefix,
};
use parking_lot::{Mutex, RwLock};

use crate::{index::Index, other_uses::is_known};

/// The newest one of each key.
#[derive(Default)]
pub(crate) struct OldSecrets {
    by_key: RwLock<HashMap<KeyId, (OldSecret, Digest)>>,
    /// Overlaps that have got an end, and the store was not told yet.
    started: Mutex<Vec<Settled>>,
    /// Keys whose old secret ends when it is quiet.
    quiet: Mutex<HashSet<KeyId>>,
}

/// An overlap that has got an end: of which secret, replaced when, and the end.
pub(crate) type Settled = ((Prefix, Timestamp), Timestamp);

impl std::fmt::Debug for OldSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldSecrets").finish_non_exhaustive()
    }
}

impl OldSecrets {
    /// The one of a key, with what it is looked up by.
    pub(crate) fn get(&self, id: KeyId) -> Option<(OldSecret, Digest)> {
        self.by_key.read().get(&id).copied()
    }

    /// From when on a replaced secret is refused, as far as is known now. The service could not have
    /// seen it before it was started.
    pub(crate) fn end(
        &self,
        keys: &Index<Key>,
        presented: &Credential<Key>,
        started_at: Timestamp,
    ) -> Timestamp {
        match self.get(presented.id) {
            Some((old, digest)) if old.prefix == presented.prefix => {
                let slot = keys.find(&digest);
                let used = slot.and_then(|slot| slot.last_used());
                old.end(used.map_or(started_at, |used| used.max(started_at)))
            }
            // That of an earlier rotation: it had ended when the next one began.
            Some((newer, _)) => presented.expires_at.min(newer.replaced_at),
            None => presented.expires_at,
        }
    }

    /// Notes a use of the replaced secret of a key: its time and its address are known here as long as
    /// the secret is, whatever the store was told meanwhile.
    pub(crate) fn note_use(&self, id: KeyId, prefix: Prefix, new: Use) {
        let is_news = |old: &OldSecret| old.prefix == prefix && !is_known(old.last_use, new);
        if !self.get(id).is_some_and(|(old, _)| is_news(&old)) {
            return;
        }
        if let Some((old, _)) = self.by_key.write().get_mut(&id)
            && old.prefix == prefix
        {
            old.last_use = later(old.last_use, Some(new));
        }
    }

    /// Keeps what the index was told.
    fn set(&self, old: OldSecret, digest: Digest) {
        let mut by_key = self.by_key.write();
        // Those of earlier rotations have ended before.
        let known = by_key.entry(old.key).or_insert((old, digest));
        if old.replaced_at >= known.0.replaced_at {
            *known = (old, digest);
        }
    }

    /// From here on the secret is accepted as a replaced one, until its end.
    pub(crate) fn take_in(&self, keys: &Index<Key>, old: OldSecret, digest: Digest) {
        let known = self.get(old.key).map(|(known, _)| known);
        let is_same =
            |known: &OldSecret| (known.prefix, known.replaced_at) == (old.prefix, old.replaced_at);
        let old = match known.filter(is_same) {
            Some(known) => {
                let seen = later(old.last_use, known.last_use);
                // The store may not know yet that the clock has started.
                let newer = if known.ends_at < old.ends_at {
                    known
                } else {
                    old
                };
                OldSecret {
                    ends_at: newer.ends_at,
                    overlap: newer.overlap,
                    last_use: seen,
                    ..old
                }
            }
            None => old,
        };
        if keys.find(&digest).is_some() {
            keys.change(&digest, |own| replaced(own, old, digest));
        } else if let Some(slot) = keys.find_by_id(old.key) {
            let last_used = old.last_use.map(|last| last.at);
            keys.put(replaced(&slot.credential, old, digest), last_used);
        }
        if matches!(old.overlap, Overlap::WhenQuiet(_)) {
            self.quiet.lock().insert(old.key);
        }
        self.set(old, digest);
    }

    /// Gives those secrets an end that were quiet for long enough: from then on nothing puts it off,
    /// not even a restart.
    pub(crate) fn settle_quiet(&self, keys: &Index<Key>, now: Timestamp, started_at: Timestamp) {
        let waiting: Vec<_> = self.quiet.lock().iter().copied().collect();
        for id in waiting {
            self.settle_one(keys, id, (now, started_at));
        }
    }

    /// The same for one key.
    pub(crate) fn settle_one(
        &self,
        keys: &Index<Key>,
        id: KeyId,
        (now, started_at): (Timestamp, Timestamp),
    ) {
        let Some((known, digest)) = self.get(id) else {
            return;
        };
        let is_waiting = matches!(known.overlap, Overlap::WhenQuiet(_)) && known.ends_at > now;
        if !is_waiting {
            self.quiet.lock().remove(&id);
            return;
        }
        let Some(slot) = keys.find(&digest) else {
            return;
        };
        let end = self.end(keys, &slot.credential, started_at);
        if end > now {
            return;
        }
        let mut by_key = self.by_key.write();
        if let Some((old, digest)) = by_key.get_mut(&id)
            && old.replaced_at == known.replaced_at
            && old.prefix == known.prefix
        {
            self.fix(keys, (old, *digest), end);
        }
        self.quiet.lock().remove(&id);
    }

    /// From here on the end of an overlap is fixed; the store is to be told.
    fn fix(&self, keys: &Index<Key>, (old, digest): (&mut OldSecret, Digest), end: Timestamp) {
        old.overlap = Overlap::Fixed;
        old.ends_at = old.ends_at.min(end);
        let fixed = *old;
        keys.change(&digest, |own| replaced(own, fixed, digest));
        let which = (fixed.prefix, fixed.replaced_at);
        self.started.lock().push((which, fixed.ends_at));
    }

    /// The key's new secret was accepted for the first time: if its rotation waits for that, the
    /// clock starts now.
    pub(crate) fn start_clock(&self, keys: &Index<Key>, id: KeyId, now: Timestamp) {
        let is_waiting = |old: &OldSecret| matches!(old.overlap, Overlap::OnFirstUse(_));
        if !self.get(id).is_some_and(|(old, _)| is_waiting(&old)) {
            return;
        }
        let mut by_key = self.by_key.write();
        let Some((old, digest)) = by_key.get_mut(&id) else {
            return;
        };
        if let Overlap::OnFirstUse(span) = old.overlap {
            self.fix(keys, (old, *digest), now.plus(span));
        }
    }

    /// The ends that the store is to be told of.
    pub(crate) fn take_started(&self) -> Vec<Settled> {
        std::mem::take(&mut *self.started.lock())
    }

    /// The store could not be told.
    pub(crate) fn put_back_started(&self, settled: Settled) {
        self.started.lock().push(settled);
    }
}

/// The later one of two uses.
pub(crate) fn later(one: Option<Use>, other: Option<Use>) -> Option<Use> {
    one.into_iter().chain(other).max_by_key(|used| used.at)
}

fn replaced(own: &Credential<Key>, old: OldSecret, digest: Digest) -> Credential<Key> {
    Credential {
        digest,
        prefix: old.prefix,
        is_replaced: true,
        expires_at: old.ends_at,
        ..own.clone()
    }
}
