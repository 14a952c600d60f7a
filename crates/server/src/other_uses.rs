//! When keys were last used otherwise than with the secret that is theirs now: with one that was
//! replaced, or in a session that they began.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use claviger_core::{id::KeyId, key::Use, time::Timestamp};
use claviger_store::SecretUse;
use parking_lot::{Mutex, RwLock};

/// A use within so long of the last, from the same address, is not noted again.
const TOUCH_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// The last such use of each key that has one.
#[derive(Debug, Default)]
pub(crate) struct OtherUses {
    by_key: RwLock<HashMap<KeyId, Use>>,
    /// Keys whose use in a session the store does not know yet.
    unwritten: Mutex<HashSet<KeyId>>,
}

/// Whether a use says so little that was not known that it need not be noted.
pub(crate) fn is_known(known: Option<Use>, new: Use) -> bool {
    known.is_some_and(|known| new.at < known.at.plus(TOUCH_EVERY) && new.from == known.from)
}

impl OtherUses {
    /// The last one of a key.
    pub(crate) fn get(&self, id: KeyId) -> Option<Use> {
        self.by_key.read().get(&id).copied()
    }

    /// Notes a use in a session that the key began.
    pub(crate) fn touch(&self, id: KeyId, now: Timestamp, from: IpAddr) {
        let new = Use {
            at: now,
            from: Some(from),
        };
        if self.keep(id, new) {
            self.unwritten.lock().insert(id);
        }
    }

    /// Notes a use that the store knows, or is told of elsewhere. Says whether it is news.
    pub(crate) fn keep(&self, id: KeyId, new: Use) -> bool {
        if is_known(self.get(id), new) {
            return false;
        }
        let mut by_key = self.by_key.write();
        let known = by_key.entry(id).or_insert(new);
        if known.at <= new.at {
            *known = new;
        }
        true
    }

    /// Those that the store is to be told of.
    pub(crate) fn take_unwritten(&self) -> Vec<SecretUse> {
        let taken = std::mem::take(&mut *self.unwritten.lock());
        let by_key = self.by_key.read();
        let used = taken.into_iter().filter_map(|key| {
            let last = by_key.get(&key)?;
            Some(SecretUse {
                key,
                prefix: None,
                at: last.at,
                from: last.from,
            })
        });
        used.collect()
    }

    /// The store could not be told.
    pub(crate) fn put_back(&self, used: &[SecretUse]) {
        let mut unwritten = self.unwritten.lock();
        unwritten.extend(used.iter().map(|one| one.key));
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::{id::KeyId, key::Use, time::Timestamp};

    use super::OtherUses;

    #[test]
    fn last_one_is_known_and_told_once() {
        let (uses, id) = (OtherUses::default(), KeyId::from_u128(1));
        let at = Timestamp::from_millis;
        let from = |end: u8| std::net::IpAddr::from([192, 0, 2, end]);
        uses.touch(id, at(5000), from(1));
        uses.touch(id, at(5500), from(1));
        assert_eq!(uses.get(id).map(|last| last.at), Some(at(5000)));
        uses.touch(id, at(5600), from(2));
        let last = Use {
            at: at(5600),
            from: Some(from(2)),
        };
        assert_eq!(uses.get(id), Some(last));
        let told = uses.take_unwritten();
        assert_eq!(told.len(), 1);
        assert!(uses.take_unwritten().is_empty());
        uses.put_back(&told);
        assert_eq!(uses.take_unwritten(), told);
        // What is older changes nothing, and what is known elsewhere is told nobody.
        uses.keep(
            id,
            Use {
                at: at(10),
                from: None,
            },
        );
        assert_eq!(uses.get(id), Some(last));
        let later = Use {
            at: at(9000),
            from: None,
        };
        uses.keep(id, later);
        assert_eq!(uses.get(id), Some(later));
        assert!(uses.take_unwritten().is_empty());
    }
}
