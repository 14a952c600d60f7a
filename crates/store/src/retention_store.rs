//! What every backend does to drop the bodies of old records. Their hashes stay: the tree of the trail is
//! as it was.

use async_trait::async_trait;
use claviger_core::{
    id::{EventId, OrgId},
    ledger::{retention::DROPPED_AT_ONCE, tree::Hash},
    time::Timestamp,
};

use crate::{Recorder, Result, StoreError, Written};

/// How many runs are looked at for one drop.
pub(crate) const RUNS_MAX: u64 = 8192;
/// So many bytes of bodies are dropped in one transaction, beyond the first 256 records: others wait for it.
pub(crate) const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bodies that are dropped in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropping {
    /// The number of the first record.
    pub first: u64,
    /// The number of the last: a multiple of 256.
    pub last: u64,
    /// How many records the last checkpoint covers: these are among them.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// What was dropped of a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The records from 1 to this number have no bodies.
    pub last: u64,
    /// The id of the record that says so.
    pub decision: EventId,
    /// A number behind which that record stands, a little.
    pub decided_after: u64,
}

/// Bodies of old records.
#[async_trait]
pub trait RetentionStore: Send + Sync + 'static {
    /// How many bodies a drop of what is older than an instant concerns now: whole tiles of 256 records, from
    /// the first one that is left.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn count_older(&self, org: OrgId, before: Timestamp) -> Result<u64>;

    /// Drops bodies that are older than an instant, from the first one that is left up to a multiple of
    /// 256, with all that was derived of them; the record of the decision, which has this id, is written in
    /// the same transaction. Waits for the disk. Bodies that are in no tile yet, or that no checkpoint
    /// covers, are left, and so is all behind a record that is not as old. `None` if nothing is due.
    ///
    /// It is bounded: call it again until nothing is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] when a run does not hold what it says.
    async fn drop_bodies(
        &self,
        org: OrgId,
        before: Timestamp,
        decision: EventId,
        record: Recorder<Dropping>,
    ) -> Result<Option<Written<Dropping>>>;

    /// What was dropped of a trail; `None` if nothing was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn dropped(&self, org: OrgId) -> Result<Option<Dropped>>;

    /// Forgets from which addresses the keys of an org were used before an instant, and not since: some
    /// of them; gives how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn forget_addresses(&self, org: OrgId, before: Timestamp, limit: u32) -> Result<u64>;
}

/// How far a drop may go, while the runs behind what was dropped are looked at in order.
pub(crate) struct Reach {
    before: Timestamp,
    /// What was dropped before.
    dropped: u64,
    last: u64,
    bytes: u64,
}

impl Reach {
    pub(crate) const fn new(dropped: u64, before: Timestamp) -> Self {
        Self {
            before,
            dropped,
            last: dropped,
            bytes: 0,
        }
    }

    /// Takes the next run: its first and last number, its latest time, and how many bytes it has. Gives
    /// whether to go on: not where one is missing, for who knows what was there.
    pub(crate) fn take(&mut self, run: (u64, u64), at_max: Timestamp, bytes: u64) -> bool {
        let (first_seq, last_seq) = run;
        let is_enough = self.bytes >= BYTES_MAX && self.last - self.dropped >= DROPPED_AT_ONCE;
        if first_seq != self.last + 1 || at_max >= self.before || is_enough {
            return false;
        }
        self.last = self.last.max(last_seq);
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// What is to be dropped, with so many records in tiles, and the size and the root of the last checkpoint.
    pub(crate) fn dropping(&self, tiled: u64, (size, root): (u64, Hash)) -> Option<Dropping> {
        let last = whole(self.last.min(tiled).min(size));
        (last > self.dropped).then_some(Dropping {
            first: self.dropped + 1,
            last,
            size,
            root,
        })
    }
}

/// As many of so many records as fill whole tiles.
pub(crate) const fn whole(records: u64) -> u64 {
    records - records % DROPPED_AT_ONCE
}

/// The error for a run that cannot be cut.
pub(crate) fn uncut(org: OrgId, first: u64) -> StoreError {
    StoreError::Corrupt {
        what: format!("the audit trail of `{org}`"),
        reason: format!("the run from record {first} on does not hold what it says"),
    }
}
