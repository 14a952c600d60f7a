//! The test vectors of `docs/spec/ledger-vectors.md`: what the page says is what the code does. The
//! signatures are verified where there is Ed25519.

#![expect(clippy::expect_used, reason = "a test says by a panic what is wrong")]

use std::collections::BTreeMap;

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{
        checkpoint::Checkpoint,
        entry::Draft,
        note::{Kind, Note, VerifierKey},
        record::Record,
        tree::{
            Frontier, Hash, leaf_hash,
            proof::{Plan, Tiles, verify_consistency, verify_inclusion},
            tile::{Bundle, Resource, Tile},
        },
        verify::{NoClaims, Source, Trusted, Verifier},
    },
    tier::Actor,
    time::Timestamp,
};

const PAGE: &str = include_str!("../../../docs/spec/ledger-vectors.md");

/// The lines of a block of the page.
fn block(name: &str) -> Vec<&'static str> {
    let start = format!("\n```{name}\n");
    let (_, block) = PAGE.split_once(start.as_str()).expect(name);
    let (block, _) = block.split_once("\n```").expect("its end");
    block.lines().collect()
}

fn words(name: &str) -> Vec<Vec<&'static str>> {
    let split = |line: &'static str| line.split(' ').collect();
    block(name).into_iter().map(split).collect()
}

fn hash(hex: &str) -> Hash {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let byte = |pair: &[u32]| pair.iter().fold(0, |all, digit| all * 16 + digit);
    let bytes = digits.chunks_exact(2).map(byte);
    let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte).ok()).collect();
    Hash::from_slice(&bytes).expect(hex)
}

fn hashes(words: &[&str]) -> Vec<Hash> {
    words.iter().map(|hex| hash(hex)).collect()
}

fn number(word: &str) -> u64 {
    word.parse().expect(word)
}

fn leaves() -> Vec<Hash> {
    let records = block("records").into_iter();
    records.map(|line| leaf_hash(line.as_bytes())).collect()
}

/// The roots of the page by size, and the tree of the trail.
fn roots() -> BTreeMap<u64, Hash> {
    let root = |words: Vec<&str>| match words.as_slice() {
        [size, _, root] => Some((number(size), hash(root))),
        _ => None,
    };
    words("trees").into_iter().filter_map(root).collect()
}

fn tiles() -> Tiles {
    let mut tiles = Tiles::default();
    let bytes = leaves().iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    tiles.insert(0, 0, bytes);
    tiles
}

#[test]
fn records_and_their_trees_are_those_of_the_page() {
    for line in block("records") {
        assert!(Record::read(line.as_bytes()).is_some(), "{line}");
    }
    let leaves = leaves();
    let mut tree = Frontier::default();
    let mut last = None;
    let mut rest = leaves.iter();
    for line in words("trees") {
        let [size, leaf, root] = line.as_slice() else {
            panic!("{line:?}")
        };
        assert_eq!(tree.size(), number(size));
        assert_eq!(
            last.map_or("-".to_owned(), |leaf: Hash| leaf.to_string()),
            *leaf
        );
        assert_eq!(tree.root(), hash(root));
        last = rest.next().copied();
        last.into_iter().for_each(|leaf| tree.append(leaf));
    }
    assert_eq!((tree.size(), roots().len()), (5, 6));
}

#[test]
fn proofs_are_those_of_the_page() {
    let (roots, leaves, tiles) = (roots(), leaves(), tiles());
    let mut tried = 0;
    for line in words("inclusion") {
        let [index, size, proof @ ..] = line.as_slice() else {
            panic!("{line:?}")
        };
        let (index, size, proof) = (number(index), number(size), hashes(proof));
        let plan = Plan::inclusion(index, size).expect("a plan");
        assert_eq!(plan.make(&tiles), Ok(proof.clone()));
        let leaf = usize::try_from(index).ok().and_then(|at| leaves.get(at));
        let (leaf, root) = (leaf.expect("a leaf"), roots.get(&size).expect("a root"));
        assert_eq!(
            verify_inclusion((index, leaf), (size, root), &proof),
            Ok(())
        );
        tried += 1;
    }
    for line in words("consistency") {
        let [old, new, proof @ ..] = line.as_slice() else {
            panic!("{line:?}")
        };
        let (old, new, proof) = (number(old), number(new), hashes(proof));
        let plan = Plan::consistency(old, new).expect("a plan");
        assert_eq!(plan.make(&tiles), Ok(proof.clone()));
        let root = |size| (size, roots.get(&size).expect("a root"));
        assert_eq!(verify_consistency(root(old), root(new), &proof), Ok(()));
        tried += 1;
    }
    assert_eq!(tried, 30);
}

#[test]
fn proofs_of_a_large_public_log_hold() {
    for line in words("public-inclusion") {
        let [index, size, leaf, root, proof @ ..] = line.as_slice() else {
            panic!("{line:?}")
        };
        let (leaf, root, proof) = (hash(leaf), hash(root), hashes(proof));
        let (index, size) = (number(index), number(size));
        assert_eq!(
            verify_inclusion((index, &leaf), (size, &root), &proof),
            Ok(())
        );
        assert!(verify_inclusion((index + 1, &leaf), (size, &root), &proof).is_err());
        assert!(verify_inclusion((index, &leaf), (size * 2, &root), &proof).is_err());
    }
    for line in words("public-consistency") {
        let [old, new, old_root, new_root, proof @ ..] = line.as_slice() else {
            panic!("{line:?}")
        };
        let (old, new, proof) = (number(old), number(new), hashes(proof));
        let (first, second) = (hash(old_root), hash(new_root));
        assert_eq!(
            verify_consistency((old, &first), (new, &second), &proof),
            Ok(())
        );
        assert!(verify_consistency((old, &second), (new, &second), &proof).is_err());
        assert!(verify_consistency((old, &first), (new, &first), &proof).is_err());
    }
}

#[test]
fn paths_are_those_of_the_page() {
    for line in words("paths") {
        let [level, place, size, path] = line.as_slice() else {
            panic!("{line:?}")
        };
        let (place, size) = (number(place), number(size));
        let resource = match *level {
            "entries" => Bundle::of_tree(place, size).map(Resource::Entries),
            level => Tile::of_tree(level.parse().expect(level), place, size).map(Resource::Tile),
        };
        assert_eq!(
            resource.map(|known| known.to_string()).as_deref(),
            Some(*path)
        );
        assert_eq!(Resource::parse(path), resource);
    }
}

#[test]
fn checkpoint_is_that_of_the_page() {
    let text = block("note").join("\n") + "\n";
    let note = Note::parse(text.as_bytes()).expect("a note");
    assert_eq!(note.to_string(), text);
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    assert_eq!(checkpoint.to_string(), note.text());
    assert_eq!(Some(&checkpoint.root()), roots().get(&5));
    assert_eq!(checkpoint.size(), 5);
    let key = |line: &str| line.parse::<VerifierKey>().expect(line);
    let keys: Vec<_> = block("keys").into_iter().map(key).collect();
    let verify = |_: &[u8; 32], message: &[u8], _: &[u8; 64]| {
        let header = "cosignature/v1\ntime 1795400400\n";
        message == note.text().as_bytes() || message == [header, note.text()].concat().as_bytes()
    };
    let signers = note.open(&keys, &verify).expect("signers");
    let known: Vec<_> = signers
        .iter()
        .map(|signer| (signer.key.kind(), signer.seconds))
        .collect();
    let log = (Kind::Ed25519, None);
    assert_eq!(known, [log, log, (Kind::Cosignature, Some(1_795_400_400))]);
    let of_log = keys.iter().filter(|key| key.name() == checkpoint.origin());
    assert_eq!(of_log.count(), 2);

    let trusted = Trusted {
        size: checkpoint.size(),
        root: checkpoint.root(),
        at: None,
        source: Source::Export,
    };
    let mut verifier = Verifier::new(NoClaims, vec![trusted]);
    for line in block("records") {
        verifier.record(line.as_bytes());
    }
    let report = verifier.finish();
    assert_eq!((report.intact, report.findings), (5, vec![]));
}

#[test]
fn long_change_is_shortened_as_the_page_says() {
    let [whole, short] = block("long")[..] else {
        panic!("two lines")
    };
    let whole = whole.replace('…', &"x".repeat(70_000));
    let actor = Actor::AdminToken;
    let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
    let plain = Draft::of_operation(id, 1, Timestamp::from_millis(1), org, &actor);
    let with = |change| Draft {
        change: Some(change),
        ..plain.clone()
    };
    assert_eq!(with(&whole).write(), with(short).write());
}
