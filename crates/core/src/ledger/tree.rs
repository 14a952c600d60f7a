//! The Merkle tree of a trail (RFC 6962, 2.1): its hashes, and the few of them that appending needs.
//!
//! The leaves are the exact bytes of the records, without line breaks, in the order of their
//! numbers: the record with the number `n` is the leaf with the index `n - 1`.

use std::fmt;

use sha2::{Digest as _, Sha256};

pub mod proof;
pub mod tile;

/// How many bytes a hash has.
pub const HASH_BYTES: usize = 32;

/// What is hashed before a record, so that no record can pass for a node (RFC 6962, 2.1).
const LEAF_PREFIX: [u8; 1] = [0];
/// What is hashed before the two hashes below a node.
const NODE_PREFIX: [u8; 1] = [1];

/// A hash of the tree: SHA-256, 32 bytes (FIPS 180-4). It is no secret, and prints in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The hash with these bytes; `None` unless there are 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The SHA-256 of some bytes, which are neither a leaf nor a node.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of a leaf: of one record, without its line break (RFC 6962, 2.1).
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Hash {
    let hasher = Sha256::new().chain_update(LEAF_PREFIX);
    Hash(hasher.chain_update(record).finalize().into())
}

/// The hash of a node, from those of the trees below it (RFC 6962, 2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hasher = Sha256::new().chain_update(NODE_PREFIX);
    let hasher = hasher.chain_update(left.0).chain_update(right.0);
    Hash(hasher.finalize().into())
}

/// The root of the tree without leaves: the SHA-256 of nothing (RFC 6962, 2.1).
#[must_use]
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The root over trees that stand side by side, the leftmost first, each larger than all that stand
/// right of it; `None` for no tree.
pub(in crate::ledger) fn fold(peaks: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    peaks.rev().reduce(|right, left| node_hash(&left, &right))
}

/// Bytes that are not the hashes of a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} records has {expected} bytes of hashes at its edge, not {got}")]
pub struct FrontierError {
    /// How many leaves the tree has.
    pub size: u64,
    /// How many bytes it needs.
    pub expected: usize,
    /// How many bytes there were.
    pub got: usize,
}

/// The right edge of a tree: the roots of the complete trees of which it consists, one for each bit
/// that is set in its size. That is enough to append leaves, and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The largest tree first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are: the number of the last record.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete trees, the largest first: as many as there are bits set in the size.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf: one hash on average, and at most 64.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Two trees of one size are one of the next: as in a binary counter, a one for each that is full.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else {
                break;
            };
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size = self.size.wrapping_add(1);
    }

    /// Forgets the leaves, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.size = 0;
        self.peaks.clear();
    }

    /// The root of the tree (RFC 6962, 2.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(self.peaks.iter().copied()).unwrap_or_else(empty_root)
    }

    /// The hashes as they are kept: one after the other, that of the largest tree first. The size is
    /// not among them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|peak| peak.0).collect()
    }

    /// Reads what [`Self::to_bytes`] wrote for a tree of this size.
    ///
    /// # Errors
    /// If there are not 32 bytes for each bit that is set in the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, FrontierError> {
        let count = usize::try_from(size.count_ones()).unwrap_or(usize::MAX);
        let expected = count.saturating_mul(HASH_BYTES);
        if bytes.len() != expected {
            let got = bytes.len();
            return Err(FrontierError {
                size,
                expected,
                got,
            });
        }
        let hashes = bytes.chunks_exact(HASH_BYTES);
        let peaks = hashes.filter_map(Hash::from_slice).collect();
        Ok(Self { size, peaks })
    }
}

#[cfg(test)]
mod tests;
