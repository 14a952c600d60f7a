//! The index of a trail: which records of a block hold what filters ask for. Written behind, block by
//! block; it only says where to look, and a filter still reads what is found there.
//!
//! A value is kept as a hash, so two values can share a place. Then more is read than fits, and
//! nothing that fits is missed. The parts of paths are kept as they are: free text is looked for in them.
//!
//! What 64 blocks have is gathered once more, in a chapter: which of them have a value at all. So what is
//! seldom, or nowhere, is found out without a look at each block.

mod chapter;
mod found;
mod words;

use std::collections::BTreeMap;

pub(super) use self::found::first_difference;
use self::words::Words;
pub use self::{
    chapter::{CHAPTER_BLOCKS, Chapter, chapter_of},
    found::{Blocks, Places, Wanted},
};
use super::{batch::records, fields::Fields};

/// How many records a block has. The first one of a trail begins with its first record.
pub const BLOCK_RECORDS: u64 = 4096;

/// Into how many rows the index of a block is divided: who looks for one value reads one of them.
pub const BUCKETS: u8 = 128;

/// The row of a block, and of a chapter, with the parts of paths.
pub const WORDS: u8 = BUCKETS + 1;

/// How many bytes say where a record stands in its run: three for where it begins, three for how long
/// it is. Zeros: look for yourself.
pub const SPOT_BYTES: usize = 6;

/// What a value is a value of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// The key that was presented.
    Key,
    /// The key that was presented, or one above it.
    Line,
    /// The actor label, as it stands in the record.
    Actor,
    /// The workspace.
    Workspace,
    /// The pattern of the route, as it stands in the record.
    Route,
    /// The method, where it is not the usual one.
    Method,
    /// The status of something that failed.
    Status,
    /// The first digit of such a status.
    StatusClass,
    /// A key that is named by what was changed.
    About,
    /// The kind, where it is not the usual one.
    Kind,
}

impl Member {
    /// What tells the values of one member from those of another. It is part of what is kept.
    const fn salt(self) -> u8 {
        match self {
            Self::Key => 1,
            Self::Line => 2,
            Self::Actor => 3,
            Self::Workspace => 4,
            Self::Route => 5,
            Self::Method => 6,
            Self::Status => 7,
            Self::StatusClass => 8,
            Self::About => 9,
            Self::Kind => 10,
        }
    }
}

/// A value of a member, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    bucket: u8,
    tag: u32,
}

impl Term {
    /// The term of a value: FNV-1a, mixed once more (the last step of MurmurHash3), because what is
    /// kept must mean the same for ever.
    #[must_use]
    pub fn new(member: Member, value: &[u8]) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let start = step(0xcbf2_9ce4_8422_2325, member.salt());
        let mut hash = value.iter().fold(start, |hash, byte| step(hash, *byte));
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
            hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
        }
        let [high, _, _, _, tag @ ..] = hash.to_be_bytes();
        Self {
            bucket: high % BUCKETS,
            tag: u32::from_be_bytes(tag),
        }
    }

    /// The row of each block in which it stands.
    #[must_use]
    pub const fn bucket(self) -> u8 {
        self.bucket
    }

    /// What tells it from others in that row.
    pub(super) const fn tag(self) -> u32 {
        self.tag
    }
}

/// The block that holds the record with this number.
#[must_use]
pub const fn block_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BLOCK_RECORDS
}

/// The number of the last record before a block.
#[must_use]
pub const fn before_block(block: u64) -> u64 {
    block.saturating_mul(BLOCK_RECORDS)
}

/// A block while its records are read.
#[derive(Debug)]
pub struct Block {
    before: u64,
    places: BTreeMap<Term, Vec<u16>>,
    words: Words,
    spots: Vec<u8>,
}

/// Where in its run a record stands.
fn spot(begin: usize, length: usize) -> [u8; SPOT_BYTES] {
    let short = |number: usize| u32::try_from(number).ok().filter(|n| *n < 1 << 24);
    match (short(begin), short(length)) {
        (Some(begin), Some(length)) => {
            let ([_, a, b, c], [_, d, e, f]) = (begin.to_be_bytes(), length.to_be_bytes());
            [a, b, c, d, e, f]
        }
        _ => [0; SPOT_BYTES],
    }
}

impl Block {
    /// A block without records.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self {
            before: before_block(number),
            places: BTreeMap::new(),
            words: Words::default(),
            spots: Vec::new(),
        }
    }

    /// Where each of its records stands in its run, [`SPOT_BYTES`] for each; zeros for those whose bodies
    /// were dropped.
    #[must_use]
    pub fn spots(&self) -> &[u8] {
        &self.spots
    }

    /// Adds the records of a run. Those of other blocks are left out. Runs come in order.
    pub fn add_run(&mut self, first_seq: u64, lines: &[u8]) {
        let mut next = 0;
        for (seq, line) in (first_seq..).zip(records(lines)) {
            let begin = next;
            next += line.len() + 1;
            let Some(place) = seq.checked_sub(self.before + 1) else {
                continue;
            };
            if place >= BLOCK_RECORDS {
                return;
            }
            let before = usize::try_from(place).unwrap_or(0) * SPOT_BYTES;
            self.spots.resize(before.max(self.spots.len()), 0);
            self.spots.extend(spot(begin, line.len()));
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            let Some(fields) = Fields::read(line) else {
                continue;
            };
            self.words.add(fields.path, place);
            for_each_term(&fields, |term| {
                let places = self.places.entry(term).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            });
        }
    }

    /// The rows: of each bucket that is not empty, the terms in order, each with its places. All
    /// numbers are big-endian: four bytes of the term, two for how many places follow, two for each. The
    /// last row, [`WORDS`], has the parts of the paths in the same way, each with its length before it.
    #[must_use]
    pub fn into_rows(self) -> Vec<(u8, Vec<u8>)> {
        let mut rows: Vec<(u8, Vec<u8>)> = Vec::new();
        for (term, places) in self.places {
            let is_same = |(bucket, _): &&mut (u8, Vec<u8>)| *bucket == term.bucket;
            if rows.last_mut().filter(is_same).is_none() {
                rows.push((term.bucket, Vec::new()));
            }
            let count = u16::try_from(places.len()).unwrap_or(u16::MAX);
            if let Some((_, row)) = rows.last_mut() {
                row.extend_from_slice(&term.tag.to_be_bytes());
                row.extend_from_slice(&count.to_be_bytes());
                row.extend(places.iter().flat_map(|place| place.to_be_bytes()));
            }
        }
        rows.push((WORDS, self.words.into_row()));
        rows
    }
}

/// The method of most requests: where it stands nobody needs to be told.
pub(super) const USUAL_METHOD: &str = "GET";
/// The kind of most records: as with the method.
pub(super) const USUAL_KIND: &str = "request";
/// From here on a status is indexed: most requests succeed.
pub(super) const STATUS_MIN: u16 = 400;

/// The terms of a record.
fn for_each_term(fields: &Fields<'_>, mut each: impl FnMut(Term)) {
    if fields.kind != USUAL_KIND.as_bytes() {
        each(Term::new(Member::Kind, fields.kind));
    }
    each(Term::new(Member::Actor, fields.actor));
    if let Some(key) = fields.key {
        each(Term::new(Member::Line, key));
        each(Term::new(Member::Key, key));
    }
    for above in fields.chain() {
        each(Term::new(Member::Line, above));
    }
    if fields.method != USUAL_METHOD.as_bytes() {
        each(Term::new(Member::Method, fields.method));
    }
    each(Term::new(Member::Route, fields.route));
    if let Some(workspace) = fields.workspace {
        each(Term::new(Member::Workspace, workspace));
    }
    let status = fields.status();
    if status >= STATUS_MIN {
        for (member, number) in status_terms(status) {
            each(Term::new(member, &number.to_be_bytes()));
        }
    }
    for key in fields.changed_keys() {
        each(Term::new(Member::About, key));
    }
}

/// What a status is found by.
pub(super) const fn status_terms(status: u16) -> [(Member, u16); 2] {
    [
        (Member::Status, status),
        (Member::StatusClass, status / 100),
    ]
}

#[cfg(test)]
mod tests;
