//! The tree of the hashes while they come, in blocks of 256, beside the same tree of the hashes that an
//! export claims for whole blocks: where they differ is where the change must be.

use std::ops::Range;

use super::{Claims, FINDINGS_MAX};
use crate::ledger::tree::{Frontier, Hash, empty_root, fold, tile::TILE_WIDTH};

/// The tree so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    /// Of the full blocks: their roots are its leaves.
    full: Frontier,
    /// Of the last block, while it is not full.
    last: Frontier,
    /// As `full`, of the roots that are claimed.
    claimed: Frontier,
    /// The blocks whose claimed root is another one, from 0 on; the first of them at least.
    differing: Vec<Range<u64>>,
}

impl Blocks {
    /// How many leaves there are.
    pub(super) const fn size(&self) -> u64 {
        self.full.size() * 256 + self.last.size()
    }

    pub(super) fn append(&mut self, leaf: Hash, claims: &mut impl Claims) {
        self.last.append(leaf);
        if self.last.size() < u64::from(TILE_WIDTH) {
            return;
        }
        let (number, root) = (self.full.size(), self.last.root());
        self.last.clear();
        self.full.append(root);
        let claimed = claims.block(number).unwrap_or(root);
        self.claimed.append(claimed);
        if claimed != root {
            self.differs(number);
        }
    }

    fn differs(&mut self, number: u64) {
        let is_next = |range: &&mut Range<u64>| range.end == number;
        if let Some(range) = self.differing.last_mut().filter(is_next) {
            range.end = number + 1;
        } else if self.differing.len() < FINDINGS_MAX {
            self.differing.push(number..number + 1);
        }
    }

    pub(super) fn root(&self) -> Hash {
        root_of(&self.full, &self.last)
    }

    /// The root, if the claimed roots of full blocks are right.
    pub(super) fn claimed_root(&self) -> Hash {
        root_of(&self.claimed, &self.last)
    }

    /// The leaves in blocks that differ, by index.
    pub(super) fn differing(&self) -> impl Iterator<Item = Range<u64>> {
        let ranges = self.differing.iter();
        ranges.map(|range| range.start * 256..range.end * 256)
    }
}

/// The root of a tree of full blocks and a last one that is not full.
fn root_of(full: &Frontier, last: &Frontier) -> Hash {
    let peaks = full.peaks().iter().chain(last.peaks());
    fold(peaks.copied()).unwrap_or_else(empty_root)
}
