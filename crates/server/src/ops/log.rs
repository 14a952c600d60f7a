//! The audit trail as a log that outsiders verify: checkpoints, tiles, bundles of records, proofs.

use claviger_core::{
    action::ReadAudit,
    authorize::Permit,
    denial::Denial,
    id::OrgId,
    ledger::{
        note::VerifierKey,
        tree::{
            Hash,
            proof::{Plan, ProofError, Subtrees as _, Tiles},
            tile::{Bundle, Subtree, Tile, push_record},
        },
    },
};
use claviger_store::{AuditFilter, Checkpoint, Page, Store};

use super::retention;
use crate::{app::App, checkpoints, failure::Failure};

/// Which tree is meant, and what was signed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many records it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note, if one was made of this size.
    pub note: Option<String>,
}

/// That a record is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The hash of its leaf.
    pub leaf: Hash,
    /// The tree.
    pub head: Head,
    /// The proof (RFC 6962, 2.1.1).
    pub proof: Vec<Hash>,
}

/// That a tree is the beginning of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The root of the earlier tree.
    pub from_root: Hash,
    /// The later tree.
    pub head: Head,
    /// The proof (RFC 6962, 2.1.2).
    pub proof: Vec<Hash>,
}

/// The public keys that sign, the current one first. They are no secret of anybody.
#[must_use]
pub fn keys(app: &App, permit: &Permit<ReadAudit>) -> Vec<VerifierKey> {
    app.checkpoints.verifier_keys(permit.org())
}

/// A checkpoint that covers every record committed before the request arrived.
///
/// # Errors
/// 403 for a caller that is bound to workspaces: a log is of the whole org; 503.
pub async fn checkpoint(app: &App, permit: &Permit<ReadAudit>) -> Result<Checkpoint, Failure> {
    checkpoints::fresh(app, whole(permit)?).await
}

/// The newest checkpoint that witnesses have signed: it may be behind.
///
/// # Errors
/// As [`checkpoint`]; 404 while there is none.
pub async fn cosigned(app: &App, permit: &Permit<ReadAudit>) -> Result<Checkpoint, Failure> {
    let org = whole(permit)?;
    let found = app.anchors.cosigned(&*app.store, org).await?;
    found.ok_or(Failure::NotFound("checkpoint that a witness has signed"))
}

/// The bytes of a tile of hashes.
///
/// # Errors
/// As [`checkpoint`]; 404 for one that the tree does not have.
pub async fn tile(app: &App, permit: &Permit<ReadAudit>, tile: Tile) -> Result<Vec<u8>, Failure> {
    let found = app.store.tiles(whole(permit)?, vec![tile]).await?;
    found.into_iter().next().ok_or(Failure::NotFound("tile"))
}

/// The bytes of a bundle of records: each with its length before it.
///
/// # Errors
/// As [`checkpoint`]; 404 for one that has more records than there are, 410 for one whose records were
/// dropped.
pub async fn entries(
    app: &App,
    permit: &Permit<ReadAudit>,
    bundle: Bundle,
) -> Result<Vec<u8>, Failure> {
    let org = whole(permit)?;
    let mut bytes = Vec::new();
    let mut after = bundle.first_leaf();
    retention::expect_body(app, org, after + 1).await?;
    let end = after.saturating_add(bundle.width().into());
    while after < end {
        let page = Page {
            after: Some(after),
            limit: u32::try_from(end - after).unwrap_or(u32::MAX),
        };
        let place = app.scan_place().await?;
        let filter = AuditFilter::default();
        let found = app.store.export_audit(org, filter, page).await?;
        drop(place);
        if found.rows.first().is_none_or(|row| row.seq != after + 1) {
            // It may have gone meanwhile.
            retention::expect_body(app, org, after + 1).await?;
            return Err(Failure::NotFound("tile"));
        }
        for row in found.rows {
            after = row.seq;
            push_record(&mut bytes, &row.bytes)
                .ok_or_else(|| Failure::Internal(format!("record {after} is too long")))?;
        }
    }
    Ok(bytes)
}

/// The proof that a record is in the tree of so many records, or of all there are.
///
/// # Errors
/// As [`checkpoint`]; 422 for what is out of range.
pub async fn inclusion(
    app: &App,
    permit: &Permit<ReadAudit>,
    seq: u64,
    size: Option<u64>,
) -> Result<Inclusion, Failure> {
    let org = whole(permit)?;
    let (size, note) = sized(app, org, ("size", size)).await?;
    let plan = seq.checked_sub(1).map(|index| Plan::inclusion(index, size));
    let Some(Ok(plan)) = plan else {
        let reason = if size == 0 {
            "must be a record of the tree, and this tree has none".to_owned()
        } else {
            format!("must be 1 to {size}: the tree has no other record")
        };
        return Err(Failure::out_of_range("seq", reason));
    };
    let root = Plan::root(size);
    let leaf = Subtree::leaf(seq - 1);
    let wanted = plan.subtrees().chain(root.subtrees()).chain([leaf]);
    let tiles = fetch(&*app.store, org, (wanted, size)).await?;
    let missing = ProofError::Missing(leaf);
    let leaf = tiles.hash(leaf).ok_or_else(|| broken(missing))?;
    let proof = plan.make(&tiles).map_err(broken)?;
    let root = one(&root, &tiles)?;
    let head = Head { size, root, note };
    Ok(Inclusion { leaf, head, proof })
}

/// The proof that the tree of `from` records is the beginning of the one of `to`, or of all there are.
///
/// # Errors
/// As [`checkpoint`]; 422 for what is out of range.
pub async fn consistency(
    app: &App,
    permit: &Permit<ReadAudit>,
    from: u64,
    to: Option<u64>,
) -> Result<Consistency, Failure> {
    let org = whole(permit)?;
    let (size, note) = sized(app, org, ("to", to)).await?;
    if from > size {
        let reason = format!("must be at most {size}, the size of the later tree");
        return Err(Failure::out_of_range("from", reason));
    }
    let growth = growth(&*app.store, org, (from, size)).await?;
    let (from_root, proof, root) = (growth.from_root, growth.proof, growth.root);
    let head = Head { size, root, note };
    Ok(Consistency {
        from_root,
        head,
        proof,
    })
}

/// That the tree of some records is the beginning of that of more.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) from_root: Hash,
    pub(crate) root: Hash,
    pub(crate) proof: Vec<Hash>,
}

/// The proof that a tree only grew from one size to another.
///
/// # Errors
/// 500 for a tree that did not grow, 503.
pub(crate) async fn growth(
    store: &dyn Store,
    org: OrgId,
    (from, to): (u64, u64),
) -> Result<Growth, Failure> {
    let plan = Plan::consistency(from, to).map_err(broken)?;
    let (before, after) = (Plan::root(from), Plan::root(to));
    let wanted = plan.subtrees().chain(before.subtrees());
    let tiles = fetch(store, org, (wanted.chain(after.subtrees()), to)).await?;
    Ok(Growth {
        from_root: one(&before, &tiles)?,
        root: one(&after, &tiles)?,
        proof: plan.make(&tiles).map_err(broken)?,
    })
}

/// The org of a caller that may read all of its trail.
pub(super) fn whole(permit: &Permit<ReadAudit>) -> Result<OrgId, Failure> {
    if permit.is_unbound() {
        Ok(permit.org())
    } else {
        Err(Denial::OutsideWorkspaces.into())
    }
}

/// How many records are meant, and the note over them: that of a fresh checkpoint if nobody says.
async fn sized(
    app: &App,
    org: OrgId,
    (field, asked): (&str, Option<u64>),
) -> Result<(u64, Option<String>), Failure> {
    let Some(size) = asked else {
        let fresh = checkpoints::fresh(app, org).await?;
        return Ok((fresh.size, Some(fresh.note)));
    };
    let records = app.store.frontier(org).await?.size();
    if size > records {
        let reason = format!("must be at most {records}: the trail has no more records");
        return Err(Failure::out_of_range(field, reason));
    }
    let page = Page {
        after: size.checked_sub(1),
        limit: 1,
    };
    let kept = app.store.list_checkpoints(org, page).await?;
    let kept = kept.into_iter().find(|kept| kept.size == size);
    Ok((size, kept.map(|kept| kept.note)))
}

/// The tiles that have these subtrees of the tree of so many records.
async fn fetch(
    store: &dyn Store,
    org: OrgId,
    (subtrees, size): (impl Iterator<Item = Subtree>, u64),
) -> Result<Tiles, Failure> {
    let mut wanted: Vec<Tile> = subtrees.filter_map(|tree| tree.tile(size)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut tiles = Tiles::default();
    if wanted.is_empty() {
        return Ok(tiles);
    }
    let found = store.tiles(org, wanted.clone()).await?;
    for (tile, hashes) in wanted.into_iter().zip(found) {
        tiles.insert(tile.level(), tile.number(), hashes);
    }
    Ok(tiles)
}

/// The one hash of a plan for a root.
fn one(root: &Plan, tiles: &Tiles) -> Result<Hash, Failure> {
    let made = root.make(tiles).map_err(broken)?;
    let hash = made.into_iter().next();
    hash.ok_or_else(|| Failure::Internal("a tree without a root".to_owned()))
}

/// The store gave fewer hashes than the tree has.
fn broken(error: ProofError) -> Failure {
    Failure::Internal(error.to_string())
}
