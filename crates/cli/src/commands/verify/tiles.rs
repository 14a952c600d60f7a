//! The tiles of a folder that the records do not need, and other tools do: each has to be of the same tree.
//!
//! The hashes of the leaves are compared with the records, and the roots of blocks with them, by the verifier.
//! Here the levels above are compared with the tiles below, and of each tile its length, and the narrower
//! ones beside it.

use std::path::Path;

use claviger_core::ledger::{
    tree::{
        HASH_BYTES,
        tile::{Resource, TILE_WIDTH, Tile, root_of},
    },
    verify::{Finding, Kind},
};

use super::{
    export::Flaws,
    folder::{bad, find_tile, records_below},
    words::altered_tile,
};
use crate::{
    commands::log_files::{TILE_BYTES_MAX, open_below, read_below, tile_roots, visit},
    error::Failure,
};

/// Adds what is wrong. `known`: what the verifier found, of which nothing is said twice.
pub(super) fn check(path: &Path, known: &[Finding], flaws: &mut Flaws) -> Result<(), Failure> {
    for (level, root) in (0..).zip(tile_roots()) {
        let mut found = Vec::new();
        let seen = visit(path, &root, &mut |resource| {
            // The level is in the path, so there is no other.
            if let Resource::Tile(tile) = resource {
                found.push((tile.number(), tile.width()));
            }
        });
        seen.map_err(|(name, error)| bad(path, &name, &error))?;
        found.sort_unstable();
        for (number, width) in found {
            if let Some(tile) = tile_of(level, number, width) {
                look_at(path, tile, known, flaws)?;
            }
        }
    }
    Ok(())
}

/// The tile with this place and width.
fn tile_of(level: u8, number: u64, width: u16) -> Option<Tile> {
    let hashes = number
        .checked_mul(TILE_WIDTH.into())?
        .checked_add(width.into())?;
    let size = hashes.checked_mul(1_u64.checked_shl(8 * u32::from(level))?)?;
    Tile::of_tree(level, number, size)
}

fn look_at(path: &Path, tile: Tile, known: &[Finding], flaws: &mut Flaws) -> Result<(), Failure> {
    let name = Resource::Tile(tile).to_string();
    let mut add = |place: (u64, u64), why: String| {
        // One piece of a tree is said to be wrong once.
        let is_known =
            |f: &Finding| f.kind == Kind::TilesAltered && f.first <= place.1 && place.0 <= f.last;
        if !known.iter().any(is_known) {
            flaws.add(|| altered_tile(&name, place, &why));
        }
    };
    let all = records_below(tile, 0, tile.width().into());
    let file = open_below(path, &name).map_err(|error| bad(path, &name, &error))?;
    let Some(file) = file else {
        return Ok(());
    };
    let length = file
        .metadata()
        .map_err(|error| bad(path, &name, &error))?
        .len();
    if u64::try_from(tile.bytes()).is_ok_and(|bytes| bytes != length) {
        add(
            all,
            format!("it has {length} bytes, and by its name {}", tile.bytes()),
        );
        return Ok(());
    }
    if tile.is_full() && tile.level() < 2 {
        return Ok(());
    }
    let bytes = read_below(path, &name, TILE_BYTES_MAX);
    let bytes = bytes
        .map_err(|error| bad(path, &name, &error))?
        .unwrap_or_default();
    let widest = find_tile(path, tile.level(), tile.number())?;
    let wider = widest.filter(|(widest, _)| *widest != tile);
    if let Some((wider, wide)) = wider {
        if !wide.starts_with(&bytes) {
            add(
                all,
                format!("it is not the beginning of {}", Resource::Tile(wider)),
            );
        }
        return Ok(());
    }
    let Some(below) = tile.level().checked_sub(1).filter(|below| *below > 0) else {
        return Ok(());
    };
    for (at, hash) in (0..).zip(bytes.chunks_exact(HASH_BYTES)) {
        let number = tile
            .number()
            .saturating_mul(TILE_WIDTH.into())
            .saturating_add(at);
        let Some((child, hashes)) = find_tile(path, below, number)? else {
            continue;
        };
        let is_whole = child.is_full() && hashes.len() == child.bytes();
        if is_whole && root_of(&hashes).is_some_and(|root| root.as_bytes() != hash) {
            let why = format!("its hash {at} is not the root of {}", Resource::Tile(child));
            add(records_below(tile, at, 1), why);
        }
    }
    Ok(())
}
