//! The secrets that were replaced, by their key: those that are accepted, and the last that ended.

use std::collections::HashMap;

use claviger_core::{
    digest::Digest,
    id::{Key, KeyId},
    key::{Credential, OldSecret},
};
use parking_lot::RwLock;

use crate::index::Index;

/// The newest one of each key.
#[derive(Default)]
pub(crate) struct OldSecrets {
    by_key: RwLock<HashMap<KeyId, (OldSecret, Digest)>>,
}

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
        if keys.find(&digest).is_some() {
            keys.change(&digest, |own| replaced(own, old, digest));
        } else if let Some(slot) = keys.find_by_id(old.key) {
            keys.put(replaced(&slot.credential, old, digest), None);
        }
        self.set(old, digest);
    }
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
