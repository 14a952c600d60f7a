//! The tree while leaves are added: of each level the tile that is not full. Full ones are written.

use claviger_core::ledger::tree::{
    Frontier, HASH_BYTES, Hash,
    tile::{Resource, TILE_LEVEL_MAX, TILE_WIDTH, Tile, root_of},
};

use super::folder::Folder;
use crate::error::Failure;

/// A tree of which the tiles go into a folder.
pub(super) struct Levels<'a> {
    folder: &'a Folder<'a>,
    size: u64,
    /// The hashes of the tile that is not full, level by level.
    open: Vec<Vec<u8>>,
}

impl<'a> Levels<'a> {
    /// The tree of the full bundles of a folder that has the tree of `known` records.
    pub(super) fn read(folder: &'a Folder<'a>, known: u64) -> Result<Self, Failure> {
        let size = known - known % u64::from(TILE_WIDTH);
        let open = (0..=TILE_LEVEL_MAX).map(|level| {
            let Some(tile) = open_tile(level, size) else {
                return Ok(Vec::new());
            };
            // Above level 0 the tiles of both trees are the same.
            let name = Resource::Tile(tile).to_string();
            let hashes = folder.read(&name)?;
            let hashes = hashes.filter(|hashes| hashes.len() == tile.bytes());
            hashes.ok_or_else(|| folder.broken(&name, "it is missing, or too short"))
        });
        let open = open.collect::<Result<_, Failure>>()?;
        Ok(Self { folder, size, open })
    }

    /// How many records it has.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and writes the tiles that are full with it.
    pub(super) fn push(&mut self, leaf: Hash) -> Result<(), Failure> {
        self.size += 1;
        let mut hash = leaf;
        for (level, hashes) in (0..=TILE_LEVEL_MAX).zip(&mut self.open) {
            hashes.extend_from_slice(hash.as_bytes());
            if hashes.len() < usize::from(TILE_WIDTH) * HASH_BYTES {
                return Ok(());
            }
            let number = (self.size >> (8 * level)) / u64::from(TILE_WIDTH) - 1;
            let full = Tile::of_tree(level, number, self.size).zip(root_of(hashes));
            let Some((tile, root)) = full else {
                return Ok(());
            };
            let name = Resource::Tile(tile).to_string();
            self.folder.write(&name, hashes)?;
            hashes.clear();
            hash = root;
        }
        Ok(())
    }

    /// Writes the tiles that are not full.
    pub(super) fn write_partial(&self) -> Result<(), Failure> {
        for (level, hashes) in (0..=TILE_LEVEL_MAX).zip(&self.open) {
            if let Some(tile) = open_tile(level, self.size) {
                let name = Resource::Tile(tile).to_string();
                self.folder.write(&name, hashes)?;
            }
        }
        Ok(())
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Result<Hash, Failure> {
        // A node is hashed alike on every level, so each tile has peaks of its own.
        let peaks = self.open.iter().rev().flat_map(|hashes| {
            let mut tile = Frontier::default();
            let hashes = hashes.chunks_exact(HASH_BYTES).filter_map(Hash::from_slice);
            hashes.for_each(|hash| tile.append(hash));
            tile.to_bytes()
        });
        let peaks: Vec<u8> = peaks.collect();
        let frontier = Frontier::from_bytes(self.size, &peaks);
        let frontier = frontier.map_err(|error| Failure::Local(error.to_string()))?;
        Ok(frontier.root())
    }
}

/// The tile of a level that is begun and not full in the tree of so many records.
fn open_tile(level: u8, size: u64) -> Option<Tile> {
    let number = (size >> (8 * level)) / u64::from(TILE_WIDTH);
    Tile::of_tree(level, number, size)
}
