//! The index of a trail: which records of a block hold what filters ask for. Written behind, block by
//! block; it only says where to look, and a filter still reads what is found there.
//!
//! A value is kept as a hash, so two values can share a place. Then more is read than fits, and
//! nothing that fits is missed.

use std::collections::{BTreeMap, BTreeSet};

use memchr::{memchr2, memmem::find};

/// How many records a block has. The first one of a trail begins with its first record.
pub const BLOCK_RECORDS: u64 = 4096;

/// Into how many rows the index of a block is divided: who looks for one value reads one of them.
pub const BUCKETS: u8 = 128;

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
    pub const fn new(number: u64) -> Self {
        Self {
            before: before_block(number),
            places: BTreeMap::new(),
            spots: Vec::new(),
        }
    }

    /// Where each of its records stands in its run, [`SPOT_BYTES`] for each.
    #[must_use]
    pub fn spots(&self) -> &[u8] {
        &self.spots
    }

    /// Adds the records of a run. Those of other blocks are left out. Runs come in order.
    pub fn add_run(&mut self, first_seq: u64, lines: &[u8]) {
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        let mut next = 0;
        for (seq, line) in (first_seq..).zip(lines.split(|byte| *byte == b'\n')) {
            let begin = next;
            next += line.len() + 1;
            let Some(place) = seq.checked_sub(self.before + 1) else {
                continue;
            };
            if place >= BLOCK_RECORDS {
                return;
            }
            self.spots.extend(spot(begin, line.len()));
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            for_each_term(line, |term| {
                let places = self.places.entry(term).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            });
        }
    }

    /// The rows: of each bucket that is not empty, the terms in order, each with its places. All
    /// numbers are big-endian: four bytes of the term, two for how many places follow, two for each.
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
        rows
    }
}

/// The places of a term in its row, in order; none when the row has none of it.
#[must_use]
pub fn places(row: &[u8], term: Term) -> Vec<u16> {
    let mut rest = row;
    while let Some((head, after)) = rest.split_at_checked(6) {
        let [a, b, c, d, high, low] = *head else {
            break;
        };
        let bytes = usize::from(u16::from_be_bytes([high, low])) * 2;
        let Some((own, others)) = after.split_at_checked(bytes) else {
            break;
        };
        if u32::from_be_bytes([a, b, c, d]) == term.tag {
            let pairs = own.chunks_exact(2);
            let place = |pair: &[u8]| Some(u16::from_be_bytes(pair.try_into().ok()?));
            return pairs.filter_map(place).collect();
        }
        rest = others;
    }
    Vec::new()
}

/// The place of the first record of which two rows of one bucket say different things; the first
/// place where one of them cannot be read.
pub(super) fn first_difference(one: &[u8], other: &[u8]) -> Option<u16> {
    if one == other {
        return None;
    }
    let (Some(one), Some(other)) = (terms(one), terms(other)) else {
        return Some(0);
    };
    let differing = one.symmetric_difference(&other);
    Some(differing.map(|(_, place)| *place).min().unwrap_or(0))
}

/// What a row says: the tags, each with a place. `None` for a row that is cut short.
fn terms(row: &[u8]) -> Option<BTreeSet<(u32, u16)>> {
    let mut found = BTreeSet::new();
    let mut rest = row;
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<6>()?;
        let [a, b, c, d, high, low] = *head;
        let bytes = usize::from(u16::from_be_bytes([high, low])) * 2;
        let (own, others) = after.split_at_checked(bytes)?;
        let tag = u32::from_be_bytes([a, b, c, d]);
        for pair in own.chunks_exact(2) {
            found.insert((tag, u16::from_be_bytes(pair.try_into().ok()?)));
        }
        rest = others;
    }
    Some(found)
}

/// The method of most requests: where it stands nobody needs to be told.
pub(super) const USUAL_METHOD: &str = "GET";
/// The kind of most records: as with the method.
pub(super) const USUAL_KIND: &str = "request";
/// From here on a status is indexed: most requests succeed.
pub(super) const STATUS_MIN: u16 = 400;

/// Reads a record in the order in which it was written, up to its status. What a caller chose stands
/// there with its quotation marks escaped, so it cannot end a text.
fn for_each_term(record: &[u8], mut each: impl FnMut(Term)) {
    let Some(mut rest) = after(record, b",\"kind\":\"") else {
        return;
    };
    let mut text = |rest: &mut &[u8], member: Option<Member>| {
        let (value, behind) = text_end(rest)?;
        *rest = behind;
        if let Some(member) = member {
            each(Term::new(member, value));
        }
        Some(())
    };
    let mut walk = || {
        let kind = text_end(rest)?.0;
        let is_usual = kind == USUAL_KIND.as_bytes();
        text(&mut rest, (!is_usual).then_some(Member::Kind))?;
        rest = rest.strip_prefix(b",\"tier\":\"")?;
        text(&mut rest, None)?;
        rest = rest.strip_prefix(b",\"actor\":\"")?;
        text(&mut rest, Some(Member::Actor))?;
        if let Some(key) = rest.strip_prefix(b",\"key\":\"") {
            for member in [Member::Line, Member::Key] {
                rest = key;
                text(&mut rest, Some(member))?;
            }
        }
        if let Some(mut chain) = rest.strip_prefix(b",\"chain\":[\"") {
            text(&mut chain, Some(Member::Line))?;
            while let Some(next) = chain.strip_prefix(b",\"") {
                chain = next;
                text(&mut chain, Some(Member::Line))?;
            }
            rest = chain.strip_prefix(b"]")?;
        }
        rest = rest.strip_prefix(b",\"root\":\"")?;
        text(&mut rest, None)?;
        if let Some(mut other) = rest.strip_prefix(b",\"impersonator\":\"") {
            text(&mut other, None)?;
            rest = other;
        }
        rest = rest.strip_prefix(b",\"method\":\"")?;
        let method = text_end(rest)?.0;
        let is_usual = method == USUAL_METHOD.as_bytes();
        text(&mut rest, (!is_usual).then_some(Member::Method))?;
        rest = rest.strip_prefix(b",\"path\":\"")?;
        text(&mut rest, None)?;
        rest = rest.strip_prefix(b",\"route\":\"")?;
        text(&mut rest, Some(Member::Route))?;
        if let Some(mut workspace) = rest.strip_prefix(b",\"workspace\":\"") {
            text(&mut workspace, Some(Member::Workspace))?;
            rest = workspace;
        }
        Some(())
    };
    if walk().is_none() {
        return;
    }
    let status = rest.strip_prefix(b",\"status\":").unwrap_or_default();
    let digits = status.iter().take_while(|byte| byte.is_ascii_digit());
    let status = digits.fold(0_u16, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u16::from(digit - b'0'))
    });
    if status >= STATUS_MIN {
        for (member, number) in status_terms(status) {
            each(Term::new(member, &number.to_be_bytes()));
        }
    }
    for_each_changed_key(rest, each);
}

/// Reads what a record changed, behind its status.
fn for_each_changed_key(rest: &[u8], mut each: impl FnMut(Term)) {
    // Most records stand for no change, and end soon after their status.
    let Some(mut change) = after(rest, b",\"change\":{") else {
        return;
    };
    // `id`, or `token_id` where the id is that of a request. Deeper ones are found too, and do not fit.
    while let Some(id) = after(change, b"id\":\"") {
        let Some((value, behind)) = text_end(id) else {
            return;
        };
        if value.starts_with(b"tok_") {
            each(Term::new(Member::About, value));
        }
        change = behind;
    }
}

/// What a status is found by.
pub(super) const fn status_terms(status: u16) -> [(Member, u16); 2] {
    [
        (Member::Status, status),
        (Member::StatusClass, status / 100),
    ]
}

fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, needle)? + needle.len()..)
}

/// A JSON text up to its closing quotation mark, and what stands behind that.
fn text_end(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests;
