//! Where records and hashes went apart: which record belongs to which hash again.
//!
//! No two records of a trail are equal, for each has 128 random bits. So a record is known by its
//! hash wherever it stands, and what was removed, inserted or moved shows in the order of the places.

use std::{collections::BTreeMap, ops::Range};

use super::Claims;
use crate::ledger::tree::Hash;

/// As many records in a row that fit the hashes in a row end a departure.
const RUN_MIN: u64 = 8;
/// As many hashes are looked through at first.
const LOOK_AHEAD_MIN: u64 = 1024;
/// The most hashes that are looked through to find where the records go on.
pub(super) const LOOK_AHEAD_MAX: u64 = 1 << 16;
/// The most records that wait for that.
const WAITING_MAX: usize = 4096;

/// A part of the departure, in the order of the hashes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A record that is there, and belongs to the hash with this index.
    Match(u64),
    /// Hashes whose records are not here, and records that are none of theirs.
    Gap(Range<u64>, Vec<Hash>),
    /// Records that belong to the next gap.
    Strays(Vec<Hash>),
}

/// What became clear.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// In order.
    pub(super) pieces: Vec<Piece>,
    /// The records that follow, for which there are no hashes.
    pub(super) unclaimed: Vec<Hash>,
    /// Whether records and hashes go together again from here on.
    pub(super) is_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    hash: Hash,
    place: Option<u64>,
}

/// A stretch in which records and hashes do not go together.
#[derive(Debug)]
pub(super) struct Departure {
    /// The first hash that no record was found for.
    begin: u64,
    /// The first hash that was not looked at.
    end: u64,
    /// Whether that is the end of the hashes.
    is_end: bool,
    places: BTreeMap<Hash, u64>,
    waiting: Vec<Item>,
}

impl Departure {
    pub(super) const fn new(begin: u64) -> Self {
        Self {
            begin,
            end: begin,
            is_end: false,
            places: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes the next record.
    pub(super) fn push(&mut self, hash: Hash, claims: &mut impl Claims) -> Option<Outcome> {
        self.waiting.push(Item { hash, place: None });
        let ahead = u64::try_from(self.waiting.len().next_power_of_two()).unwrap_or(u64::MAX);
        let ahead = ahead.saturating_mul(64);
        self.look_ahead(ahead.clamp(LOOK_AHEAD_MIN, LOOK_AHEAD_MAX), claims);
        let (run, first) = self.run();
        // Near the end of the hashes there are not so many in a row: there it is enough that all that are
        // left have their records. (The last record alone could have been moved to here.)
        let count = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let is_all = self.is_end && first + run == self.end && count >= self.end - self.begin;
        if run >= RUN_MIN || (run > 0 && is_all) {
            let run = usize::try_from(run).unwrap_or(usize::MAX);
            let before = self.waiting.len().saturating_sub(run);
            return Some(self.close(before, first));
        }
        (self.waiting.len() >= WAITING_MAX).then(|| self.give_way())
    }

    /// Takes the end of the records, or of those before a hash that is known to stand for a record
    /// without a body: `limit`.
    pub(super) fn finish(mut self, limit: Option<u64>, claims: &mut impl Claims) -> Outcome {
        self.look_ahead(LOOK_AHEAD_MAX, claims);
        if let Some(limit) = limit {
            // What is left over was inserted: other records follow.
            (self.end, self.is_end) = (limit.clamp(self.begin, self.end), false);
        }
        let mut outcome = Outcome::default();
        if let Some((item, place)) = self.in_order(self.waiting.len(), self.end).pop() {
            self.pieces(item, place, &mut outcome.pieces);
            self.pass(item, place, &mut outcome.pieces);
        }
        self.pair_rest(&mut outcome);
        outcome
    }

    /// Knows the places of the waiting records among the next `ahead` hashes.
    fn look_ahead(&mut self, ahead: u64, claims: &mut impl Claims) {
        let before = self.end;
        while !self.is_end && self.end.saturating_sub(self.begin) < ahead {
            match claims.leaf(self.end) {
                Some(hash) => {
                    self.places.entry(hash).or_insert(self.end);
                    self.end += 1;
                }
                None => self.is_end = true,
            }
        }
        let has_grown = self.end > before;
        let fresh = if has_grown {
            0
        } else {
            self.waiting.len().saturating_sub(1)
        };
        for item in self.waiting.iter_mut().skip(fresh) {
            item.place = self.places.get(&item.hash).copied();
        }
    }

    /// How many of the last records fit hashes in a row, and the index of the first of those.
    fn run(&self) -> (u64, u64) {
        let mut run = 0;
        let mut first = None;
        for item in self.waiting.iter().rev() {
            let fits = match (item.place, first) {
                (Some(place), Some(first)) => place.checked_add(1) == Some(first),
                (Some(_), None) => true,
                (None, _) => false,
            };
            if !fits {
                break;
            }
            run += 1;
            first = item.place;
        }
        (run, first.unwrap_or(self.end))
    }

    /// The last records fit from the hash `first` on: settles those before them.
    fn close(&mut self, before: usize, first: u64) -> Outcome {
        let mut outcome = Outcome {
            is_over: true,
            ..Outcome::default()
        };
        self.pieces(before, first, &mut outcome.pieces);
        let matched = self.waiting.iter().skip(before);
        let matched = matched.filter_map(|item| item.place.map(Piece::Match));
        outcome.pieces.extend(matched);
        outcome
    }

    /// Too many wait: settles as many as can be, so that memory is bounded.
    fn give_way(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some((item, place)) = self.in_order(self.waiting.len(), self.end).pop() {
            self.pieces(item, place, &mut outcome.pieces);
            self.pass(item, place, &mut outcome.pieces);
        } else {
            let strays = self.waiting.drain(..).map(|item| item.hash);
            outcome.pieces.push(Piece::Strays(strays.collect()));
        }
        outcome
    }

    /// Leaves a record that was found behind, with all before it.
    fn pass(&mut self, item: usize, place: u64, pieces: &mut Vec<Piece>) {
        pieces.push(Piece::Match(place));
        self.waiting.drain(..=item);
        self.begin = place + 1;
        let begin = self.begin;
        self.places.retain(|_, place| *place >= begin);
        for item in &mut self.waiting {
            item.place = item.place.filter(|place| *place >= begin);
        }
    }

    /// No record fits any more: puts them in the place of hashes, one for one.
    fn pair_rest(&mut self, outcome: &mut Outcome) {
        let count = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let paired = count.min(self.end - self.begin);
        let mut strays: Vec<_> = self.waiting.drain(..).map(|item| item.hash).collect();
        if self.is_end {
            let kept = usize::try_from(paired).unwrap_or(usize::MAX);
            outcome.unclaimed = strays.split_off(kept.min(strays.len()));
        }
        let refs = self.begin..self.begin + paired;
        outcome.pieces.push(Piece::Gap(refs, strays));
    }

    /// Settles the first `items` of the waiting records and the hashes before `end`.
    fn pieces(&self, items: usize, end: u64, pieces: &mut Vec<Piece>) {
        let (mut next_item, mut next) = (0, self.begin);
        let kept = self.in_order(items, end);
        for (item, place) in kept.into_iter().chain([(items, end)]) {
            let between = self.waiting.get(next_item..item).unwrap_or_default();
            let strays: Vec<_> = between.iter().map(|item| item.hash).collect();
            // Records that were let go before belong to the first gap, so it is never left out.
            if next < place || !strays.is_empty() || next == self.begin {
                pieces.push(Piece::Gap(next..place, strays));
            }
            if item < items {
                pieces.push(Piece::Match(place));
            }
            (next_item, next) = (item + 1, place + 1);
        }
    }

    /// The most of the first `items` waiting records that stand in the order of their hashes, of those
    /// before `end`: which of the waiting they are, and their places. (The longest increasing
    /// subsequence, by patience sorting.)
    fn in_order(&self, items: usize, end: u64) -> Vec<(usize, u64)> {
        // Of each length, the way that ends earliest: as an index into `steps`.
        let mut ends: Vec<(u64, usize)> = Vec::new();
        let mut steps: Vec<(usize, u64, Option<usize>)> = Vec::new();
        for (at, item) in self.waiting.iter().enumerate().take(items) {
            let Some(place) = item.place.filter(|p| (self.begin..end).contains(p)) else {
                continue;
            };
            let length = ends.partition_point(|(last, _)| *last < place);
            let before = length.checked_sub(1).and_then(|at| ends.get(at));
            steps.push((at, place, before.map(|(_, step)| *step)));
            let step = (place, steps.len() - 1);
            match ends.get_mut(length) {
                Some(known) => *known = step,
                None => ends.push(step),
            }
        }
        let mut next = ends.last().map(|(_, step)| *step);
        let mut kept = Vec::new();
        while let Some((at, place, before)) = next.and_then(|step| steps.get(step)) {
            kept.push((*at, *place));
            next = *before;
        }
        kept.reverse();
        kept
    }
}
