//! What was found: gaps between records and hashes become changed, removed, inserted and moved records.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{FINDINGS_MAX, Finding, Kind};
use crate::ledger::tree::Hash;

/// As many records that are not where they belong are looked for in other places.
const MOVES_MAX: usize = 1 << 16;

/// Hashes without their records, and how many other records stand there.
#[derive(Debug)]
struct Gap {
    hashes: Range<u64>,
    strays: u64,
}

/// Gaps while they are found.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    /// How many gaps were found beyond those that are kept.
    more: u64,
    /// Hashes without their records, by index.
    missing: BTreeMap<Hash, u64>,
    /// Records that stand elsewhere: in which gap, and where.
    strays: BTreeMap<Hash, (usize, u64)>,
    /// How many of them stand in the gap that is not closed.
    open: u64,
}

impl Gaps {
    /// A record that does not belong here: at, or before, the record with the number `stands_at`.
    pub(super) fn stray(&mut self, hash: Hash, stands_at: u64) {
        self.open += 1;
        if self.strays.len() < MOVES_MAX {
            let gap = self.gaps.len();
            self.strays.entry(hash).or_insert((gap, stands_at));
        }
    }

    /// The hash with this index has no record in its place.
    pub(super) fn missing(&mut self, hash: Hash, index: u64) {
        if self.missing.len() < MOVES_MAX {
            self.missing.insert(hash, index);
        }
    }

    /// Whether a hash with these bytes has no record in its place.
    pub(super) fn is_missing(&self, hash: &Hash) -> bool {
        self.missing.contains_key(hash)
    }

    /// Ends a gap that began with the first stray, or the first missing, since the last one.
    pub(super) fn close(&mut self, hashes: Range<u64>) {
        let strays = std::mem::take(&mut self.open);
        if hashes.is_empty() && strays == 0 {
            return;
        }
        if self.gaps.len() < FINDINGS_MAX {
            self.gaps.push(Gap { hashes, strays });
        } else {
            self.more += 1;
        }
    }

    /// What was found, and how many gaps more.
    pub(super) fn findings(&self) -> (Vec<Finding>, u64) {
        let mut moves = BTreeMap::new();
        let mut moved_into = BTreeMap::<usize, u64>::new();
        for (hash, index) in &self.missing {
            if let Some((gap, stands_at)) = self.strays.get(hash) {
                moves.insert(index + 1, *stands_at);
                *moved_into.entry(*gap).or_default() += 1;
            }
        }
        let moved: BTreeSet<u64> = moves.keys().map(|number| number - 1).collect();
        let mut findings = Vec::new();
        for (at, gap) in self.gaps.iter().enumerate() {
            let elsewhere = moved_into.get(&at).copied().unwrap_or_default();
            let strays = gap.strays.saturating_sub(elsewhere);
            gap_findings(gap, strays, &moved, &mut findings);
        }
        // Two records that changed places are one finding.
        let is_first = |(number, at): &(&u64, &u64)| number < at || moves.get(at) != Some(number);
        for (number, stands_at) in moves.iter().filter(is_first) {
            add_moved(*number, *stands_at, &mut findings);
        }
        (findings, self.more)
    }
}

/// What a gap comes to, when records that are found elsewhere are left out on both sides.
fn gap_findings(gap: &Gap, strays: u64, moved: &BTreeSet<u64>, findings: &mut Vec<Finding>) {
    let mut left = strays;
    let mut begin = gap.hashes.start;
    let stops = moved.range(gap.hashes.clone()).copied();
    for stop in stops.chain([gap.hashes.end]) {
        let count = stop.saturating_sub(begin);
        let changed = count.min(left);
        left -= changed;
        push(findings, Kind::Changed, begin + 1..begin + changed + 1);
        push(findings, Kind::Removed, begin + changed + 1..stop + 1);
        begin = stop + 1;
    }
    if left > 0 {
        let before = gap.hashes.end + 1;
        push(findings, Kind::Inserted { count: left }, before..before + 1);
    }
}

fn push(findings: &mut Vec<Finding>, kind: Kind, numbers: Range<u64>) {
    if !numbers.is_empty() {
        findings.push(Finding {
            kind,
            first: numbers.start,
            last: numbers.end - 1,
        });
    }
}

/// Adds a record that stands elsewhere; to the last finding, if both were moved together.
fn add_moved(number: u64, stands_at: u64, findings: &mut Vec<Finding>) {
    if let Some(Finding {
        kind: Kind::Reordered { stands_at: other },
        first,
        last,
    }) = findings.last_mut()
    {
        let together =
            stands_at == *other || stands_at.checked_sub(*other) == Some(number - *first);
        if *last + 1 == number && together {
            *last = number;
            return;
        }
    }
    push(findings, Kind::Reordered { stands_at }, number..number + 1);
}
