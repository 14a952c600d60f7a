//! The hashes of an export, from its tiles.

use super::Claims;
use crate::ledger::tree::{HASH_BYTES, Hash, tile::TILE_WIDTH};

/// Hashes from tiles, which a function reads: level and number to bytes, as many hashes as there are;
/// `None` if there is no such tile. One tile of each level is kept.
#[derive(Debug)]
pub struct TileClaims<R> {
    read: R,
    leaves: Last,
    blocks: Last,
}

/// The tile that was read last.
#[derive(Debug, Default)]
struct Last {
    number: Option<u64>,
    bytes: Vec<u8>,
}

impl<R: FnMut(u8, u64) -> Option<Vec<u8>>> TileClaims<R> {
    /// Hashes from the tiles that `read` gives.
    pub fn new(read: R) -> Self {
        let (leaves, blocks) = (Last::default(), Last::default());
        Self {
            read,
            leaves,
            blocks,
        }
    }
}

impl Last {
    fn hash(&mut self, index: u64, read: impl FnOnce(u64) -> Option<Vec<u8>>) -> Option<Hash> {
        let width = u64::from(TILE_WIDTH);
        let number = index / width;
        if self.number != Some(number) {
            self.bytes = read(number).unwrap_or_default();
            self.number = Some(number);
        }
        let begin = usize::try_from(index % width).ok()? * HASH_BYTES;
        Hash::from_slice(self.bytes.get(begin..)?.get(..HASH_BYTES)?)
    }
}

impl<R: FnMut(u8, u64) -> Option<Vec<u8>>> Claims for TileClaims<R> {
    fn leaf(&mut self, index: u64) -> Option<Hash> {
        self.leaves.hash(index, |number| (self.read)(0, number))
    }

    fn block(&mut self, number: u64) -> Option<Hash> {
        self.blocks.hash(number, |number| (self.read)(1, number))
    }
}
