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
    ledger::{
        batch,
        tree::{
            Frontier, FrontierError, HASH_BYTES, Hash, leaf_hash,
            tile::{TILE_LEVEL_MAX, TILE_WIDTH, Tile, root_of},
        },
    },
};

use crate::{Result, StoreError};

/// How many hashes a full tile has.
#[expect(clippy::as_conversions, reason = "`From` cannot be used in a constant")]
pub(crate) const TILE_HASHES: u64 = TILE_WIDTH as u64;

/// How many bytes a full tile has.
#[expect(clippy::as_conversions, reason = "`From` cannot be used in a constant")]
const TILE_BYTES: usize = TILE_WIDTH as usize * HASH_BYTES;

/// How many tiles of level 0 are made in one commit.
pub(crate) const TILES_AT_ONCE: u64 = 16;

/// How many records are read at most for hashes that are in no tile yet: some hundredths of a second.
const TAIL_RECORDS_MAX: u64 = 65_536;

/// How many records a tree has at least that has this tile. No tile needs more than can be counted.
fn records(tile: Tile) -> u64 {
    let hashes = tile.number().saturating_mul(TILE_HASHES);
    let hashes = hashes.saturating_add(tile.width().into());
    hashes.saturating_mul(1 << (8 * tile.level()))
}

/// Whether a tile can be read, once so many tiles of level 0 are made.
pub(crate) fn is_made(tile: Tile, made: u64) -> bool {
    records(tile) <= made.saturating_mul(TILE_HASHES)
}

/// The last tile of each level, where it is not full: together they have every peak of a tree of
/// so many records. The highest level first.
pub(crate) fn edge(size: u64) -> Vec<Tile> {
    let last = |level: u8| {
        let number = (size >> (8 * level)) / TILE_HASHES;
        Tile::of_tree(level, number, size)
    };
    (0..=TILE_LEVEL_MAX).rev().filter_map(last).collect()
}

/// The tiles above level 0 that have begun and are not full, when so many of level 0 are made.
pub(crate) fn growing(made: u64) -> Vec<Tile> {
    let edge = edge(made.saturating_mul(TILE_HASHES)).into_iter();
    edge.filter(|tile| tile.level() > 0).collect()
}

/// The frontier of a tree of so many records, from its [`edge`].
pub(crate) fn frontier(
    size: u64,
    edge: &[Vec<u8>],
) -> std::result::Result<Frontier, FrontierError> {
    // A node is hashed alike on every level.
    let peaks = edge.iter().flat_map(|tile| {
        let mut tree = Frontier::default();
        hashes(tile).for_each(|hash| tree.append(hash));
        tree.to_bytes()
    });
    Frontier::from_bytes(size, &peaks.collect::<Vec<_>>())
}

/// The hashes that stand one after the other in these bytes.
pub(crate) fn hashes(bytes: &[u8]) -> impl Iterator<Item = Hash> {
    bytes.chunks_exact(HASH_BYTES).filter_map(Hash::from_slice)
}

/// A tile, of the bytes that are kept of it; `None` if they are too few.
pub(crate) fn of_kept(bytes: &[u8], tile: Tile) -> Option<Vec<u8>> {
    bytes.get(..tile.bytes()).map(<[u8]>::to_vec)
}

/// The leaves of a stretch of a trail, while its runs are read in order.
pub(crate) struct Leaves {
    /// The number of the next record.
    next: u64,
    last: u64,
    hashes: Vec<u8>,
}

impl Leaves {
    /// Those of the records from the first number to the last.
    pub(crate) fn between(first: u64, last: u64) -> Self {
        let count = usize::try_from((last + 1).saturating_sub(first)).unwrap_or(0);
        Self {
            next: first,
            last,
            hashes: Vec::with_capacity(count * HASH_BYTES),
        }
    }

    /// Adds the records of a run. Those before and after are left out.
    pub(crate) fn add_run(&mut self, first_seq: u64, lines: &[u8]) {
        for (seq, line) in (first_seq..).zip(batch::records(lines)) {
            if seq == self.next && seq <= self.last {
                self.hashes.extend_from_slice(leaf_hash(line).as_bytes());
                self.next += 1;
            }
        }
    }

    /// All of them, one after the other.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a record is missing.
    pub(crate) fn all(self, org: OrgId) -> Result<Vec<u8>> {
        if self.next > self.last {
            return Ok(self.hashes);
        }
        Err(StoreError::Corrupt {
            what: format!("the audit trail of `{org}`"),
            reason: format!("record {} is missing", self.next),
        })
    }
}

/// Refuses tiles that a tree of so many records does not have, or that take too long.
pub(crate) fn check_wanted(wanted: &[Tile], size: u64, made: u64) -> Result<()> {
    if wanted.iter().any(|tile| records(*tile) > size) {
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
pub(crate) fn tail_end(wanted: &[Tile], made: u64) -> u64 {
    let tail = wanted.iter().filter(|tile| !is_made(**tile, made));
    tail.map(|tile| records(*tile)).max().unwrap_or(0)
}

/// The error for a tile that should be there.
pub(crate) fn missing(org: OrgId, tile: Tile) -> StoreError {
    StoreError::Corrupt {
        what: format!("the tree of `{org}`"),
        reason: format!(
            "tile {} of level {} is missing",
            tile.number(),
            tile.level()
        ),
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
    /// The number of that tile.
    first: u64,
    hashes: Vec<u8>,
}

impl Tail {
    /// From how many tiles of level 0 are made, those that are [`growing`], and all leaves after
    /// them, one after the other.
    pub(crate) fn new(made: u64, growing: Vec<(Tile, Vec<u8>)>, leaves: Vec<u8>) -> Self {
        let mut growing = growing;
        let mut levels = vec![Level {
            first: made,
            hashes: leaves,
        }];
        for level in 1..=TILE_LEVEL_MAX {
            let Some(below) = levels.last() else { break };
            let full = below.hashes.chunks_exact(TILE_BYTES);
            if full.len() == 0 {
                break;
            }
            let begun = growing.iter_mut().find(|(tile, _)| tile.level() == level);
            let begun = begun.map(|(_, begun)| std::mem::take(begun));
            let mut hashes = begun.unwrap_or_default();
            for root in full.filter_map(root_of) {
                hashes.extend_from_slice(root.as_bytes());
            }
            let first = below.first / TILE_HASHES;
            levels.push(Level { first, hashes });
        }
        Self { levels }
    }

    /// A tile that is not made; `None` if it is made, or lies beyond.
    pub(crate) fn tile(&self, tile: Tile) -> Option<&[u8]> {
        let level = self.levels.get(usize::from(tile.level()))?;
        let before = tile.number().checked_sub(level.first)?;
        let begin = usize::try_from(before).ok()?.checked_mul(TILE_BYTES)?;
        level.hashes.get(begin..)?.get(..tile.bytes())
    }

    /// What is to be kept: the full tiles of level 0, and every tile above that has grown.
    pub(crate) fn rows(&self) -> Vec<TileRow> {
        let rows = (0_u8..).zip(&self.levels).flat_map(|(level, tiles)| {
            let tiles = (tiles.first..).zip(tiles.hashes.chunks(TILE_BYTES));
            let kept = tiles.filter(move |(_, hashes)| level > 0 || hashes.len() == TILE_BYTES);
            kept.map(move |(number, hashes)| TileRow {
                level,
                number,
                hashes: hashes.to_vec(),
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use claviger_core::ledger::tree::{
        Frontier, Hash, leaf_hash,
        tile::{Tile, root_of, tiles_of_tree},
    };

    use super::{
        TAIL_RECORDS_MAX, TILE_HASHES, Tail, check_wanted, edge, frontier, growing, is_made,
        of_kept, records,
    };
    use crate::StoreError;

    fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
        range.map(|at| leaf_hash(&at.to_be_bytes())).collect()
    }

    fn bytes(hashes: &[Hash]) -> Vec<u8> {
        let bytes = hashes.iter().flat_map(|hash| hash.as_bytes());
        bytes.copied().collect()
    }

    fn tile(level: u8, number: u64, size: u64) -> Tile {
        Tile::of_tree(level, number, size).expect("a tile")
    }

    /// What is kept, and how many tiles of level 0 are made.
    #[derive(Default)]
    struct Kept {
        rows: BTreeMap<(u8, u64), Vec<u8>>,
        made: u64,
    }

    impl Kept {
        fn read(&self, tile: Tile) -> Vec<u8> {
            let row = self.rows.get(&(tile.level(), tile.number()));
            of_kept(row.expect("a row"), tile).expect("as many hashes")
        }

        fn tail(&self, size: u64) -> Tail {
            let begun = growing(self.made).into_iter();
            let begun = begun.map(|tile| (tile, self.read(tile))).collect();
            let leaves = leaves(self.made * TILE_HASHES..size);
            Tail::new(self.made, begun, bytes(&leaves))
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
    }

    #[test]
    fn edge_of_every_size_gives_its_frontier_however_much_is_made() {
        let mut plain = Frontier::default();
        let mut kept = Kept::default();
        let sizes = [
            0, 1, 255, 256, 257, 4095, 4096, 65_535, 65_536, 65_792, 131_072, 140_001,
        ];
        for size in sizes {
            for leaf in leaves(plain.size()..size) {
                plain.append(leaf);
            }
            // As many as have come, some behind, and in lots of different sizes.
            while kept.made + 3 <= size / TILE_HASHES {
                kept.grow((size / TILE_HASHES - kept.made).min(16));
            }
            let tail = kept.tail(size);
            let read = |tile: Tile| {
                if is_made(tile, kept.made) {
                    return kept.read(tile);
                }
                tail.tile(tile).expect("in the tail").to_vec()
            };
            let tiles: Vec<_> = edge(size).into_iter().map(read).collect();
            assert_eq!(frontier(size, &tiles).expect("a frontier"), plain, "{size}");
        }
    }

    #[test]
    fn hash_of_a_tile_is_the_root_over_the_full_tile_below() {
        let mut kept = Kept::default();
        kept.grow(250);
        kept.grow(20);
        let size = 270 * TILE_HASHES;
        for upper in tiles_of_tree(size).filter(|tile| tile.level() > 0) {
            let first = upper.number() * TILE_HASHES;
            let roots = (first..first + u64::from(upper.width())).map(|number| {
                let below = kept.read(tile(upper.level() - 1, number, size));
                root_of(&below).expect("it is full")
            });
            assert_eq!(
                kept.read(upper),
                bytes(&roots.collect::<Vec<_>>()),
                "{upper:?}"
            );
        }
        let last = kept.read(tile(0, 269, size));
        assert_eq!(last, bytes(&leaves(size - TILE_HASHES..size)));
    }

    #[test]
    fn tile_is_made_with_all_its_records() {
        assert_eq!(records(tile(0, 0, 1)), 1);
        assert_eq!(records(tile(1, 1, 258 * 256 + 255)), 258 * 256);
        assert_eq!(records(tile(7, 0, u64::MAX)), 255 << 56);
        assert!(is_made(tile(1, 0, 3 * 256), 3) && !is_made(tile(1, 0, 4 * 256), 3));
        assert!(!is_made(tile(0, 3, 3 * 256 + 1), 3));
        assert_eq!(edge(0), []);
        assert_eq!(edge(65_536), [tile(2, 0, 65_536)]);
        let size = 65_536 + 2;
        assert_eq!(edge(size), [tile(2, 0, size), tile(0, 256, size)]);
        let size = (256 + 5) * 256;
        assert_eq!(growing(256 + 5), [tile(2, 0, size), tile(1, 1, size)]);
    }

    #[test]
    fn what_takes_too_long_is_refused_until_it_is_made() {
        let size = TAIL_RECORDS_MAX + TILE_HASHES;
        let wanted = [tile(0, 0, size), tile(0, size / TILE_HASHES - 1, size)];
        let error = check_wanted(&wanted, size, 0).expect_err("too many records");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        check_wanted(&wanted[..1], size, 0).expect("a few records");
        check_wanted(&wanted, size, 1).expect("as many as may be read");
        let error = check_wanted(&wanted, size - 1, 1).expect_err("not in the tree");
        assert!(matches!(error, StoreError::NotFound("tile")), "{error:?}");
    }
}
