//! The verifier of an export: records in order, the hashes that the export carries beside them, and
//! checkpoints whose signatures were verified. It says what is proved, and what was found.
//!
//! The hashes of the export are checked against the checkpoints, and the records against the hashes:
//! so a single record can be named. Without hashes only the checkpoints say where a change must lie.
//! Records are taken one after the other; none is kept, and as long as all is well nothing is allocated.

use crate::time::Timestamp;

use super::tree::{Hash, leaf_hash};

mod align;
mod blocks;
mod decided;
mod findings;
mod report;
mod tiles;
mod words;

use align::{Departure, Outcome, Piece};
use blocks::Blocks;
use decided::Decisions;
use findings::Gaps;

pub use decided::Decided;
pub use tiles::TileClaims;

/// The most findings of one report. What is beyond is counted.
pub const FINDINGS_MAX: usize = 1000;

/// Where a checkpoint comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The export itself.
    Export,
    /// Somewhere that whoever wrote the export could not change.
    Anchor,
}

/// A checkpoint whose signature was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trusted {
    /// How many records it covers.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When it was signed, if that is known.
    pub at: Option<Timestamp>,
    /// Where it comes from.
    pub source: Source,
}

/// The hashes that an export carries. They prove nothing before they fit a checkpoint.
pub trait Claims {
    /// The hash of the leaf with this index (level 0 of the tiles). Consecutive ones are asked for,
    /// mostly one after the other, now and then some further ahead or behind.
    fn leaf(&mut self, index: u64) -> Option<Hash>;

    /// The root of 256 leaves, from the leaf `number * 256` on (level 1 of the tiles).
    fn block(&mut self, number: u64) -> Option<Hash> {
        let _ = number;
        None
    }
}

/// Of an export that carries no hashes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoClaims;

impl Claims for NoClaims {
    fn leaf(&mut self, _: u64) -> Option<Hash> {
        None
    }
}

/// The hashes of the leaves, from the first on.
impl Claims for &[Hash] {
    fn leaf(&mut self, index: u64) -> Option<Hash> {
        self.get(usize::try_from(index).ok()?).copied()
    }
}

/// What is wrong with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Other bytes stand in their place.
    Changed,
    /// They are not there, and later ones are.
    Removed,
    /// Before the record with this number stand some that do not belong there.
    Inserted {
        /// How many.
        count: u64,
    },
    /// They stand elsewhere.
    Reordered {
        /// The record in whose place, or before which, the first of them stands.
        stands_at: u64,
    },
    /// They are not there, nor is any later one: a checkpoint or a hash of the export covers them.
    CutOff,
    /// No checkpoint covers them: nobody vouches for them yet.
    Unsigned,
    /// They have no body, and their hash is not there either. Nothing behind them can be judged.
    HashMissing,
    /// One of them, at least, is not what the checkpoint of this size covers.
    RootMismatch,
    /// They are what the checkpoint covers; the hashes that the export carries for them are not.
    HashesAltered,
    /// They are what the checkpoint covers, and so are their hashes; what the export carries for the
    /// roots of their blocks is not.
    TilesAltered,
    /// For them there are two signed trees that contradict each other.
    Fork,
    /// An anchor covers them, and the export does not know of them: it is of an older state.
    Rollback,
}

/// What is wrong with consecutive records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The number of the first record concerned.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
}

impl Finding {
    /// The number of the first record that is not in its place because of this.
    #[must_use]
    pub fn place(&self) -> u64 {
        match self.kind {
            Kind::Reordered { stands_at } => self.first.min(stands_at),
            Kind::Changed
            | Kind::Removed
            | Kind::Inserted { .. }
            | Kind::CutOff
            | Kind::Unsigned
            | Kind::HashMissing
            | Kind::RootMismatch
            | Kind::HashesAltered
            | Kind::TilesAltered
            | Kind::Fork
            | Kind::Rollback => self.first,
        }
    }
}

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The root of as many records is the one that was signed.
    Fits,
    /// It is another one.
    Differs,
    /// It covers more records than there are.
    Ahead,
    /// Hashes are missing, so nobody can say.
    Unjudged,
}

/// A checkpoint, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The checkpoint.
    pub checkpoint: Trusted,
    /// What became of it.
    pub standing: Standing,
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many records were read.
    pub records: u64,
    /// How many more have no body in the export, but a hash.
    pub dropped: u64,
    /// The decisions that say which records have no bodies, in the order of the trail.
    pub decided: Vec<Decided>,
    /// The largest checkpoint that fits: every record up to its size that no finding names is the one
    /// that was recorded, byte for byte, at the latest when it was signed.
    pub proved: Option<Trusted>,
    /// The records from 1 to this number are proved without a gap.
    pub intact: u64,
    /// Every checkpoint, the smallest first.
    pub checkpoints: Vec<Judged>,
    /// What was found, in the order of the places; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
}

/// A verification under way.
#[derive(Debug)]
pub struct Verifier<C> {
    claims: C,
    /// The tree of the claimed hashes; of the records where none is claimed.
    tree: Blocks,
    /// The tree of the records as they stand, once it is another one.
    own: Option<Blocks>,
    judged: Vec<Judged>,
    /// The first checkpoint that covers more than the tree has.
    next: usize,
    /// The checkpoints that `own` fits.
    own_fits: Vec<usize>,
    /// The largest checkpoint that the claimed roots of blocks fit.
    blocks_fit: u64,
    departure: Option<Departure>,
    /// How many records were as claimed before one was not.
    departed_at: Option<u64>,
    gaps: Gaps,
    records: u64,
    dropped: u64,
    /// The records whose hashes are missing: first and last.
    missing: Option<(u64, u64)>,
    decisions: Decisions,
}

impl<C: Claims> Verifier<C> {
    /// Begins with the first record. The checkpoints may come in any order.
    #[must_use]
    pub fn new(claims: C, mut trusted: Vec<Trusted>) -> Self {
        trusted.sort_by_key(|checkpoint| checkpoint.size);
        let judged = trusted.into_iter().map(|checkpoint| Judged {
            checkpoint,
            standing: Standing::Ahead,
        });
        let mut verifier = Self {
            claims,
            tree: Blocks::default(),
            own: None,
            judged: judged.collect(),
            next: 0,
            own_fits: Vec::new(),
            blocks_fit: 0,
            departure: None,
            departed_at: None,
            gaps: Gaps::default(),
            records: 0,
            dropped: 0,
            missing: None,
            decisions: Decisions::default(),
        };
        verifier.judge();
        verifier
    }

    /// Takes the next record, without its line break.
    pub fn record(&mut self, record: &[u8]) {
        self.records += 1;
        if self.missing.is_some() {
            return;
        }
        let hash = leaf_hash(record);
        let own = self.own.as_ref().unwrap_or(&self.tree).size() + 1;
        self.decisions.see(record, hash, own);
        if self.departure.is_none() {
            match self.claims.leaf(self.tree.size()) {
                Some(claimed) if claimed != hash => self.depart(),
                Some(_) => self.settle(hash),
                None => self.settle_unclaimed(hash),
            }
        }
        self.take_own(hash);
        if let Some(departure) = &mut self.departure
            && let Some(outcome) = departure.push(hash, &mut self.claims)
        {
            self.apply(outcome);
        }
    }

    /// The records with the numbers from `first` to `last` have no body in the export: their hashes
    /// stand for them. They count as removed, unless a record of the trail decided it. Nothing happens if
    /// `first` is 0 or beyond `last`.
    pub fn dropped(&mut self, first: u64, last: u64) {
        let Some(before) = first.checked_sub(1).filter(|before| *before < last) else {
            return;
        };
        if let Some(departure) = self.departure.take() {
            let outcome = departure.finish(Some(before), &mut self.claims);
            self.apply(outcome);
            self.departure = None;
        }
        self.absent(before);
        while self.missing.is_none() && self.tree.size() < last {
            match self.claims.leaf(self.tree.size()) {
                Some(hash) => {
                    self.dropped += 1;
                    self.settle(hash);
                    self.take_own(hash);
                }
                None => self.missing = Some((self.tree.size() + 1, last)),
            }
        }
        self.decisions.miss(first, self.tree.size().min(last));
    }

    /// Ends with the last record.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if let Some(departure) = self.departure.take() {
            let outcome = departure.finish(None, &mut self.claims);
            self.apply(outcome);
        }
        let have = self.tree.size();
        if self.missing.is_none() {
            self.absent(u64::MAX);
        }
        self.report(have)
    }

    /// Hashes whose records are not there, up to the one with this number or the last.
    fn absent(&mut self, last: u64) {
        let begin = self.tree.size();
        while self.tree.size() < last
            && let Some(hash) = self.claims.leaf(self.tree.size())
        {
            self.gaps.missing(hash, self.tree.size());
            self.settle(hash);
        }
        self.gaps.close(begin..self.tree.size());
        if begin < self.tree.size() {
            self.departed_at.get_or_insert(begin);
        }
    }

    /// A record is not what the hash says.
    fn depart(&mut self) {
        let begin = self.tree.size();
        self.departure = Some(Departure::new(begin));
        self.departed_at.get_or_insert(begin);
        if self.own.is_none() {
            self.own = Some(self.tree.clone());
        }
    }

    /// Takes what became clear of a departure.
    fn apply(&mut self, outcome: Outcome) {
        for piece in outcome.pieces {
            match piece {
                Piece::Match(index) => self.settle_claimed(index),
                Piece::Strays(strays) => {
                    let at = self.tree.size() + 1;
                    strays
                        .into_iter()
                        .for_each(|hash| self.gaps.stray(hash, at));
                }
                Piece::Gap(hashes, strays) => {
                    for (at, hash) in (hashes.start..).zip(strays) {
                        self.gaps.stray(hash, at.min(hashes.end) + 1);
                    }
                    for index in hashes.clone() {
                        if let Some(hash) = self.claims.leaf(index) {
                            self.gaps.missing(hash, index);
                        }
                        self.settle_claimed(index);
                    }
                    self.gaps.close(hashes);
                }
            }
        }
        for hash in outcome.unclaimed {
            self.settle_unclaimed(hash);
        }
        if outcome.is_over {
            self.departure = None;
        }
    }

    fn settle_claimed(&mut self, index: u64) {
        if let Some(hash) = self.claims.leaf(index) {
            self.settle(hash);
        }
    }

    /// A record for which no hash is claimed speaks for itself, unless it is missing elsewhere.
    fn settle_unclaimed(&mut self, hash: Hash) {
        if self.gaps.is_missing(&hash) {
            self.gaps.stray(hash, self.tree.size() + 1);
        } else {
            self.settle(hash);
        }
    }

    /// The tree has one leaf more.
    fn settle(&mut self, hash: Hash) {
        self.tree.append(hash, &mut self.claims);
        self.decisions.settle(hash, self.tree.size());
        self.judge();
    }

    /// Judges the checkpoints of the size that the tree has.
    fn judge(&mut self) {
        let size = self.tree.size();
        while let Some(judged) = self.judged.get_mut(self.next)
            && judged.checkpoint.size == size
        {
            self.next += 1;
            if self.tree.root() == judged.checkpoint.root {
                judged.standing = Standing::Fits;
            } else {
                judged.standing = Standing::Differs;
            }
            if self.tree.claimed_root() == judged.checkpoint.root {
                self.blocks_fit = size;
            }
        }
    }

    /// The tree of the records as they stand has one leaf more, once there is such a tree.
    fn take_own(&mut self, hash: Hash) {
        let Some(own) = &mut self.own else {
            return;
        };
        own.append(hash, &mut NoClaims);
        let size = own.size();
        let begin = self.judged.partition_point(|j| j.checkpoint.size < size);
        for (at, judged) in self.judged.iter().enumerate().skip(begin) {
            if judged.checkpoint.size != size {
                break;
            }
            if judged.checkpoint.root == own.root() {
                self.own_fits.push(at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
