//! Published proofs, every proof of small trees against another implementation, and proofs that must
//! not hold.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::{any, proptest};
use sha2::Sha256;

use super::{Plan, ProofError, Subtrees, Tiles, verify_consistency, verify_inclusion};
use crate::ledger::tree::{
    Frontier, Hash, empty_root, leaf_hash, node_hash,
    tests::{LEAVES, ROOTS, bytes_of, defined_root, hash_of, leaf_hashes},
    tile::{Subtree, tests::bytes_of_tile},
};

/// Inclusion proofs with which implementations of certificate transparency are tested: index, size
/// and the hashes.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Consistency proofs of the same trees: old size, new size and the hashes.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (1, 8, INCLUSION[1].2),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

/// Every complete subtree of some leaves.
struct Known(BTreeMap<Subtree, Hash>);

impl Subtrees for Known {
    fn hash(&self, subtree: Subtree) -> Option<Hash> {
        self.0.get(&subtree).copied()
    }
}

fn known(leaves: &[Hash]) -> Known {
    let mut all = BTreeMap::new();
    let mut row = leaves.to_vec();
    for level in 0.. {
        let entries = (0..).zip(&row);
        all.extend(entries.map(|(index, hash)| (Subtree { level, index }, *hash)));
        row = row
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
        if row.is_empty() {
            break;
        }
    }
    Known(all)
}

fn flat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn hashes_of(proof: &[&str]) -> Vec<Hash> {
    proof.iter().map(|hex| hash_of(hex)).collect()
}

fn published_leaves() -> Vec<Hash> {
    let leaf = |hex: &&str| leaf_hash(&bytes_of(hex));
    LEAVES.iter().map(leaf).collect()
}

fn root_at(size: u64) -> Hash {
    hash_of(ROOTS[usize::try_from(size).expect("small") - 1])
}

#[test]
fn inclusion_proofs_are_the_published_ones() {
    let leaves = published_leaves();
    for (index, size, proof) in INCLUSION {
        let proof = hashes_of(proof);
        let plan = Plan::inclusion(index, size).expect("a plan");
        assert_eq!(plan.make(&known(&leaves)), Ok(proof.clone()));
        let leaf = &leaves[usize::try_from(index).expect("small")];
        let root = &root_at(size);
        assert_eq!(
            verify_inclusion((index, leaf), (size, root), &proof),
            Ok(())
        );
    }
}

#[test]
fn consistency_proofs_are_the_published_ones() {
    for (old, new, proof) in CONSISTENCY {
        let proof = hashes_of(proof);
        let plan = Plan::consistency(old, new).expect("a plan");
        assert_eq!(plan.make(&known(&published_leaves())), Ok(proof.clone()));
        let (old_root, new_root) = (root_at(old), root_at(new));
        assert_eq!(
            verify_consistency((old, &old_root), (new, &new_root), &proof),
            Ok(())
        );
    }
}

/// As far as all pairs are tried.
const SIZE_MAX: u64 = 300;

#[test]
fn every_inclusion_proof_is_that_of_another_implementation_and_holds() {
    let leaves = leaf_hashes(SIZE_MAX);
    let trees = known(&leaves);
    let mut frontier = Frontier::default();
    let mut other = MemoryBackedTree::<Sha256, String>::new();
    for size in 1..=SIZE_MAX {
        let last = size - 1;
        frontier.append(leaves[usize::try_from(last).expect("small")]);
        other.push(last.to_string());
        let root = frontier.root();
        assert_eq!(Plan::root(size).make(&trees), Ok(vec![root]));
        for (index, leaf) in (0..size).zip(&leaves) {
            let proof = Plan::inclusion(index, size).expect("a plan").make(&trees);
            let proof = proof.expect("all hashes");
            let expected = other.prove_inclusion(usize::try_from(index).expect("small"));
            assert_eq!(flat(&proof), expected.as_bytes(), "{index} in {size}");
            assert_eq!(
                verify_inclusion((index, leaf), (size, &root), &proof),
                Ok(())
            );
        }
    }
}

#[test]
fn every_consistency_proof_is_that_of_another_implementation_and_holds() {
    let leaves = leaf_hashes(SIZE_MAX);
    let trees = known(&leaves);
    let mut frontier = Frontier::default();
    let mut other = MemoryBackedTree::<Sha256, String>::new();
    let mut roots = vec![empty_root()];
    for new in 1..=SIZE_MAX {
        frontier.append(leaves[usize::try_from(new - 1).expect("small")]);
        other.push((new - 1).to_string());
        roots.push(frontier.root());
        for old in 0..=new {
            let proof = Plan::consistency(old, new).expect("a plan").make(&trees);
            let proof = proof.expect("all hashes");
            if old > 0 {
                let added = usize::try_from(new - old).expect("small");
                let expected = other.prove_consistency(added);
                assert_eq!(flat(&proof), expected.as_bytes(), "{old} to {new}");
            }
            let root = |size: u64| &roots[usize::try_from(size).expect("small")];
            assert_eq!(
                verify_consistency((old, root(old)), (new, root(new)), &proof),
                Ok(()),
                "{old} to {new}"
            );
        }
    }
}

#[test]
fn proof_is_made_from_the_tiles_that_its_plan_names() {
    let (size, sizes) = (700_u64, [1_u64, 255, 256, 257, 511, 512, 513, 700]);
    let leaves = leaf_hashes(size);
    let trees = known(&leaves);
    let mut plans: Vec<_> = sizes.iter().map(|size| Plan::root(*size)).collect();
    for index in [0, 255, 256, 600, 699] {
        plans.push(Plan::inclusion(index, size).expect("a plan"));
    }
    for old in sizes {
        plans.push(Plan::consistency(old, size).expect("a plan"));
    }
    let mut bytes = BTreeMap::new();
    for plan in plans {
        let mut tiles = Tiles::default();
        for tile in plan.tiles() {
            let hashes = bytes
                .entry(tile)
                .or_insert_with(|| bytes_of_tile(&leaves, tile));
            tiles.insert(tile.level(), tile.number(), hashes.clone());
        }
        assert!(plan.tiles().len() <= 4, "{plan:?}");
        assert_eq!(plan.make(&tiles), plan.make(&trees), "{plan:?}");
        let missing = plan.subtrees().next().map(ProofError::Missing);
        assert_eq!(plan.make(&Tiles::default()).err(), missing);
    }
    assert_eq!(
        Plan::root(0).make(&Tiles::default()),
        Ok(vec![empty_root()])
    );
    assert_eq!(Plan::root(0).tiles(), []);
}

#[test]
fn sizes_that_do_not_fit_have_no_proof() {
    let beyond = |index, size| Err(ProofError::BeyondTree { index, size });
    let hash = &empty_root();
    for (index, size) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
        assert_eq!(
            Plan::inclusion(index, size),
            beyond(index, size).map(|()| Plan::root(0))
        );
        assert_eq!(
            verify_inclusion((index, hash), (size, hash), &[]),
            beyond(index, size)
        );
    }
    let (old, new) = (2, 1);
    let reversed = ProofError::Reversed { old, new };
    assert_eq!(Plan::consistency(old, new), Err(reversed));
    assert_eq!(
        verify_consistency((old, hash), (new, hash), &[]),
        Err(reversed)
    );
    // The largest tree of all: nothing overflows, and a proof has at most 64 hashes.
    let largest = u64::MAX;
    for index in [0, 1, 1 << 63, largest - 2, largest - 1] {
        let plan = Plan::inclusion(index, largest).expect("a plan");
        assert!((1..=64).contains(&plan.ranges.len()));
        assert!(plan.tiles().len() <= 130);
        let old = index + 1;
        let plan = Plan::consistency(old, largest).expect("a plan");
        assert!(plan.ranges.len() <= 65);
        let failed = verify_consistency((old, hash), (largest, hash), &[]);
        assert!(failed.is_err() == (old < largest), "{failed:?}");
    }
}

#[test]
fn empty_and_equal_trees_need_no_proof_and_take_none() {
    let (a, b) = (&leaf_hash(b"a"), &leaf_hash(b"b"));
    let (none, nothing) = (&empty_root(), &[][..]);
    let length = |got| Err(ProofError::Length { expected: 0, got });
    assert_eq!(verify_consistency((0, none), (0, none), nothing), Ok(()));
    assert_eq!(verify_consistency((0, none), (9, a), nothing), Ok(()));
    assert_eq!(verify_consistency((5, a), (5, a), nothing), Ok(()));
    assert_eq!(
        verify_consistency((0, a), (9, b), nothing),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_consistency((0, none), (0, a), nothing),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_consistency((5, a), (5, b), nothing),
        Err(ProofError::Root)
    );
    assert_eq!(verify_consistency((0, none), (9, a), &[*a]), length(1));
    assert_eq!(verify_consistency((5, a), (5, a), &[*a]), length(1));
    let expected = 2;
    let got = 0;
    assert_eq!(
        verify_consistency((1, a), (3, b), nothing),
        Err(ProofError::Length { expected, got })
    );
}

proptest! {
    #[test]
    fn changed_proof_does_not_hold(size in 2_u64..40, seeds in any::<[u64; 3]>(), bit in 0_u8..8) {
        let leaves = leaf_hashes(size);
        let trees = known(&leaves);
        let root = defined_root(&leaves);
        let [index, place, byte] = seeds;
        let index = index % size;
        let leaf = leaves[usize::try_from(index).expect("small")];
        let old = index + 1;
        let old_root = defined_root(&leaves[..usize::try_from(old).expect("small")]);
        let spoil = |proof: &[Hash]| {
            let place = usize::try_from(place % u64::try_from(proof.len()).expect("small"));
            let mut hashes = proof.to_vec();
            let spoilt = &mut hashes[place.expect("small")];
            let mut bytes = *spoilt.as_bytes();
            bytes[usize::try_from(byte % 32).expect("small")] ^= 1 << bit;
            *spoilt = Hash::from_bytes(bytes);
            hashes
        };

        let proof = Plan::inclusion(index, size).expect("a plan").make(&trees).expect("hashes");
        let holds = |at: (u64, &Hash), tree: (u64, &Hash), proof: &[Hash]| {
            verify_inclusion(at, tree, proof).is_ok()
        };
        assert!(holds((index, &leaf), (size, &root), &proof));
        assert!(!holds((index, &leaf), (size, &root), &spoil(&proof)));
        assert!(!holds((index, &root), (size, &root), &proof));
        assert!(!holds((index, &leaf), (size, &leaf), &proof));
        assert!(!holds((index, &leaf), (size, &root), &proof[1..]));
        assert!(!holds((index, &leaf), (size, &root), &[&proof[..], &[root]].concat()));
        assert!(!holds((index, &leaf), (size, &root), &[&[root], &proof[..]].concat()));
        for other in [index ^ 1, index ^ 2, index + 1, index.wrapping_sub(1)] {
            assert!(!holds((other, &leaf), (size, &root), &proof), "{other}");
        }

        let proof = Plan::consistency(old, size).expect("a plan").make(&trees).expect("hashes");
        let holds = |old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]| {
            verify_consistency(old, new, proof).is_ok()
        };
        assert!(holds((old, &old_root), (size, &root), &proof));
        if old < size {
            assert!(!holds((old, &old_root), (size, &root), &spoil(&proof)));
            assert!(!holds((old, &old_root), (size, &root), &proof[1..]));
            assert!(!holds((old, &root), (size, &root), &proof));
            assert!(!holds((old, &old_root), (size, &old_root), &proof));
            assert!(!holds((old + 1, &old_root), (size, &root), &proof));
        }
        assert!(!holds((old, &old_root), (size, &root), &[&proof[..], &[root]].concat()));
    }
}
