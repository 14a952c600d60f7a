//! The published vectors of certificate transparency, and the definition of RFC 6962 word for word.

use proptest::prelude::{any, proptest};

use super::{Frontier, FrontierError, Hash, empty_root, leaf_hash, node_hash};

/// The eight leaves with which implementations of certificate transparency are tested.
pub(super) const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of the trees of the first one to eight of them.
pub(super) const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte"))
        .collect()
}

pub(super) fn hash_of(hex: &str) -> Hash {
    Hash::from_slice(&bytes_of(hex)).expect("32 bytes")
}

/// `MTH(D[n])`, as RFC 6962, 2.1 defines it, over the hashes of the leaves.
pub(super) fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        more => {
            let half = more.len().next_power_of_two() / 2;
            let (left, right) = more.split_at(half);
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

pub(super) fn leaf_hashes(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|n| leaf_hash(n.to_string().as_bytes()))
        .collect()
}

fn frontier_of(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier
}

#[test]
fn hashes_are_the_published_ones() {
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty_root().to_string(), nothing);
    let leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56";
    assert_eq!(leaf_hash(b"L123456").to_string(), leaf);
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), empty_root());
    for (leaf, root) in LEAVES.iter().zip(ROOTS) {
        frontier.append(leaf_hash(&bytes_of(leaf)));
        assert_eq!(frontier.root(), hash_of(root));
    }
    assert_eq!((frontier.size(), frontier.peaks().len()), (8, 1));
}

#[test]
fn root_is_the_defined_one_at_every_size() {
    let leaves = leaf_hashes(270);
    let mut frontier = Frontier::default();
    for (size, leaf) in leaves.iter().enumerate() {
        assert_eq!(frontier.root(), defined_root(&leaves[..size]), "{size}");
        frontier.append(*leaf);
    }
}

#[test]
fn frontier_is_not_read_from_bytes_of_another_length() {
    let frontier = frontier_of(&leaf_hashes(7));
    let bytes = frontier.to_bytes();
    let (expected, got) = (32, 96);
    let error = FrontierError {
        size: 8,
        expected,
        got,
    };
    assert_eq!(Frontier::from_bytes(8, &bytes), Err(error));
    assert!(Frontier::from_bytes(7, &bytes[1..]).is_err());
    assert!(Frontier::from_bytes(u64::MAX, &bytes).is_err());
    assert_eq!(Frontier::from_bytes(0, &[]), Ok(Frontier::default()));
}

proptest! {
    #[test]
    fn frontier_that_was_kept_goes_on_where_it_was(before in 0_u64..70, after in 0_u64..70) {
        let leaves = leaf_hashes(before + after);
        let (kept, rest) = leaves.split_at(usize::try_from(before).expect("small"));
        let bytes = frontier_of(kept).to_bytes();
        let mut frontier = Frontier::from_bytes(before, &bytes).expect("its bytes");
        rest.iter().for_each(|leaf| frontier.append(*leaf));
        assert_eq!(&frontier, &frontier_of(&leaves));
        assert_eq!(frontier.root(), defined_root(&leaves));
    }

    #[test]
    fn a_record_never_hashes_as_a_node(left in any::<[u8; 32]>(), right in any::<[u8; 32]>()) {
        let (l, r) = (Hash::from_bytes(left), Hash::from_bytes(right));
        assert_ne!(leaf_hash(&[left, right].concat()), node_hash(&l, &r));
    }
}
