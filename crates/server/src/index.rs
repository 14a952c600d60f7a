//! Every credential in memory: from the digest of a presented secret to what verification needs.
//!
//! A sharded hash table of shared pointers. The digest is uniform already, so its first bytes are
//! the hash. A change replaces one pointer under the lock of one shard; a shard holds about a
//! thousandth of all keys, so even its growth takes microseconds.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use claviger_core::{
    digest::Digest,
    id::{Id, Kind},
    key::{Credential, Use},
    time::Timestamp,
    token::Prefix,
};
use hashbrown::{HashTable, hash_table::Entry};
use parking_lot::{Mutex, RwLock};

/// The number of shards: a power of two.
const SHARDS: usize = 1024;
const SHARDS_U64: u64 = 1024;
/// A use within this many milliseconds of the last is not noted again.
const TOUCH_EVERY_MS: i64 = 1000;

/// A credential, and when it was last accepted.
#[derive(Debug)]
pub struct Slot<K> {
    /// What verification needs.
    pub credential: Credential<K>,
    /// Milliseconds; 0 for never.
    last_used: AtomicI64,
}

impl<K> Slot<K> {
    /// When it was last accepted.
    #[must_use]
    pub fn last_used(&self) -> Option<Timestamp> {
        match self.last_used.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }
}

type Table<K> = RwLock<HashTable<Arc<Slot<K>>>>;

/// Credentials that were used and are not written yet, with the address of the last use.
type Used<K> = HashMap<[u8; 32], (Arc<Slot<K>>, IpAddr)>;

/// A use that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Noted<I> {
    /// The id of the credential.
    pub id: I,
    /// The public name of the secret.
    pub prefix: Prefix,
    /// When, and from where.
    pub last: Use,
}

/// All credentials of one kind.
pub struct Index<K> {
    by_digest: Box<[Table<K>]>,
    by_id: Box<[Table<K>]>,
    /// Slots that were used since the last [`Index::take_used`].
    used: Mutex<Used<K>>,
    /// What [`Index::take_used`] gave, until it is written.
    being_written: Mutex<Used<K>>,
}

impl<K> std::fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl<K: Kind> Default for Index<K> {
    fn default() -> Self {
        let tables = || (0..SHARDS).map(|_| RwLock::new(HashTable::new())).collect();
        Self {
            by_digest: tables(),
            by_id: tables(),
            used: Mutex::default(),
            being_written: Mutex::default(),
        }
    }
}

impl<K: Kind> Index<K> {
    /// What is known for this digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Arc<Slot<K>>> {
        let table = shard(&self.by_digest, digest.head())?.read();
        table
            .find(digest.head(), |slot| slot.credential.digest == *digest)
            .cloned()
    }

    /// What is known for this id.
    #[must_use]
    pub fn find_by_id(&self, id: Id<K>) -> Option<Arc<Slot<K>>> {
        let table = shard(&self.by_id, id.low())?.read();
        table
            .find(id.low(), |slot| slot.credential.id == id)
            .cloned()
    }

    /// Puts a credential in, or replaces the one with the same digest and id.
    pub fn put(&self, credential: Credential<K>, last_used: Option<Timestamp>) {
        let Some(table) = shard(&self.by_digest, credential.digest.head()) else {
            return;
        };
        self.replace(&mut table.write(), credential, last_used);
    }

    /// Replaces a credential by what `change` makes of it, in one step: of two changes at once
    /// neither is lost. Nothing happens if it is not known.
    pub fn change(&self, digest: &Digest, change: impl FnOnce(&Credential<K>) -> Credential<K>) {
        let Some(table) = shard(&self.by_digest, digest.head()) else {
            return;
        };
        let mut table = table.write();
        let known = table.find(digest.head(), |slot| slot.credential.digest == *digest);
        if let Some(slot) = known.cloned() {
            let new = change(&slot.credential);
            self.replace(&mut table, new, slot.last_used());
        }
    }

    /// Puts a slot into both tables. The lock of the digest's shard is held by the caller, and
    /// always taken first.
    fn replace(
        &self,
        table: &mut HashTable<Arc<Slot<K>>>,
        credential: Credential<K>,
        last_used: Option<Timestamp>,
    ) {
        let (digest, id) = (credential.digest, credential.id);
        let slot = Arc::new(Slot {
            credential,
            last_used: AtomicI64::new(last_used.map_or(0, Timestamp::millis)),
        });
        // A secret that was replaced is found by what is presented, and by nothing else.
        let is_own = !slot.credential.is_replaced;
        if let Some(by_id) = shard(&self.by_id, id.low()).filter(|_| is_own) {
            let mut by_id = by_id.write();
            let is_it = |other: &Arc<Slot<K>>| other.credential.id == id;
            let entry = by_id.entry(id.low(), is_it, |other| other.credential.id.low());
            set(entry, Arc::clone(&slot));
        }
        let is_it = |other: &Arc<Slot<K>>| other.credential.digest == digest;
        let entry = table.entry(digest.head(), is_it, |other| other.credential.digest.head());
        set(entry, slot);
    }

    /// Notes that a credential was accepted.
    pub fn touch(&self, slot: &Arc<Slot<K>>, now: Timestamp, from: IpAddr) {
        if slot.credential.is_replaced {
            // Its overlap may end when it was quiet for long enough: every use counts.
            slot.last_used.fetch_max(now.millis(), Ordering::Relaxed);
            return self.note(slot, from);
        }
        let before = slot.last_used.load(Ordering::Relaxed);
        let is_due = now.millis() >= before.saturating_add(TOUCH_EVERY_MS);
        // Whoever moves the time notes the slot: once a second for each key, whatever its traffic.
        if is_due
            && slot
                .last_used
                .compare_exchange(before, now.millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.note(slot, from);
        }
    }

    fn note(&self, slot: &Arc<Slot<K>>, from: IpAddr) {
        let digest = slot.credential.digest;
        let noted = (Arc::clone(slot), from);
        self.used.lock().insert(*digest.as_bytes(), noted);
    }

    /// The last use of a credential that is not written yet.
    #[must_use]
    pub fn unwritten_use(&self, digest: &Digest) -> Option<Use> {
        let of = |used: &Mutex<Used<K>>| {
            let used = used.lock();
            let (slot, from) = used.get(digest.as_bytes())?;
            Some(Use {
                at: slot.last_used()?,
                from: Some(*from),
            })
        };
        of(&self.used).or_else(|| of(&self.being_written))
    }

    /// The credentials used since the last call, when and from where. They are kept until
    /// [`Index::written`] says that they need not be.
    #[must_use]
    pub fn take_used(&self) -> Vec<Noted<Id<K>>> {
        let mut being_written = self.being_written.lock();
        for (digest, noted) in std::mem::take(&mut *self.used.lock()) {
            being_written.insert(digest, noted);
        }
        let noted = being_written.values().filter_map(|(slot, from)| {
            Some(Noted {
                id: slot.credential.id,
                prefix: slot.credential.prefix,
                last: Use {
                    at: slot.last_used()?,
                    from: Some(*from),
                },
            })
        });
        noted.collect()
    }

    /// What [`Index::take_used`] gave last is written.
    pub fn written(&self) {
        self.being_written.lock().clear();
    }

    /// Calls `each` for every credential with its last use, in no order.
    pub fn for_each_slot(&self, mut each: impl FnMut(&Slot<K>)) {
        for table in &self.by_digest {
            table.read().iter().for_each(|slot| each(slot));
        }
    }

    /// Calls `each` for every credential.
    pub fn for_each(&self, mut each: impl FnMut(&Credential<K>)) {
        for table in &self.by_digest {
            table.read().iter().for_each(|slot| each(&slot.credential));
        }
    }
}

/// Puts a slot in, in place of the one that is there.
fn set<K>(entry: Entry<'_, Arc<Slot<K>>>, slot: Arc<Slot<K>>) {
    match entry {
        Entry::Occupied(mut known) => *known.get_mut() = slot,
        Entry::Vacant(free) => {
            free.insert(slot);
        }
    }
}

/// The shard of a hash. The table inside uses the low and the top bits, the shard those between.
fn shard<K>(tables: &[Table<K>], hash: u64) -> Option<&Table<K>> {
    let at = usize::try_from((hash >> 32) % SHARDS_U64).unwrap_or(0);
    tables.get(at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_core::{
        digest::Digest,
        grant::Grant,
        id::{Key, KeyId, OrgId},
        key::{Credential, KeyState, Use},
        tier::{Actor, Minter},
        time::Timestamp,
    };

    use super::Index;

    fn credential(n: u128) -> Credential<Key> {
        let minter = Minter {
            created_by: Actor::Bootstrap,
            root: Actor::Bootstrap,
            chain: Vec::new(),
        };
        Credential {
            digest: Digest::of(&n.to_le_bytes()),
            prefix: "mole_a1b2c3d4".parse().expect("a prefix"),
            state: KeyState::Live,
            is_replaced: false,
            id: KeyId::from_u128(n),
            org: OrgId::from_u128(1),
            grant: Arc::new(Grant::admin()),
            minter: Arc::new(minter),
            name: "n".into(),
            expires_at: Timestamp::MAX,
        }
    }

    #[test]
    fn every_credential_is_found_and_no_other() {
        let index = Index::<Key>::default();
        (0..5000).for_each(|n| index.put(credential(n), None));
        for n in 0..5000 {
            let digest = Digest::of(&u128::to_le_bytes(n));
            assert_eq!(
                index.find(&digest).map(|slot| slot.credential.id),
                Some(KeyId::from_u128(n))
            );
            assert!(index.find_by_id(KeyId::from_u128(n)).is_some());
        }
        assert!(index.find(&Digest::of(b"other")).is_none());
        let mut count = 0;
        index.for_each(|_| count += 1);
        assert_eq!(count, 5000);
    }

    #[test]
    fn a_change_is_seen_by_both_ways_and_keeps_the_last_use() {
        let index = Index::<Key>::default();
        index.put(credential(1), None);
        let digest = Digest::of(&1_u128.to_le_bytes());
        let slot = index.find(&digest).expect("found");
        let from = "192.0.2.1".parse().expect("an address");
        index.touch(&slot, Timestamp::from_millis(5000), from);
        index.touch(&slot, Timestamp::from_millis(5500), from);
        index.change(&digest, |old| Credential {
            state: KeyState::Revoked,
            ..copy(old)
        });
        let slot = index.find(&digest).expect("found");
        assert_eq!(slot.credential.state, KeyState::Revoked);
        assert_eq!(slot.last_used(), Some(Timestamp::from_millis(5000)));
        let by_id = index.find_by_id(KeyId::from_u128(1)).expect("found");
        assert_eq!(by_id.credential.state, KeyState::Revoked);
        let expected = Some(Use {
            at: Timestamp::from_millis(5000),
            from: Some(from),
        });
        // What is not written yet is told, and given again.
        for _ in 0..2 {
            assert_eq!(index.unwritten_use(&digest), expected);
            let noted = index.take_used();
            assert_eq!(
                noted.iter().map(|one| one.id).collect::<Vec<_>>(),
                [KeyId::from_u128(1)]
            );
        }
        index.written();
        assert_eq!(index.unwritten_use(&digest), None);
        assert!(index.take_used().is_empty());
    }

    #[test]
    fn of_two_changes_at_once_neither_is_lost() {
        for _ in 0..200 {
            let index = Index::<Key>::default();
            index.put(credential(1), None);
            let digest = Digest::of(&1_u128.to_le_bytes());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    index.change(&digest, |old| Credential {
                        state: KeyState::Revoked,
                        ..old.clone()
                    });
                });
                scope.spawn(|| {
                    index.change(&digest, |old| Credential {
                        name: "renamed".into(),
                        ..old.clone()
                    });
                });
            });
            let slot = index.find(&digest).expect("found");
            assert_eq!(slot.credential.state, KeyState::Revoked);
            assert_eq!(&*slot.credential.name, "renamed");
        }
    }

    fn copy(old: &Credential<Key>) -> Credential<Key> {
        Credential {
            id: old.id,
            digest: old.digest,
            ..credential(0)
        }
    }
}
