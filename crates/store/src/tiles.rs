//! The tiles of a tree, and how they grow: the same for every database.
//!
//! A tile has up to 256 hashes of one level (C2SP tlog-tiles). One of level 0 holds leaves; each
//! hash of a higher level is the root over a full tile below it. Full tiles of level 0 are made
//! behind the trail, and with each of them the tiles above it grow. What comes after the last full
//! tile is computed from the records when it is asked for.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, FrontierError, HASH_BYTES, Hash, leaf_hash},
};

use crate::{Result, StoreError};

/// How many hashes a full tile has.
pub const TILE_HASHES: u64 = 256;

/// How many tiles of level 0 are made in one commit.
pub(crate) const TILES_AT_ONCE: u64 = 16;

/// How many records are read at most for hashes that are in no tile yet: some hundredths of a second.
pub(crate) const TAIL_RECORDS_MAX: u64 = 65_536;

/// There are no levels beyond: eight bits of a number that has 64 for each.
const LEVELS: u8 = 8;

/// A tile, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileAt {
    /// 0 for leaves.
    pub level: u8,
    /// Which one of its level, from 0.
    pub number: u64,
    /// How many of its hashes: 1 to 256.
    pub width: u16,
}

impl TileAt {
    /// How many records a tree has at least that has it; `None` if no tree has.
    fn records(self) -> Option<u64> {
        let fits = (1..=TILE_HASHES).contains(&self.width.into()) && self.level < LEVELS;
        let hashes = self.number.checked_mul(TILE_HASHES)?;
        let hashes = hashes.checked_add(self.width.into()).filter(|_| fits)?;
        hashes.checked_mul(1_u64.checked_shl(8 * u32::from(self.level))?)
    }

    /// Whether a tree of so many records has it.
    pub(crate) fn is_within(self, size: u64) -> bool {
        self.records().is_some_and(|needed| needed <= size)
    }

    /// Whether it can be read, once so many tiles of level 0 are made.
    pub(crate) fn is_made(self, made: u64) -> bool {
        self.is_within(made.saturating_mul(TILE_HASHES))
    }
}

/// The last tile of each level, where it is not full: with them, the rest of the levels gives
/// every peak of a tree of so many records. The highest level first.
pub(crate) fn edge(size: u64) -> Vec<TileAt> {
    let at = |level: u8| {
        let hashes = size >> (8 * u32::from(level));
        let width = u16::try_from(hashes % TILE_HASHES).unwrap_or(0);
        let number = hashes / TILE_HASHES;
        (width > 0).then_some(TileAt {
            level,
            number,
            width,
        })
    };
    (0..LEVELS).rev().filter_map(at).collect()
}

/// The tiles above level 0 that have begun and are not full, when so many of level 0 are made.
pub(crate) fn growing(made: u64) -> Vec<TileAt> {
    let made = made.saturating_mul(TILE_HASHES);
    let edge = edge(made).into_iter();
    edge.filter(|tile| tile.level > 0).collect()
}

/// The frontier of a tree of so many records, from the hashes of its [`edge`].
pub(crate) fn frontier(
    size: u64,
    edge: &[Vec<Hash>],
) -> std::result::Result<Frontier, FrontierError> {
    let peaks: Vec<u8> = edge.iter().flat_map(|tile| over(tile).to_bytes()).collect();
    Frontier::from_bytes(size, &peaks)
}

/// The tree over these hashes: a node is hashed alike on every level.
fn over(hashes: &[Hash]) -> Frontier {
    let mut tree = Frontier::default();
    hashes.iter().for_each(|hash| tree.append(*hash));
    tree
}

/// Hashes as they are kept: one after the other.
pub(crate) fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    let bytes = hashes.iter().flat_map(|hash| hash.as_bytes());
    bytes.copied().collect()
}

/// The first hashes of a tile that is kept; `None` if it has fewer.
pub(crate) fn from_bytes(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let wanted = bytes.get(..usize::from(width) * HASH_BYTES)?;
    wanted
        .chunks_exact(HASH_BYTES)
        .map(Hash::from_slice)
        .collect()
}

/// The leaves of a stretch of a trail, while its runs are read in order.
pub(crate) struct Leaves {
    /// The number of the next record.
    next: u64,
    last: u64,
    hashes: Vec<Hash>,
}

impl Leaves {
    /// Those of the records from the first number to the last.
    pub(crate) fn between(first: u64, last: u64) -> Self {
        let count = usize::try_from((last + 1).saturating_sub(first));
        Self {
            next: first,
            last,
            hashes: Vec::with_capacity(count.unwrap_or(0)),
        }
    }

    /// Adds the records of a run. Those before and after are left out.
    pub(crate) fn add_run(&mut self, first_seq: u64, lines: &[u8]) {
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        for (seq, line) in (first_seq..).zip(lines.split(|byte| *byte == b'\n')) {
            if seq == self.next && seq <= self.last {
                self.hashes.push(leaf_hash(line));
                self.next += 1;
            }
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a record is missing.
    pub(crate) fn all(self, org: OrgId) -> Result<Vec<Hash>> {
        if self.next > self.last {
            return Ok(self.hashes);
        }
        Err(StoreError::Corrupt {
            what: format!("the audit trail of `{org}`"),
            reason: format!("record {} is missing", self.next),
        })
    }
}

/// Refuses hashes that a tree of so many records does not have, or that take too long.
pub(crate) fn check_wanted(wanted: &[TileAt], size: u64, made: u64) -> Result<()> {
    if !wanted.iter().all(|tile| tile.is_within(size)) {
        return Err(StoreError::NotFound("tile"));
    }
    let tail = tail_end(wanted, made).saturating_sub(made * TILE_HASHES);
    if tail > TAIL_RECORDS_MAX {
        return Err(StoreError::Unavailable {
            doing: "read the tree of an audit trail",
            source: "its tiles are still being made".into(),
        });
    }
    Ok(())
}

/// Up to which record the tail has to be read for these tiles.
pub(crate) fn tail_end(wanted: &[TileAt], made: u64) -> u64 {
    let tail = wanted.iter().filter(|tile| !tile.is_made(made));
    tail.filter_map(|tile| tile.records()).max().unwrap_or(0)
}

/// The error for a tile that should be there.
pub(crate) fn missing(org: OrgId, tile: TileAt) -> StoreError {
    StoreError::Corrupt {
        what: format!("the tree of `{org}`"),
        reason: format!("tile {} of level {} is missing", tile.number, tile.level),
    }
}

/// The error for a tile that is there, though it has not been made.
pub(crate) fn made_twice(org: OrgId) -> StoreError {
    StoreError::Corrupt {
        what: format!("the tree of `{org}`"),
        reason: "a tile is there that has yet to be made".to_owned(),
    }
}

/// The trails whose tiles cannot be made, because records are missing: one of them must not keep the
/// others from theirs. They are tried again after the next start.
#[derive(Default)]
pub(crate) struct Stuck(Mutex<BTreeSet<OrgId>>);

impl Stuck {
    /// How many trails to look at, to see one that is not among these.
    pub(crate) fn look_at(&self) -> i64 {
        let stuck = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        i64::try_from(stuck.len()).unwrap_or(i64::MAX - 1) + 1
    }

    /// Whether a trail is not among these.
    pub(crate) fn is_free(&self, org: OrgId) -> bool {
        let stuck = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !stuck.contains(&org)
    }

    /// Remembers a trail for which this came out, if it was that it is corrupt.
    pub(crate) fn note<T>(&self, org: OrgId, outcome: Result<T>) -> Result<T> {
        if let Err(StoreError::Corrupt { .. }) = &outcome {
            let mut stuck = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            stuck.insert(org);
        }
        outcome
    }
}

/// Tells how far the tree of a long trail is that was written before there were trees.
pub(crate) struct Progress {
    org: OrgId,
    size: u64,
    told: u64,
}

/// After how many records more it is told again.
const TELL_EVERY: u64 = 250_000;

impl Progress {
    pub(crate) fn of(org: OrgId, size: u64) -> Self {
        Self { org, size, told: 0 }
    }

    /// The tree has so many records now.
    pub(crate) fn tell(&mut self, done: u64) {
        if done >= self.told + TELL_EVERY {
            self.told = done;
            let (org, of) = (self.org, self.size);
            tracing::info!(%org, done, of, "making the tree of an audit trail that was there before");
        }
    }
}

/// A tile as it is to be kept.
pub(crate) struct TileRow {
    pub(crate) level: u8,
    pub(crate) number: u64,
    pub(crate) hashes: Vec<u8>,
}

/// What comes after the tiles that are made: of each level the hashes from the first tile on that
/// is not full.
pub(crate) struct Tail {
    levels: Vec<Level>,
}

struct Level {
    first: u64,
    hashes: Vec<Hash>,
}

impl Tail {
    /// From how many tiles of level 0 are made, the hashes of those that are [`growing`], and all
    /// leaves after them.
    pub(crate) fn new(made: u64, growing: Vec<(TileAt, Vec<Hash>)>, leaves: Vec<Hash>) -> Self {
        let mut levels = vec![Level {
            first: made,
            hashes: leaves,
        }];
        for level in 1..LEVELS {
            let Some(below) = levels.last() else { break };
            let full = usize::try_from(TILE_HASHES).unwrap_or(usize::MAX);
            let roots = below
                .hashes
                .chunks_exact(full)
                .map(|tile| over(tile).root());
            let roots: Vec<Hash> = roots.collect();
            if roots.is_empty() {
                break;
            }
            let begun = growing.iter().find(|(tile, _)| tile.level == level);
            let mut hashes = begun.map(|(_, begun)| begun.clone()).unwrap_or_default();
            hashes.extend(roots);
            let first = below.first / TILE_HASHES;
            levels.push(Level { first, hashes });
        }
        Self { levels }
    }

    /// The hashes of a tile that is not made; `None` if it is made, or lies beyond.
    pub(crate) fn tile(&self, tile: TileAt) -> Option<&[Hash]> {
        let level = self.levels.get(usize::from(tile.level))?;
        let begin = tile.number.checked_sub(level.first)? * TILE_HASHES;
        let begin = usize::try_from(begin).ok()?;
        level.hashes.get(begin..begin + usize::from(tile.width))
    }

    /// What is to be kept: the full tiles of level 0, and every tile above that has grown.
    pub(crate) fn rows(&self) -> Vec<TileRow> {
        let full = usize::try_from(TILE_HASHES).unwrap_or(usize::MAX);
        let rows = (0_u8..).zip(&self.levels).flat_map(|(level, tiles)| {
            let tiles = (tiles.first..).zip(tiles.hashes.chunks(full));
            let kept = tiles.filter(move |(_, hashes)| level > 0 || hashes.len() == full);
            kept.map(move |(number, hashes)| TileRow {
                level,
                number,
                hashes: to_bytes(hashes),
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use claviger_core::ledger::tree::{Frontier, Hash, leaf_hash};

    use super::{TILE_HASHES, Tail, TileAt, edge, from_bytes, frontier, growing, over};

    fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(|at| leaf_hash(&at.to_be_bytes())).collect()
    }

    /// What is kept, and how many tiles of level 0 are made.
    #[derive(Default)]
    struct Kept {
        rows: BTreeMap<(u8, u64), Vec<u8>>,
        made: u64,
    }

    impl Kept {
        fn read(&self, tile: TileAt) -> Vec<Hash> {
            let row = self.rows.get(&(tile.level, tile.number)).expect("a row");
            from_bytes(row, tile.width).expect("as many hashes")
        }

        fn tail(&self, size: u64) -> Tail {
            let begun = growing(self.made).into_iter();
            let begun = begun.map(|tile| (tile, self.read(tile))).collect();
            Tail::new(self.made, begun, leaves(self.made * TILE_HASHES..size))
        }

        fn grow(&mut self, tiles: u64) {
            let rows = self.tail((self.made + tiles) * TILE_HASHES).rows();
            for row in rows {
                let before = self.rows.insert((row.level, row.number), row.hashes);
                let after = &self.rows[&(row.level, row.number)];
                assert!(row.level > 0 || before.is_none(), "made once");
                assert!(before.is_none_or(|before| after.starts_with(&before)));
            }
            self.made += tiles;
        }

        fn tile(&self, tile: TileAt, size: u64) -> Vec<Hash> {
            if tile.is_made(self.made) {
                return self.read(tile);
            }
            let tail = self.tail(size);
            tail.tile(tile).expect("in the tail").to_vec()
        }
    }

    #[test]
    fn edge_of_every_size_gives_its_frontier_however_much_is_made() {
        let mut plain = Frontier::default();
        let mut kept = Kept::default();
        let sizes = [
            1, 255, 256, 257, 4095, 4096, 65_535, 65_536, 65_792, 131_072, 140_001,
        ];
        for size in sizes {
            for leaf in leaves(plain.size()..size) {
                plain.append(leaf);
            }
            // As many as have come, some behind, and in lots of different sizes.
            while kept.made + 3 <= size / TILE_HASHES {
                kept.grow((size / TILE_HASHES - kept.made).min(16));
            }
            let tiles = edge(size).into_iter();
            let tiles: Vec<_> = tiles.map(|tile| kept.tile(tile, size)).collect();
            assert_eq!(frontier(size, &tiles).expect("a frontier"), plain, "{size}");
        }
    }

    #[test]
    fn hash_of_a_tile_is_the_root_over_the_full_tile_below() {
        let mut kept = Kept::default();
        kept.grow(250);
        kept.grow(20);
        let at = |level, number, width| TileAt {
            level,
            number,
            width,
        };
        let first = kept.read(at(1, 0, 256));
        assert_eq!(first[7], over(&kept.read(at(0, 7, 256))).root());
        assert_eq!(kept.read(at(2, 0, 1)), [over(&first).root()]);
        assert_eq!(kept.read(at(0, 269, 3)), leaves(269 * 256..269 * 256 + 3));
        assert_eq!(kept.read(at(1, 1, 14)).len(), 14);
    }

    #[test]
    fn tile_is_within_a_tree_that_has_all_its_records() {
        let tile = |level, number, width| TileAt {
            level,
            number,
            width,
        };
        assert!(tile(0, 0, 1).is_within(1) && !tile(0, 0, 2).is_within(1));
        assert!(tile(1, 0, 1).is_within(256) && !tile(1, 0, 1).is_within(255));
        assert!(tile(1, 1, 2).is_within(258 * 256) && !tile(1, 1, 2).is_within(258 * 256 - 1));
        for none in [
            tile(0, 0, 0),
            tile(0, 0, 257),
            tile(8, 0, 1),
            tile(0, u64::MAX, 1),
            tile(7, 1, 1),
        ] {
            assert!(!none.is_within(u64::MAX), "{none:?}");
        }
        assert!(tile(1, 0, 3).is_made(3) && !tile(0, 3, 1).is_made(3));
        assert_eq!(edge(0), []);
        assert_eq!(edge(65_536 + 2), [tile(2, 0, 1), tile(0, 256, 2)]);
        assert_eq!(growing(256 + 5), [tile(2, 0, 1), tile(1, 1, 5)]);
    }
}
