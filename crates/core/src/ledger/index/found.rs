//! What a query finds in the rows of a block or of a chapter.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem::find;

use super::{BLOCK_RECORDS, Member, Term, WORDS, words::ANYWHERE};
use crate::ledger::search::Search;

/// How many bytes say which value of its row a value is.
const TAG_BYTES: usize = 4;

/// Places in a block, or blocks of a chapter: what stands beside a value in a row.
pub(in crate::ledger) trait Set: Copy {
    /// None of them.
    const NONE: Self;
    /// All of them.
    const ALL: Self;
    /// Cuts what stands beside a value off the row.
    fn cut(row: &[u8]) -> Option<(&[u8], &[u8])>;
    /// Adds what was cut off.
    fn add(&mut self, own: &[u8]);
    /// Leaves what is in the other as well.
    fn keep(&mut self, other: &Self);
    /// The first one that is in one of the two and not in the other.
    fn first_unlike(&self, other: &Self) -> Option<u64>;
}

/// Places in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places([u64; 64]);

impl Set for Places {
    const NONE: Self = Self([0; 64]);
    const ALL: Self = Self([u64::MAX; 64]);

    fn cut(row: &[u8]) -> Option<(&[u8], &[u8])> {
        let (count, _) = row.split_first_chunk()?;
        let places = match u16::from_be_bytes(*count) {
            ANYWHERE => 0,
            count => usize::from(count),
        };
        row.split_at_checked(2 + places * 2)
    }

    fn add(&mut self, own: &[u8]) {
        let Some((count, places)) = own.split_first_chunk() else {
            return;
        };
        if u16::from_be_bytes(*count) == ANYWHERE {
            *self = Self::ALL;
        }
        for place in places.as_chunks().0 {
            let place = u16::from_be_bytes(*place);
            if let Some(bits) = self.0.get_mut(usize::from(place / 64)) {
                *bits |= 1 << (place % 64);
            }
        }
    }

    fn keep(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own &= other;
        }
    }

    fn first_unlike(&self, other: &Self) -> Option<u64> {
        let mut pairs = (0..).step_by(64).zip(self.0.iter().zip(other.0));
        pairs.find_map(|(first, (own, other)): (u64, _)| {
            let unlike = Blocks(*own).first_unlike(&Blocks(other));
            unlike.map(|place| first + place)
        })
    }
}

impl Places {
    /// The places in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let is_set = |place: &u64| {
            let bits = usize::try_from(place / 64).ok();
            let bits = bits.and_then(|at| self.0.get(at));
            bits.is_some_and(|bits| bits >> (place % 64) & 1 == 1)
        };
        (0..BLOCK_RECORDS).filter(is_set)
    }
}

/// Blocks of a chapter: the bit of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks(pub(super) u64);

impl Blocks {
    /// Whether this block may hold something; it is one of the chapter.
    #[must_use]
    pub const fn has(self, block: u64) -> bool {
        self.0 >> (block % super::CHAPTER_BLOCKS) & 1 == 1
    }

    pub(super) fn push_to(self, row: &mut Vec<u8>) {
        row.extend_from_slice(&self.0.to_be_bytes());
    }
}

impl Set for Blocks {
    const NONE: Self = Self(0);
    const ALL: Self = Self(u64::MAX);

    fn cut(row: &[u8]) -> Option<(&[u8], &[u8])> {
        row.split_at_checked(8)
    }

    fn add(&mut self, own: &[u8]) {
        let bits = own.try_into().map_or(u64::MAX, u64::from_be_bytes);
        self.0 |= bits;
    }

    fn keep(&mut self, other: &Self) {
        self.0 &= other.0;
    }

    fn first_unlike(&self, other: &Self) -> Option<u64> {
        let unlike = self.0 ^ other.0;
        (unlike != 0).then(|| u64::from(unlike.trailing_zeros()))
    }
}

/// The values of a row, each with what stands beside it.
pub(super) fn entries<S: Set>(row: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = row;
    std::iter::from_fn(move || {
        let (tag, after) = rest.split_first_chunk()?;
        let (own, after) = S::cut(after)?;
        rest = after;
        Some((u32::from_be_bytes(*tag), own))
    })
}

/// The parts of paths of a row, each with what stands beside it.
pub(super) fn word_entries<S: Set>(row: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = row;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        let (word, after) = after.split_at_checked(usize::from(*length))?;
        let (own, after) = S::cut(after)?;
        rest = after;
        Some((word, own))
    })
}

/// The values or the parts of paths of a row, as bytes, each with what stands beside it.
fn for_each<'a, S: Set>(bucket: u64, row: &'a [u8], mut each: impl FnMut(&'a [u8], S)) {
    let mut give = |value, own| {
        let mut set = S::NONE;
        set.add(own);
        each(value, set);
    };
    if bucket == u64::from(WORDS) {
        word_entries::<S>(row).for_each(|(word, own)| give(word, own));
        return;
    }
    let mut rest = row;
    while let Some((tag, after)) = rest.split_at_checked(TAG_BYTES)
        && let Some((own, after)) = S::cut(after)
    {
        give(tag, own);
        rest = after;
    }
}

/// The first place, or block, of which two rows of one bucket say different things. The second one may
/// hold anything: it is not taken apart into more than there is of the first.
pub(in crate::ledger) fn first_difference<S: Set>(
    bucket: u64,
    own: &[u8],
    kept: &[u8],
) -> Option<u64> {
    if own == kept {
        return None;
    }
    let mut left: BTreeMap<&[u8], S> = BTreeMap::new();
    for_each(bucket, own, |value, set| {
        left.insert(value, set);
    });
    let mut first: Option<u64> = None;
    let mut note = |unlike: Option<u64>| first = first.into_iter().chain(unlike).min();
    for_each(bucket, kept, |value, set: S| {
        let own = left.remove(value).unwrap_or(S::NONE);
        note(own.first_unlike(&set));
    });
    for own in left.values() {
        note(own.first_unlike(&S::NONE));
    }
    Some(first.unwrap_or(0))
}

/// How a piece of a text, between its slashes, lies in a part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Within,
    AtEnd,
    AtBegin,
    Whole,
}

impl Piece {
    fn is_in(self, word: &[u8], piece: &[u8]) -> bool {
        match self {
            Self::Within => find(word, piece).is_some(),
            Self::AtEnd => word.ends_with(piece),
            Self::AtBegin => word.starts_with(piece),
            Self::Whole => word == piece,
        }
    }
}

/// A text in the pieces between its slashes, without those that are empty: they say nothing.
fn pieces(text: &str) -> Vec<(Piece, Box<[u8]>)> {
    let last = text.matches('/').count();
    let piece = |(at, piece): (usize, &str)| {
        let how = match at {
            _ if last == 0 => Piece::Within,
            0 => Piece::AtEnd,
            at if at == last => Piece::AtBegin,
            _ => Piece::Whole,
        };
        (how, piece.as_bytes().into())
    };
    let pieces = text.split('/').enumerate();
    pieces
        .filter(|(_, piece)| !piece.is_empty())
        .map(piece)
        .collect()
}

/// Any of several things: records of those who are named, or with these pieces in their path.
#[derive(Debug, Clone)]
struct AnyOf {
    tags: BTreeMap<u8, Vec<u32>>,
    pieces: Vec<(Piece, Box<[u8]>)>,
}

/// What the index has of every record that a query wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    all: Vec<Term>,
    any: Option<AnyOf>,
}

impl Wanted {
    /// Only records with this value.
    pub(in crate::ledger) fn and(&mut self, member: Member, value: &[u8]) {
        self.all.push(Term::new(member, value));
    }

    /// Only records that this search may find.
    pub(in crate::ledger) fn and_search(&mut self, search: &Search) {
        let pieces = pieces(search.text());
        // Nothing but slashes: every path has one.
        self.any = (!pieces.is_empty()).then(|| AnyOf {
            tags: search.tags().clone(),
            pieces,
        });
    }

    /// Whether the index says nothing about it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty() && self.any.is_none()
    }

    /// The rows in which it stands.
    #[must_use]
    pub fn buckets(&self) -> Vec<u8> {
        let mut buckets: BTreeSet<u8> = self.all.iter().map(|term| term.bucket()).collect();
        if let Some(any) = &self.any {
            buckets.extend(any.tags.keys());
            buckets.insert(WORDS);
        }
        buckets.into_iter().collect()
    }

    /// The places in a block of what may be wanted, by the rows of the block.
    #[must_use]
    pub fn places<'a>(&self, row: impl Fn(u8) -> Option<&'a [u8]>) -> Places {
        self.found(row)
    }

    /// The blocks of a chapter that hold what may be wanted, by the rows of the chapter.
    #[must_use]
    pub fn blocks<'a>(&self, row: impl Fn(u8) -> Option<&'a [u8]>) -> Blocks {
        self.found(row)
    }

    fn found<'a, S: Set>(&self, row: impl Fn(u8) -> Option<&'a [u8]>) -> S {
        let mut found = S::ALL;
        for term in &self.all {
            found.keep(&of_tags(row(term.bucket()), &[term.tag()]));
        }
        if let Some(any) = &self.any {
            let mut some: S = of_pieces(row(WORDS), &any.pieces);
            for (bucket, tags) in &any.tags {
                join(&mut some, row(*bucket), tags);
            }
            found.keep(&some);
        }
        found
    }
}

/// Where any of these values stands, which are in order.
fn of_tags<S: Set>(row: Option<&[u8]>, tags: &[u32]) -> S {
    let mut found = S::NONE;
    join(&mut found, row, tags);
    found
}

fn join<S: Set>(found: &mut S, row: Option<&[u8]>, tags: &[u32]) {
    for (tag, own) in entries::<S>(row.unwrap_or_default()) {
        if tags.binary_search(&tag).is_ok() {
            found.add(own);
        }
    }
}

/// Where all of these pieces stand. Without a row anything may stand anywhere.
fn of_pieces<S: Set>(row: Option<&[u8]>, pieces: &[(Piece, Box<[u8]>)]) -> S {
    let mut found = S::ALL;
    let Some(row) = row else {
        return found;
    };
    let has_rest = row.first() == Some(&0);
    for (how, piece) in pieces {
        let mut own = S::NONE;
        // Most rows have nothing of it, and are not taken apart.
        if has_rest || find(row, piece).is_some() {
            for (word, places) in word_entries::<S>(row) {
                if word.is_empty() || how.is_in(word, piece) {
                    own.add(places);
                }
            }
        }
        found.keep(&own);
    }
    found
}
