//! The tree while leaves are added: of each level the tile that is not full. Full ones are written.

use claviger_core::ledger::{
    checkpoint::Checkpoint,
    tree::{
        Frontier, HASH_BYTES, Hash, leaf_hash,
        tile::{Bundle, Resource, TILE_LEVEL_MAX, TILE_WIDTH, Tile, records, root_of},
    },
};

use super::folder::Folder;
use crate::error::Failure;

/// What becomes of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// They go into the folder.
    Write,
    /// They are compared with those in the folder.
    Compare,
}

/// A tree of which the tiles go into a folder.
pub(super) struct Levels<'a> {
    folder: &'a Folder<'a>,
    purpose: Use,
    size: u64,
    /// The hashes of the tile that is not full, level by level.
    open: Vec<Vec<u8>>,
}

impl<'a> Levels<'a> {
    /// The tree of the full bundles of a folder, of which this is the checkpoint. What is read has the root
    /// that was signed: else whatever is built upon it would look as if the server were wrong.
    pub(super) fn read(
        folder: &'a Folder<'a>,
        before: Option<&Checkpoint>,
    ) -> Result<Self, Failure> {
        let size = before.map_or(0, Checkpoint::size);
        let open = (0..=TILE_LEVEL_MAX).map(|level| {
            let Some(tile) = open_tile(level, size) else {
                return Ok(Vec::new());
            };
            let name = Resource::Tile(tile).to_string();
            let hashes = folder.read(&name)?;
            let hashes = hashes.filter(|hashes| hashes.len() == tile.bytes());
            hashes.ok_or_else(|| folder.broken(&name, "it is missing, or has another length"))
        });
        let open = open.collect::<Result<_, Failure>>()?;
        let mut levels = Self {
            folder,
            purpose: Use::Write,
            size,
            open,
        };
        if let Some(before) = before
            && levels.root()? != before.root()
        {
            return Err(wrong_file(folder, before));
        }
        // Above level 0 the tiles of both trees are the same.
        levels.size -= size % u64::from(TILE_WIDTH);
        if let Some(leaves) = levels.open.first_mut() {
            leaves.clear();
        }
        Ok(levels)
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
            keep(self.folder, self.purpose, tile, hashes)?;
            hashes.clear();
            hash = root;
        }
        Ok(())
    }

    /// Writes the tiles that are not full.
    pub(super) fn write_partial(&self) -> Result<(), Failure> {
        for (level, hashes) in (0..=TILE_LEVEL_MAX).zip(&self.open) {
            if let Some(tile) = open_tile(level, self.size) {
                keep(self.folder, self.purpose, tile, hashes)?;
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

fn keep(folder: &Folder<'_>, purpose: Use, tile: Tile, hashes: &[u8]) -> Result<(), Failure> {
    let name = Resource::Tile(tile).to_string();
    match purpose {
        Use::Write => folder.write(&name, hashes),
        Use::Compare if folder.read(&name)?.is_some_and(|own| own == hashes) => Ok(()),
        Use::Compare => Err(folder.broken(&name, "it does not have the hashes of the records")),
    }
}

/// Why the tiles of a folder do not have the root of its checkpoint: the first file that is not what the
/// records make.
fn wrong_file(folder: &Folder<'_>, before: &Checkpoint) -> Failure {
    compare(folder, before).err().unwrap_or_else(|| {
        Failure::Local(format!(
            "the records in {folder} are not those that were signed: claviger audit verify names them; \
             export into another folder"
        ))
    })
}

fn compare(folder: &Folder<'_>, before: &Checkpoint) -> Result<(), Failure> {
    let mut levels = Levels {
        folder,
        purpose: Use::Compare,
        size: 0,
        open: (0..=TILE_LEVEL_MAX).map(|_| Vec::new()).collect(),
    };
    for number in 0..before.size().div_ceil(TILE_WIDTH.into()) {
        let Some(bundle) = Bundle::of_tree(number, before.size()) else {
            continue;
        };
        let name = Resource::Entries(bundle).to_string();
        let bytes = folder.read(&name)?.unwrap_or_default();
        let mut count = 0;
        for record in records(&bytes) {
            let record = record.map_err(|error| folder.broken(&name, &error.to_string()))?;
            levels.push(leaf_hash(record))?;
            count += 1;
        }
        if count != bundle.width() {
            return Err(folder.broken(&name, "it has another number of records"));
        }
    }
    levels.write_partial()
}

/// The tile of a level that is begun and not full in the tree of so many records.
fn open_tile(level: u8, size: u64) -> Option<Tile> {
    let number = (size >> (8 * level)) / u64::from(TILE_WIDTH);
    Tile::of_tree(level, number, size)
}
