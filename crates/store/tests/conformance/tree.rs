//! The trees of the trails: after whatever was written, they are those of the records.

use claviger_core::{
    id::{Org as OrgKind, OrgId},
    ledger::{
        entry::Entry,
        tree::{
            Frontier, Hash, leaf_hash, node_hash,
            proof::{Plan, Tiles, verify_consistency, verify_inclusion},
            tile::{Tile, tiles_of_tree},
        },
    },
};
use claviger_store::{LEAVES_MAX, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{NOBODY, batch, default_org, entry, id, insert_workspace, other_org, workspace},
    witness::{assert_error, trail, unseen},
};

/// The leaves of a trail, from what an export holds.
pub(crate) async fn leaves_of(db: &Db, org: OrgId) -> Vec<Hash> {
    let records = trail(db, org).await;
    records.iter().map(|record| leaf_hash(record)).collect()
}

/// The root as RFC 6962, 2.1 defines it, for at least one leaf.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    node_hash(&root(left), &root(right))
}

pub(crate) fn number(count: usize) -> u64 {
    u64::try_from(count).expect("small")
}

/// Asserts that the tree of an org is that of its records.
pub(crate) async fn expect_tree(db: &Db, org: OrgId) -> Vec<Hash> {
    let leaves = leaves_of(db, org).await;
    let frontier = db.frontier(org).await.expect("a frontier");
    assert_eq!(frontier.size(), number(leaves.len()));
    if !leaves.is_empty() {
        assert_eq!(frontier.root(), root(&leaves));
    }
    assert_eq!(frontier, plain(&leaves));
    leaves
}

/// The frontier of these leaves.
fn plain(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier
}

fn entries(org: OrgId, count: usize) -> Vec<Entry> {
    (0..count).map(|_| entry(org)).collect()
}

async fn append(db: &Db, entries: Vec<Entry>) {
    db.append(batch(entries)).await.expect("they are written");
}

/// Appends in commits of different sizes, so that runs begin and end anywhere.
async fn append_unevenly(db: &Db, org: OrgId, count: usize) {
    let (mut left, mut sizes) = (count, [1, 300, 7, 2000].into_iter().cycle());
    while left > 0 {
        let size = sizes.next().unwrap_or(1).min(left);
        append(db, entries(org, size)).await;
        left -= size;
    }
}

pub(crate) async fn derive_all(db: &Db) -> usize {
    let mut count = 0;
    while db.derive_tiles().await.expect("derived") {
        count += 1;
    }
    count
}

pub(crate) async fn tree_is_that_of_the_records_whoever_writes_them(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    assert_eq!(expect_tree(&db, one).await, []);
    assert_eq!(expect_tree(&db, other).await.len(), 1, "that of the org");
    for count in [1, 2, 5, 64] {
        append(&db, entries(one, count)).await;
        // Of both in one commit, in turns.
        let mixed = (0..count).flat_map(|_| [entry(other), entry(one), entry(one)]);
        append(&db, mixed.collect()).await;
        insert_workspace(&db, one).await;
        insert_workspace(&db, other).await;
        expect_tree(&db, one).await;
        expect_tree(&db, other).await;
    }
    let before = expect_tree(&db, one).await;
    let db = bed.reopen(db).await;
    assert_eq!(expect_tree(&db, one).await, before);
    append(&db, entries(one, 3)).await;
    assert_eq!(expect_tree(&db, one).await.len(), before.len() + 3);
}

pub(crate) async fn what_fails_leaves_the_tree_as_it_was(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    append(&db, entries(org, 5)).await;
    let before = expect_tree(&db, org).await;
    for strangers_place in [0, 1, 2] {
        let mut mixed = entries(org, 2);
        mixed.insert(strangers_place, entry(id::<OrgKind>()));
        db.append(batch(mixed)).await.expect_err("it is refused");
        assert_eq!(expect_tree(&db, org).await, before);
    }
    append(&db, entries(org, 1)).await;
    let db = bed.break_audit(db).await;
    db.append(batch(entries(org, 2))).await.expect_err("broken");
    let new = workspace(org, "lost");
    db.insert_workspace(new, NOBODY, unseen(org))
        .await
        .expect_err("broken");
    let db = bed.mend_audit(db).await;
    append(&db, entries(org, 1)).await;
    assert_eq!(expect_tree(&db, org).await.len(), before.len() + 2);
}

pub(crate) async fn tiles_are_those_of_the_records_however_many_are_made(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    append_unevenly(&db, org, 5000).await;
    let leaves = expect_tree(&db, org).await;
    expect_tiles(&db, org, &leaves).await;
    assert!(db.derive_tiles().await.expect("derived"));
    expect_tiles(&db, org, &leaves).await;
    assert_eq!(derive_all(&db).await, 1, "19 tiles, 16 at once");
    expect_tiles(&db, org, &leaves).await;
    let db = bed.reopen(db).await;
    append_unevenly(&db, org, 400).await;
    let leaves = expect_tree(&db, org).await;
    expect_tiles(&db, org, &leaves).await;
    assert_eq!(derive_all(&db).await, 1);
    expect_tiles(&db, org, &leaves).await;
}

/// Asserts that every way to read the tree gives what the leaves give.
async fn expect_tiles(db: &Db, org: OrgId, leaves: &[Hash]) {
    let all = number(leaves.len());
    for range in [
        0..1,
        0..all,
        255..257,
        256..512,
        4095..4097,
        all - 1..all,
        7..7,
    ] {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
        let found = db.leaves(org, range).await.expect("leaves");
        assert_eq!(found, leaves[start..end]);
    }
    for size in [0, 1, 255, 256, 257, 511, 4095, 4096, 4097, all - 1, all] {
        let found = db.frontier_at(org, size).await.expect("a frontier");
        let known = usize::try_from(size).expect("small");
        assert_eq!(found, plain(&leaves[..known]), "{size}");
    }
    // Several at once, and not in order.
    for size in [1, 300, 4096, all] {
        let wanted: Vec<Tile> = tiles_of_tree(size).collect();
        let wanted: Vec<Tile> = wanted.into_iter().rev().collect();
        let found = db.tiles(org, wanted.clone()).await.expect("tiles");
        assert_eq!(found.len(), wanted.len());
        for (tile, found) in wanted.iter().zip(found) {
            let below = usize::try_from(256_u64.pow(tile.level().into())).expect("small");
            let first = usize::try_from(tile.number()).expect("small") * 256;
            let roots = leaves.chunks_exact(below).map(root).skip(first);
            let roots = roots.take(tile.width().into());
            let bytes: Vec<u8> = roots.flat_map(|root| *root.as_bytes()).collect();
            assert!(found == bytes, "{tile:?}");
        }
    }
    expect_proofs(db, org, leaves).await;
}

/// Asserts that proofs can be made of what the store has.
async fn expect_proofs(db: &Db, org: OrgId, leaves: &[Hash]) {
    let all = number(leaves.len());
    let whole = (all, &root(leaves));
    for (at, leaf) in [(0, &leaves[0]), (all - 1, &leaves[leaves.len() - 1])] {
        let plan = Plan::inclusion(at, all).expect("a leaf of it");
        let proof = plan.make(&fetch(db, org, &plan).await).expect("a proof");
        verify_inclusion((at, leaf), whole, &proof).expect("it is in the tree");
    }
    for old in [1, 255, 256, 4097] {
        let plan = Plan::consistency(old, all).expect("smaller");
        let proof = plan.make(&fetch(db, org, &plan).await).expect("a proof");
        let then = db.frontier_at(org, old).await.expect("a frontier").root();
        verify_consistency((old, &then), whole, &proof).expect("its beginning");
    }
}

async fn fetch(db: &Db, org: OrgId, plan: &Plan) -> Tiles {
    let wanted = plan.tiles();
    let found = db.tiles(org, wanted.clone()).await.expect("tiles");
    let mut tiles = Tiles::default();
    for (tile, bytes) in wanted.iter().zip(found) {
        tiles.insert(tile.level(), tile.number(), bytes);
    }
    tiles
}

pub(crate) async fn edge_of_a_trail_that_grew_faster_than_its_tiles_is_there(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    // More than is read without tiles.
    let count = 65_536 + 256;
    for _ in 0..8 {
        append(&db, entries(org, count / 8)).await;
    }
    let size = number(count);
    let then = db.frontier_at(org, size).await.expect("a frontier");
    assert_eq!(then, db.frontier(org).await.expect("a frontier"));
}

pub(crate) async fn what_a_tree_does_not_have_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    append(&db, entries(org, 300)).await;
    // One is wider than that of the tree, and the others are not in it.
    for (level, number, size) in [(0, 1, 301), (0, 2, 513), (1, 0, 512), (2, 0, 65_536)] {
        let tile = Tile::of_tree(level, number, size).expect("a tile");
        let error = db.tiles(org, vec![tile]).await.err();
        assert_error!(error, Some(StoreError::NotFound("tile")));
    }
    assert_error!(
        db.leaves(org, 299..301).await.err(),
        Some(StoreError::NotFound("tile"))
    );
    assert_error!(
        db.leaves(org, 0..LEAVES_MAX + 1).await.err(),
        Some(StoreError::NotFound(_))
    );
    assert_error!(
        db.frontier_at(org, 301).await.err(),
        Some(StoreError::NotFound("tile"))
    );
    let stranger = id::<OrgKind>();
    assert_error!(
        db.frontier(stranger).await.err(),
        Some(StoreError::NotFound("org"))
    );
}

/// Takes the schema back to where it was before there were trees.
const BEFORE_TREES: &str = "
    drop table audit_sink_trails;
    drop table audit_sinks;
    drop table audit_dropped;
    drop table key_habits;
    drop table audit_anchors;
    drop table audit_checkpoints;
    drop table audit_tiles;
    drop table audit_tile_heads;
    alter table ledgers drop column peaks;
    delete from refinery_schema_history where version >= 6;
";

pub(crate) async fn trail_from_before_gets_its_tree_when_it_is_opened(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    append_unevenly(&db, one, 9000).await;
    append(&db, entries(other, 256)).await;
    let empty = other_org(&db).await;
    let before = [leaves_of(&db, one).await, leaves_of(&db, other).await];
    let db = bed.patch(db, BEFORE_TREES).await;
    for (org, leaves) in [one, other].into_iter().zip(&before) {
        assert_eq!(&expect_tree(&db, org).await, leaves);
    }
    assert!(
        !db.derive_tiles().await.expect("asked"),
        "they were made on the way"
    );
    expect_tiles(&db, one, &before[0]).await;
    append(
        &db,
        [entries(one, 3), entries(other, 2), entries(empty, 1)].concat(),
    )
    .await;
    for org in [one, other, empty] {
        expect_tree(&db, org).await;
    }
    // A start that was cut short goes on where it was.
    let cut = "update ledgers set peaks = null;
        update audit_tile_heads set tiles = 7 where tiles > 7;
        delete from audit_tiles where level = 0 and number >= 7;
        update audit_tiles set hashes = substr(hashes, 1, 7 * 32) where level = 1";
    let db = bed.patch(db, cut).await;
    let leaves = expect_tree(&db, one).await;
    expect_tiles(&db, one, &leaves).await;
    let db = bed.patch(db, "update ledgers set peaks = null").await;
    assert_eq!(expect_tree(&db, one).await, leaves);
    append(&db, entries(one, 1)).await;
    expect_tree(&db, one).await;
}

pub(crate) async fn trail_with_a_missing_record_has_no_tiles_and_others_have(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    append(&db, entries(org, 100)).await;
    append(&db, entries(org, 600)).await;
    append(&db, entries(other, 300)).await;
    let gone = format!("delete from audit_runs where first_seq = 1 and org = '{org}'");
    let db = bed.patch(db, &gone).await;
    // It is the furthest behind, so it comes first; and not again.
    let error = db.derive_tiles().await.err();
    assert_error!(error, Some(StoreError::Corrupt { .. }));
    assert_eq!(derive_all(&db).await, 1);
    assert_eq!(db.leaves(other, 0..256).await.expect("leaves").len(), 256);
    let error = db.leaves(org, 0..10).await.err();
    assert_error!(error, Some(StoreError::Corrupt { .. }));
}
