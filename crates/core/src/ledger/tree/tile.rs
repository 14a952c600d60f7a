//! Tiles: how the hashes of a tree and the records are divided into files that never change
//! (C2SP tlog-tiles).
//!
//! A tile of level `l` has up to 256 hashes, each of `256^l` leaves. What stands between the levels is
//! computed from the hashes of the tile. A bundle has the records of a tile of level 0.

use std::fmt;

use super::{HASH_BYTES, Hash, fold};

/// How many hashes a full tile has, and how many records a full bundle (C2SP tlog-tiles).
pub const TILE_WIDTH: u16 = 256;

/// The highest level of which a tile can have a hash: more leaves than 2 to the power of 64 cannot be
/// counted. The specification allows names up to level 63, of which those from 8 on have no tile.
pub const TILE_LEVEL_MAX: u8 = 7;

/// The longest record that a bundle can hold, in bytes: its length stands in two (C2SP tlog-tiles).
pub const RECORD_BYTES_MAX: usize = 0xffff;

/// How many levels of the tree one level of tiles spans.
const TILE_HEIGHT: u8 = 8;

/// A complete tree within a tree: `2^level` leaves, from the leaf `index * 2^level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// How often leaves were paired: 0 for a leaf, at most 63.
    pub level: u8,
    /// How many complete trees of this level stand left of it.
    pub index: u64,
}

impl Subtree {
    /// The leaf with this index.
    #[must_use]
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// The tile that has its hash, or the hashes below it, as wide as in a tree of `size` leaves;
    /// `None` if the subtree is not complete in that tree.
    #[must_use]
    pub fn tile(self, size: u64) -> Option<Tile> {
        let end = self.index.checked_add(1)?;
        if end > size.checked_shr(self.level.into())? {
            return None;
        }
        let level = self.level / TILE_HEIGHT;
        let number = self.index >> (TILE_HEIGHT - self.level % TILE_HEIGHT);
        Tile::of_tree(level, number, size)
    }

    /// Its root, from the bytes of its [tile](Self::tile); `None` if they are too few.
    #[must_use]
    pub fn hash_in(self, tile: &[u8]) -> Option<Hash> {
        let height = self.level % TILE_HEIGHT;
        let width = 1_usize << height;
        let place = self.index % (1 << (TILE_HEIGHT - height));
        let begin = usize::try_from(place).ok()? * width * HASH_BYTES;
        let bytes = tile.get(begin..)?.get(..width * HASH_BYTES)?;
        root_of(bytes)
    }
}

/// The root over hashes that stand one after the other, as many as a power of two; `None` for any
/// other number of bytes. Of a full tile it is the hash that stands for it on the next level.
#[must_use]
pub fn root_of(hashes: &[u8]) -> Option<Hash> {
    let (count, rest) = (hashes.len() / HASH_BYTES, hashes.len() % HASH_BYTES);
    if rest != 0 || !count.is_power_of_two() {
        return None;
    }
    if count == 1 {
        return Hash::from_slice(hashes);
    }
    let (left, right) = hashes.split_at_checked(hashes.len() / 2)?;
    fold([root_of(left)?, root_of(right)?].into_iter())
}

/// A tile of hashes: which, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    number: u64,
    width: u16,
}

impl Tile {
    /// The tile with this number, as wide as in a tree of `size` leaves; `None` if that tree has no
    /// such tile.
    #[must_use]
    pub fn of_tree(level: u8, number: u64, size: u64) -> Option<Self> {
        let hashes = hashes_of_level(level, size)?;
        let before = number.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(before).filter(|width| *width > 0)?;
        let width = u16::try_from(width).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        Some(Self {
            level,
            number,
            width,
        })
    }

    /// Its level: 0 for hashes of leaves, at most 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// How many tiles of its level stand left of it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// How many hashes it has: 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all its hashes, and so never changes.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::from(self.width) * HASH_BYTES
    }

    /// Its hashes, the leftmost first; each is of as many leaves as the level says.
    pub fn subtrees(self) -> impl Iterator<Item = Subtree> {
        let begin = self.number.saturating_mul(u64::from(TILE_WIDTH));
        let level = self.level * TILE_HEIGHT;
        (begin..begin.saturating_add(u64::from(self.width)))
            .map(move |index| Subtree { level, index })
    }

    /// Reads its path, behind `tile/`.
    fn parse(level: &str, rest: &str) -> Option<Self> {
        let level = u8::try_from(plain_number(level)?).ok()?;
        let (number, width) = parse_place(rest)?;
        // In a tree that fits in 64 bits.
        let last = number.checked_mul(u64::from(TILE_WIDTH))?;
        let last = last.checked_add(u64::from(width))?;
        (last <= hashes_of_level(level, u64::MAX)?).then_some(Self {
            level,
            number,
            width,
        })
    }
}

/// How many complete trees a level of tiles has hashes of; `None` for a level without tiles.
fn hashes_of_level(level: u8, size: u64) -> Option<u64> {
    (level <= TILE_LEVEL_MAX).then(|| size >> (level * TILE_HEIGHT))
}

/// Every tile of a tree of `size` leaves, level by level, each level from the left.
pub fn tiles_of_tree(size: u64) -> impl Iterator<Item = Tile> {
    (0..=TILE_LEVEL_MAX)
        .flat_map(move |level| (0..).map_while(move |number| Tile::of_tree(level, number, size)))
}

/// A bundle of records: which, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    number: u64,
    width: u16,
}

impl Bundle {
    /// The bundle with this number, as in a tree of `size` leaves; `None` if there is none.
    #[must_use]
    pub fn of_tree(number: u64, size: u64) -> Option<Self> {
        let Tile { number, width, .. } = Tile::of_tree(0, number, size)?;
        Some(Self { number, width })
    }

    /// How many bundles stand before it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// How many records it has: 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// The index of the first leaf in it. The number of that record is one more.
    #[must_use]
    pub const fn first_leaf(self) -> u64 {
        self.number.saturating_mul(256)
    }
}

/// Adds a record to a bundle: its length in two bytes, big-endian, and its bytes. Gives `None`, and
/// adds nothing, if it is longer than [`RECORD_BYTES_MAX`].
#[must_use]
pub fn push_record(bundle: &mut Vec<u8>, record: &[u8]) -> Option<()> {
    let length = u16::try_from(record.len()).ok()?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(record);
    Some(())
}

/// The records of a bundle in order. The last item is `Err` if the bytes end within a record.
pub fn records(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], BrokenBundle>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = rest.split_first_chunk().and_then(|(length, behind)| {
            behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let (record, behind) = record.map_or((Err(BrokenBundle), &[][..]), |(record, behind)| {
            (Ok(record), behind)
        });
        rest = behind;
        Some(record)
    })
}

/// A bundle that ends within a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bundle ends within a record")]
pub struct BrokenBundle;

/// What stands under a path of a log, behind the prefix of the log (C2SP tlog-tiles).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `checkpoint`
    Checkpoint,
    /// `tile/<L>/<N>` or `tile/<L>/<N>.p/<W>`
    Tile(Tile),
    /// `tile/entries/<N>` or `tile/entries/<N>.p/<W>`
    Entries(Bundle),
}

impl Resource {
    /// Reads a path without the slash before it. `None` for what is not written in the one way that
    /// the specification has for each resource.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        if level != "entries" {
            return Tile::parse(level, rest).map(Self::Tile);
        }
        let tile = Tile::parse("0", rest)?;
        Bundle::of_tree(tile.number, u64::MAX)?;
        let Tile { number, width, .. } = tile;
        Some(Self::Entries(Bundle { number, width }))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Tile(tile) => {
                write!(f, "tile/{}/", tile.level)?;
                print_place(f, tile.number, tile.width)
            }
            Self::Entries(bundle) => {
                f.write_str("tile/entries/")?;
                print_place(f, bundle.number, bundle.width)
            }
        }
    }
}

/// The number in groups of three digits, an `x` before all but the last; and the width, if not full.
fn print_place(f: &mut fmt::Formatter<'_>, number: u64, width: u16) -> fmt::Result {
    let mut divisor = 1_u64;
    while number / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", number / divisor % 1000)?;
        divisor /= 1000;
    }
    write!(f, "{:03}", number % 1000)?;
    if width == TILE_WIDTH {
        Ok(())
    } else {
        write!(f, ".p/{width}")
    }
}

/// Reads what [`print_place`] printed.
fn parse_place(text: &str) -> Option<(u64, u16)> {
    let (number, width) = match text.split_once(".p/") {
        None => (text, TILE_WIDTH),
        Some((number, width)) => {
            let width = u16::try_from(plain_number(width)?).ok()?;
            (number, Some(width).filter(|w| (1..TILE_WIDTH).contains(w))?)
        }
    };
    let (leading, last) = number.rsplit_once('/').unwrap_or(("", number));
    let leading = leading.split('/').filter(|_| !leading.is_empty());
    let groups = leading.map(|group| group.strip_prefix('x'));
    let mut sum = 0_u64;
    for (at, group) in groups.chain([Some(last)]).enumerate() {
        let group = group?;
        let is_three = group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit());
        // A group of zeros at the front would be a second way to write the number.
        if !is_three || (at == 0 && group == "000" && number.len() > 3) {
            return None;
        }
        sum = sum.checked_mul(1000)?.checked_add(group.parse().ok()?)?;
    }
    Some((sum, width))
}

/// A number in decimal as it is printed: no sign, no zero before it.
pub(in crate::ledger) fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (text == "0" || !text.starts_with('0'))).then_some(number)
}

#[cfg(test)]
pub(super) mod tests;
