//! The tree of the records as they stand, and the rows that are kept of it.

use std::{cell::RefCell, collections::BTreeSet};

use claviger_core::ledger::{
    columns::Difference,
    tree::{
        Frontier, HASH_BYTES, Hash,
        tile::{TILE_LEVEL_MAX, TILE_WIDTH, root_of},
    },
};

use super::walk::{Context, Stop};
use crate::failure::Failure;

/// How many hashes a full tile has.
const WIDTH: u64 = 256;
/// How many bytes.
const TILE_BYTES: usize = 256 * HASH_BYTES;

/// The rows of level 0, as the verifier asks for them.
pub(super) struct Tiles<'a> {
    context: &'a Context<'a>,
    /// How many are made.
    made: u64,
    /// The first thing that went wrong: the verifier only knows that hashes are missing.
    pub(super) trouble: RefCell<Option<Failure>>,
    /// What is wrong with rows: each is named once.
    pub(super) differences: RefCell<Vec<Difference>>,
    named: RefCell<BTreeSet<u64>>,
}

impl<'a> Tiles<'a> {
    pub(super) fn new(context: &'a Context<'a>, made: u64) -> Self {
        Self {
            context,
            made,
            trouble: RefCell::default(),
            differences: RefCell::default(),
            named: RefCell::default(),
        }
    }

    /// A tile of level 0 or 1, if it is made.
    pub(super) fn read(&self, level: u8, number: u64) -> Option<Vec<u8>> {
        if level == 0 && number >= self.made {
            return None;
        }
        let row = self.row(level, number)?;
        if level > 0 || row.as_ref().is_some_and(|row| row.len() == TILE_BYTES) {
            return row;
        }
        if self.named.borrow_mut().insert(number) {
            let (first, last) = (number * WIDTH + 1, (number + 1) * WIDTH);
            let (column, what) = match row {
                None => (
                    "audit_tiles.number",
                    format!("no row has the hashes of the records up to {last}"),
                ),
                Some(_) => (
                    "audit_tiles.hashes",
                    format!("the row with the hashes of the records up to {last} has not 256"),
                ),
            };
            let difference = Difference::new(column, first, what);
            self.differences.borrow_mut().push(difference);
        }
        None
    }

    fn row(&self, level: u8, number: u64) -> Option<Option<Vec<u8>>> {
        let store = &self.context.app.store;
        let row = store.tile_row(self.context.org, (level, number));
        match self.context.handle.block_on(row) {
            Ok(row) => Some(row),
            Err(error) => {
                self.trouble.borrow_mut().get_or_insert(error.into());
                None
            }
        }
    }
}

/// The tile of a level that is not full, of the records as they stand.
#[derive(Default)]
struct Open {
    number: u64,
    hashes: Vec<u8>,
    /// The same of the rows below.
    kept: Vec<u8>,
}

/// The tree of the records as they stand.
pub(super) struct Tree<'a> {
    tiles: &'a Tiles<'a>,
    /// The leaves behind the last full tile of level 0.
    last: Frontier,
    /// The roots of the full ones.
    full: Frontier,
    /// Level 1 and above.
    open: Vec<Open>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(tiles: &'a Tiles<'a>) -> Self {
        Self {
            tiles,
            last: Frontier::default(),
            full: Frontier::default(),
            open: (0..TILE_LEVEL_MAX).map(|_| Open::default()).collect(),
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.full.size() * WIDTH + self.last.size()
    }

    /// The peaks, as they are kept.
    pub(super) fn peaks(&self) -> Vec<u8> {
        // A node is hashed alike on every level.
        [self.full.to_bytes(), self.last.to_bytes()].concat()
    }

    /// Adds a leaf. With a full tile the rows above it are looked at, once they are full.
    pub(super) fn push(&mut self, leaf: Hash) -> Result<(), Stop> {
        self.last.append(leaf);
        if self.last.size() < u64::from(TILE_WIDTH) {
            return Ok(());
        }
        let (number, root) = (self.full.size(), self.last.root());
        self.full.append(root);
        self.last.clear();
        if number >= self.tiles.made {
            return Ok(());
        }
        let kept = self.tiles.read(0, number).and_then(|row| root_of(&row));
        self.climb(1, root, kept.unwrap_or(root))
    }

    /// Adds a hash to a level: of the records, and of the row below.
    fn climb(&mut self, level: u8, own: Hash, kept: Hash) -> Result<(), Stop> {
        let Some(open) = self.open.get_mut(usize::from(level) - 1) else {
            return Ok(());
        };
        open.hashes.extend_from_slice(own.as_bytes());
        open.kept.extend_from_slice(kept.as_bytes());
        if open.hashes.len() < TILE_BYTES {
            return Ok(());
        }
        let full = std::mem::take(open);
        open.number = full.number + 1;
        let row = self.compare(level, &full)?;
        let (own, kept) = (root_of(&full.hashes), row.as_deref().and_then(root_of));
        match own {
            Some(own) => self.climb(level + 1, own, kept.unwrap_or(own)),
            None => Ok(()),
        }
    }

    /// Holds a row against what is below it; gives the row.
    fn compare(&self, level: u8, open: &Open) -> Result<Option<Vec<u8>>, Stop> {
        let context = self.tiles.context;
        let row = context.ask(
            context
                .app
                .store
                .tile_row(context.org, (level, open.number)),
        )?;
        let count = open.hashes.len() / HASH_BYTES;
        let bytes = row.as_deref().unwrap_or_default();
        let has = |at: usize| {
            let of = |hashes: &'_ [u8]| hashes.chunks_exact(HASH_BYTES).nth(at).map(<[u8]>::to_vec);
            let own = of(bytes);
            own.is_some() && (own == of(&open.hashes) || own == of(&open.kept))
        };
        let Some(at) = (0..count).find(|at| !has(*at)) else {
            return Ok(row);
        };
        let (column, what) = match &row {
            None => ("audit_tiles.number", "a row of the tree is missing"),
            Some(_) => (
                "audit_tiles.hashes",
                "a hash of the tree is not that of the records below it",
            ),
        };
        let at = u64::try_from(at).unwrap_or(0);
        let seq = first_below(level, open.number * WIDTH + at);
        let what = format!("{what} (level {level})");
        context.found(Difference::new(column, seq, what).into())?;
        Ok(row)
    }

    /// The rows that are not full, and those that should not be there.
    pub(super) fn finish(&self) -> Result<(), Stop> {
        let context = self.tiles.context;
        let mut beyond = Vec::new();
        let stray = context.ask(
            context
                .app
                .store
                .next_tile(context.org, (0, self.tiles.made)),
        )?;
        beyond.extend(stray.map(|number| (0, number, 0)));
        for (level, open) in (1..).zip(&self.open) {
            let row = self.compare(level, open)?.unwrap_or_default();
            if row.len() > open.hashes.len() {
                let has = u64::try_from(row.len() / HASH_BYTES).unwrap_or(u64::MAX);
                beyond.push((level, open.number, has));
            }
            let next = open.number + u64::from(!open.hashes.is_empty());
            let stray = context.ask(context.app.store.next_tile(context.org, (level, next)))?;
            beyond.extend(stray.map(|number| (level, number, 1)));
        }
        if beyond.is_empty() {
            return Ok(());
        }
        // More may have been made meanwhile: then the head says so.
        let now = context.ask(context.app.store.ledger_row(context.org))?;
        for (level, number, has) in beyond {
            let found = match level {
                0 if number >= now.tiles => Difference::new(
                    "audit_tile_heads.tiles",
                    first_below(0, number * WIDTH),
                    format!("it says {} tiles, and there are more", now.tiles),
                ),
                1.. if number * WIDTH + has > now.tiles >> (8 * (level - 1)) => Difference::new(
                    "audit_tiles.hashes",
                    first_below(level, number * WIDTH),
                    format!(
                        "a row of the tree has more hashes than records below it (level {level})"
                    ),
                ),
                _ => continue,
            };
            context.found(found.into())?;
        }
        Ok(())
    }
}

/// The number of the first record below a hash of a level.
const fn first_below(level: u8, hash: u64) -> u64 {
    (hash << (8 * level)) + 1
}
