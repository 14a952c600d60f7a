//! The examples of C2SP tlog-tiles, and that every hash is found in its tile.

use proptest::prelude::{Strategy as _, any, prop_oneof, proptest};

use super::{
    BrokenBundle, Bundle, RECORD_BYTES_MAX, Resource, Subtree, Tile, push_record, records, root_of,
    tiles_of_tree,
};
use crate::ledger::tree::{
    Hash,
    tests::{defined_root, leaf_hashes},
};

/// The bytes of a tile, computed from the leaves.
pub(crate) fn bytes_of_tile(leaves: &[Hash], tile: Tile) -> Vec<u8> {
    let hash = |tree: Subtree| {
        let begin = usize::try_from(tree.index << tree.level).expect("small");
        defined_root(&leaves[begin..begin + (1 << tree.level)])
    };
    let hashes = tile.subtrees().map(hash);
    hashes.flat_map(|hash| *hash.as_bytes()).collect()
}

#[test]
fn tree_has_the_tiles_of_the_specification() {
    // The examples of the specification, under "Partial Tiles".
    let tiles: Vec<_> = tiles_of_tree(70_000).collect();
    let of_level = |level| tiles.iter().filter(move |tile| tile.level() == level);
    assert_eq!(of_level(0).filter(|tile| tile.is_full()).count(), 273);
    assert_eq!(of_level(1).filter(|tile| tile.is_full()).count(), 1);
    let partial = tiles.iter().filter(|tile| !tile.is_full());
    let partial: Vec<_> = partial
        .map(|tile| (tile.level(), tile.number(), tile.width()))
        .collect();
    assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
    let small: Vec<_> = tiles_of_tree(256)
        .map(|tile| (tile.level(), tile.width()))
        .collect();
    assert_eq!(small, [(0, 256), (1, 1)]);
    assert_eq!(tiles_of_tree(0).count(), 0);
    assert_eq!(Tile::of_tree(0, 1, 256), None);
    assert_eq!(Tile::of_tree(8, 0, u64::MAX), None);
    let widest = Tile::of_tree(7, 0, u64::MAX).expect("a tile");
    assert_eq!((widest.width(), widest.bytes()), (255, 255 * 32));
}

#[test]
fn paths_are_those_of_the_specification() {
    let full = |level, number| Tile::of_tree(level, number, u64::MAX).expect("a tile");
    for (path, tile) in [
        ("tile/0/x001/x234/067", full(0, 1_234_067)),
        ("tile/5/x001/234", full(5, 1234)),
        ("tile/0/000", full(0, 0)),
        ("tile/0/999", full(0, 999)),
        ("tile/0/x001/000", full(0, 1000)),
    ] {
        assert_eq!(Resource::parse(path), Some(Resource::Tile(tile)), "{path}");
        assert_eq!(Resource::Tile(tile).to_string(), path);
    }
    let partial = Tile::of_tree(0, 273, 70_000).map(Resource::Tile);
    assert_eq!(Resource::parse("tile/0/273.p/112"), partial);
    let bundle = Bundle::of_tree(273, 70_000).expect("a bundle");
    assert_eq!((bundle.first_leaf(), bundle.width()), (69_888, 112));
    let entries = Resource::Entries(bundle);
    assert_eq!(entries.to_string(), "tile/entries/273.p/112");
    assert_eq!(Resource::parse(&entries.to_string()), Some(entries));
    assert_eq!(Resource::parse("checkpoint"), Some(Resource::Checkpoint));
}

#[test]
fn path_that_is_written_in_another_way_is_none() {
    for path in [
        "",
        "/checkpoint",
        "checkpoint/",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/-1/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/63/000",
        "tile/64/000",
        "tile/256/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x001",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/X001/234",
        "tile/0/x001//234",
        "tile/0/x1/234",
        "tile/0/+01",
        "tile/0/x001/+23",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/",
        "tile/0/001.p/1/",
        "tile/0/001.p/-1",
        "tile/0/001.p",
        "tile/0/001.p/1.p/1",
        "tile/0/٠٠٠",
        "tile/entries/0",
        "tile/entries/000.p/256",
        "tile/7/001",
        // 2 to the power of 56, and one more group than 64 bits can count.
        "tile/0/x072/x057/x594/x037/x927/936",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Resource::parse(path), None, "{path}");
    }
}

#[test]
fn every_hash_is_in_its_tile() {
    let leaves = leaf_hashes(600);
    let mut tiles = std::collections::BTreeMap::new();
    for level in 0..=9_u8 {
        for index in 0..(600_u64 >> level) {
            let tree = Subtree { level, index };
            let tile = tree.tile(600).expect("a tile");
            let bytes = tiles
                .entry(tile)
                .or_insert_with(|| bytes_of_tile(&leaves, tile));
            // Once for each is enough where many are alike: hashing is slow without optimisation.
            if level > 0 && index > 2 && index + 2 < (600 >> level) {
                continue;
            }
            let begin = usize::try_from(index << level).expect("small");
            let expected = defined_root(&leaves[begin..begin + (1 << level)]);
            assert_eq!(tree.hash_in(bytes), Some(expected), "{tree:?}");
        }
        assert_eq!(
            Subtree {
                level,
                index: 600 >> level
            }
            .tile(600),
            None
        );
    }
    let first = Tile::of_tree(0, 0, 600).expect("a tile");
    let second_level = Subtree { level: 8, index: 0 };
    assert_eq!(root_of(&tiles[&first]), Some(defined_root(&leaves[..256])));
    let upper = Tile::of_tree(1, 0, 600).expect("a tile");
    assert_eq!(
        second_level.hash_in(&tiles[&upper]),
        root_of(&tiles[&first])
    );
    assert_eq!(Subtree::leaf(3).hash_in(&tiles[&first][..127]), None);
    assert_eq!(root_of(&[]), None);
    assert_eq!(root_of(&[0; 96]), None);
    assert_eq!(root_of(&[0; 33]), None);
}

#[test]
fn bundle_holds_records_with_their_lengths() {
    let longest = vec![b'x'; RECORD_BYTES_MAX];
    let mut bundle = Vec::new();
    for record in [&b"one"[..], b"", &longest] {
        push_record(&mut bundle, record).expect("room");
    }
    assert_eq!(
        push_record(&mut bundle, &[longest.as_slice(), b"x"].concat()),
        None
    );
    assert!(bundle.starts_with(b"\0\x03one\0\0\xff\xffx"));
    let read: Vec<_> = records(&bundle).collect();
    assert_eq!(read, [Ok(&b"one"[..]), Ok(b""), Ok(&longest)]);
    let cut: Vec<_> = records(&bundle[..4]).collect();
    assert_eq!(cut, [Err(BrokenBundle)]);
    assert_eq!(records(b"\0").collect::<Vec<_>>(), [Err(BrokenBundle)]);
}

proptest! {
    #[test]
    fn path_parses_back(level in 0_u8..8, size in any::<u64>(), seed in any::<u64>()) {
        let tiles = (size >> (level * 8)).div_ceil(256);
        let tile = Tile::of_tree(level, seed.checked_rem(tiles).unwrap_or(0), size);
        if let Some(tile) = tile {
            let path = Resource::Tile(tile).to_string();
            assert_eq!(Resource::parse(&path), Some(Resource::Tile(tile)));
        }
    }

    #[test]
    fn what_parses_prints_the_same(path in prop_oneof![
        "tile/[0-9]{1,2}/(x[0-9]{3}/){0,6}[0-9]{3}(\\.p/[0-9]{1,3})?", any::<String>(),
    ].boxed()) {
        if let Some(resource) = Resource::parse(&path) {
            assert_eq!(resource.to_string(), path);
        }
    }
}
