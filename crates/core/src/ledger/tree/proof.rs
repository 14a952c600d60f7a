//! Proofs: that a record is in a tree, and that a tree is the beginning of another (RFC 6962, 2.1.1
//! and 2.1.2; verified as RFC 9162, 2.1.3.2 and 2.1.4.2 ask).
//!
//! A proof is planned first: that takes no hash, and says which tiles will be read. Then it is made
//! from them. So whoever has to wait for tiles can fetch them all at once.

use std::collections::BTreeMap;

use super::{
    Hash, empty_root, fold, node_hash,
    tile::{Subtree, Tile},
};

/// Consecutive leaves, from the first to before the second.
type Range = (u64, u64);

/// On which side of what is proved a hash stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Why there is no such proof, or why it does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in the tree.
    #[error("there is no leaf {index} in a tree of {size}")]
    BeyondTree {
        /// Its index: 0 for the first.
        index: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// The tree that should come first is the larger one.
    #[error("a tree of {old} leaves is not the beginning of one of {new}")]
    Reversed {
        /// The size of the tree that should come first.
        old: u64,
        /// The size of the other.
        new: u64,
    },
    /// A proof for these sizes has another number of hashes.
    #[error("the proof has {got} hashes, not {expected}")]
    Length {
        /// How many it must have.
        expected: usize,
        /// How many it has.
        got: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof leads to another root")]
    Root,
    /// A hash that the proof needs is not at hand.
    #[error("the hash of the tree {} of level {} is missing", .0.index, .0.level)]
    Missing(Subtree),
}

/// Whoever knows the hashes of complete subtrees.
pub trait Subtrees {
    /// The root of a complete subtree; `None` if it is not at hand.
    fn hash(&self, subtree: Subtree) -> Option<Hash>;
}

/// Hashes that are computed one after the other, from one end of a tree of `size` leaves to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    size: u64,
    ranges: Vec<Range>,
}

impl Plan {
    /// The root of the first `size` leaves. It makes one hash.
    #[must_use]
    pub fn root(size: u64) -> Self {
        let ranges = vec![(0, size)];
        Self { size, ranges }
    }

    /// The proof that the leaf with this index is in the tree of `size` leaves: at most 64 hashes.
    ///
    /// # Errors
    /// [`ProofError::BeyondTree`].
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        let ranges = inclusion_path(index, size)?;
        let ranges = ranges.into_iter().map(|(range, _)| range).collect();
        Ok(Self { size, ranges })
    }

    /// The proof that the first `old` leaves of the tree of `new` leaves are a tree of before: at most
    /// 65 hashes. It is empty if one of the sizes is the other, or is 0.
    ///
    /// # Errors
    /// [`ProofError::Reversed`].
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        let (seed, path) = consistency_path(old, new)?;
        let path = path.into_iter().map(|(range, _)| range);
        let ranges = seed.into_iter().chain(path).collect();
        Ok(Self { size: new, ranges })
    }

    /// The complete subtrees whose hashes are needed.
    pub fn subtrees(&self) -> impl Iterator<Item = Subtree> {
        self.ranges.iter().copied().flat_map(subtrees_of)
    }

    /// The tiles that have them, each once, in order; as wide as they are in the tree.
    #[must_use]
    pub fn tiles(&self) -> Vec<Tile> {
        let tiles = self.subtrees().filter_map(|tree| tree.tile(self.size));
        let mut tiles: Vec<_> = tiles.collect();
        tiles.sort_unstable();
        tiles.dedup();
        tiles
    }

    /// Makes the hashes, in the order in which a proof has them.
    ///
    /// # Errors
    /// [`ProofError::Missing`].
    pub fn make(&self, trees: &impl Subtrees) -> Result<Vec<Hash>, ProofError> {
        let hash = |range: &Range| {
            let hash = |tree| trees.hash(tree).ok_or(ProofError::Missing(tree));
            let hashes = subtrees_of(*range).map(hash);
            let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
            Ok(fold(hashes.into_iter()).unwrap_or_else(empty_root))
        };
        self.ranges.iter().map(hash).collect()
    }
}

/// Tiles that were fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiles {
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl Tiles {
    /// Adds the bytes of a tile.
    pub fn insert(&mut self, level: u8, number: u64, hashes: Vec<u8>) {
        self.tiles.insert((level, number), hashes);
    }
}

impl Subtrees for Tiles {
    fn hash(&self, subtree: Subtree) -> Option<Hash> {
        let tile = subtree.tile(u64::MAX)?;
        let bytes = self.tiles.get(&(tile.level(), tile.number()))?;
        subtree.hash_in(bytes)
    }
}

/// Verifies that a leaf is in a tree (RFC 9162, 2.1.3.2): `index` is 0 for the first of `size` leaves.
/// Size and root are to be of one checkpoint: the same hashes can lead to the root with another size.
///
/// # Errors
/// Unless the proof is the one for this leaf, index, size and root.
pub fn verify_inclusion(
    (index, leaf): (u64, &Hash),
    (size, root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let path = inclusion_path(index, size)?;
    has_length(proof, path.len())?;
    let steps = path.iter().zip(proof);
    let reached = steps.fold(*leaf, |below, ((_, side), hash)| match side {
        Side::Left => node_hash(hash, &below),
        Side::Right => node_hash(&below, hash),
    });
    is_root(&reached, root)
}

/// Verifies that a tree is the beginning of another (RFC 9162, 2.1.4.2). Each is its size and root.
/// That of size 0 is the beginning of every one, if its root is that of no leaves.
///
/// # Errors
/// Unless the proof is the one for these sizes and roots.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (seed, path) = consistency_path(old, new)?;
    has_length(proof, path.len() + usize::from(seed.is_some()))?;
    if old == 0 {
        is_root(&empty_root(), old_root)?;
        return match new {
            0 => is_root(&empty_root(), new_root),
            _ => Ok(()),
        };
    }
    // Either the proof begins with a tree that both have, or all of the old one is such a tree.
    let (first, rest) = match (seed, proof.split_first()) {
        (Some(_), Some((first, rest))) => (*first, rest),
        _ => (*old_root, proof),
    };
    let (mut old_reached, mut new_reached) = (first, first);
    for ((_, side), hash) in path.iter().zip(rest) {
        match side {
            Side::Left => {
                old_reached = node_hash(hash, &old_reached);
                new_reached = node_hash(hash, &new_reached);
            }
            // Right of the old tree: it is in the new one alone.
            Side::Right => new_reached = node_hash(&new_reached, hash),
        }
    }
    is_root(&old_reached, old_root)?;
    is_root(&new_reached, new_root)
}

const fn has_length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    let got = proof.len();
    if got == expected {
        Ok(())
    } else {
        Err(ProofError::Length { expected, got })
    }
}

fn is_root(reached: &Hash, root: &Hash) -> Result<(), ProofError> {
    if reached == root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// How many of `count` leaves stand in the left half of their tree: the largest power of two that is
/// smaller. There are at least two leaves.
const fn left_half(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// `PATH(m, D[n])` of RFC 6962, 2.1.1, without recursion: what stands beside the way from a leaf to
/// the root, from the leaf on.
fn inclusion_path(index: u64, size: u64) -> Result<Vec<(Range, Side)>, ProofError> {
    if index >= size {
        return Err(ProofError::BeyondTree { index, size });
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + left_half(end - begin);
        if index < middle {
            path.push(((middle, end), Side::Right));
            end = middle;
        } else {
            path.push(((begin, middle), Side::Left));
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// `PROOF(m, D[n])` of RFC 6962, 2.1.2, without recursion: the tree that both have, unless it is all of
/// the old one, and what stands beside the way from it to the root.
#[expect(
    clippy::type_complexity,
    reason = "the two parts of one proof, used in this file alone"
)]
fn consistency_path(old: u64, new: u64) -> Result<(Option<Range>, Vec<(Range, Side)>), ProofError> {
    if old > new {
        return Err(ProofError::Reversed { old, new });
    }
    if old == 0 {
        return Ok((None, Vec::new()));
    }
    let (mut begin, mut end) = (0, new);
    let mut path = Vec::new();
    while end > old {
        let middle = begin + left_half(end - begin);
        if old <= middle {
            path.push(((middle, end), Side::Right));
            end = middle;
        } else {
            path.push(((begin, middle), Side::Left));
            begin = middle;
        }
    }
    path.reverse();
    Ok(((begin > 0).then_some((begin, end)), path))
}

/// The complete subtrees that leaves consist of, the largest first. The first leaf is the first of a
/// subtree at least as large as all the leaves, which holds for each range of a proof.
fn subtrees_of((begin, end): Range) -> impl Iterator<Item = Subtree> {
    let mut next = begin;
    std::iter::from_fn(move || {
        let level = (end - next).checked_ilog2()?;
        let index = next >> level;
        next += 1 << level;
        let level = u8::try_from(level).ok()?;
        Some(Subtree { level, index })
    })
}

#[cfg(test)]
mod tests;
