//! An export in the layout of C2SP tlog-tiles: a folder with a checkpoint, tiles of hashes, and bundles of
//! records.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use claviger_core::ledger::{
    note::NOTE_BYTES_MAX,
    tree::{
        HASH_BYTES,
        tile::{Bundle, RECORD_BYTES_MAX, Resource, TILE_WIDTH, Tile, records},
    },
};

use super::{
    Check, ReadTile, Trouble,
    export::Bodiless,
    files::{self, unreadable},
    pace::Pace,
};
use crate::error::Failure;

/// The longest bundle: every record as long as it can be, after its length in two bytes.
const BUNDLE_BYTES_MAX: usize = (RECORD_BYTES_MAX + 2) * 256;

/// As deep can the parts of a number of 64 bits and a width lie.
const DEPTH_MAX: usize = 9;

/// A folder, and which bundles are in it.
pub(super) struct Folder {
    path: PathBuf,
    /// The widest of each number.
    bundles: BTreeMap<u64, u16>,
}

impl Folder {
    /// Finds the bundles: 10 bytes in memory for each 256 records.
    ///
    /// # Errors
    /// If it is no such folder, or cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut folder = Self {
            path: path.to_owned(),
            bundles: BTreeMap::new(),
        };
        let name = path.display();
        if !path.join("tile").is_dir() {
            return Err(Failure::Unreadable(format!(
                "{name} has no folder `tile`: it is not the export of a log; for a folder of another \
                 form, give the file with the records"
            )));
        }
        folder.look_into("tile/entries", DEPTH_MAX)?;
        Ok(folder)
    }

    /// Notes every bundle below a folder. What has another name than a bundle is not looked at.
    fn look_into(&mut self, below: &str, depth: usize) -> Result<(), Failure> {
        let path = self.path.join(below);
        let failed = |error: io::Error| unreadable(&path.display().to_string(), &error);
        let entries = match path.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .map(|name| format!("{below}/{name}"))
            else {
                continue;
            };
            if entry.path().is_dir() {
                if depth > 0 {
                    self.look_into(&name, depth - 1)?;
                }
            } else if let Some(Resource::Entries(bundle)) = Resource::parse(&name) {
                let widest = self.bundles.entry(bundle.number()).or_default();
                *widest = bundle.width().max(*widest);
            }
        }
        Ok(())
    }

    pub(super) fn checkpoint(&self) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let path = self.path.join("checkpoint");
        let max = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
        let found = files::find(&path, max)?;
        Ok(found.map(|note| (path.display().to_string(), note)))
    }

    pub(super) fn tiles(&self, trouble: &Trouble) -> ReadTile {
        let (path, trouble) = (self.path.clone(), Trouble::clone(trouble));
        Box::new(move |level, number| {
            let found = find_tile(&path, level, number);
            found
                .map_err(|failure| {
                    trouble.borrow_mut().get_or_insert(failure);
                })
                .ok()?
        })
    }

    pub(super) fn feed(&self, check: &mut Check, pace: &mut Pace<'_>) -> Result<Bodiless, Failure> {
        let mut bodiless = Bodiless::new();
        let mut next = 0;
        for (number, width) in &self.bundles {
            if next < *number {
                let gap = (next * 256 + 1, *number * 256);
                check.dropped(gap.0, gap.1);
                bodiless.push(gap);
            }
            next = number.saturating_add(1);
            let size = number.saturating_mul(256).saturating_add((*width).into());
            let Some(bundle) = Bundle::of_tree(*number, size) else {
                continue;
            };
            let path = self.path.join(Resource::Entries(bundle).to_string());
            let max = u64::try_from(BUNDLE_BYTES_MAX).unwrap_or(u64::MAX);
            let bytes = files::find(&path, max)?.unwrap_or_default();
            // What stands behind a record that is broken cannot be told apart: the hashes say what it was.
            for record in records(&bytes).map_while(Result::ok) {
                check.record(record);
                pace.step();
            }
        }
        Ok(bodiless)
    }
}

/// The full tile, or the widest that is there.
fn find_tile(path: &Path, level: u8, number: u64) -> Result<Option<Vec<u8>>, Failure> {
    let Some(tile) = Tile::of_tree(level, number, u64::MAX) else {
        return Ok(None);
    };
    let name = Resource::Tile(tile).to_string();
    let max = u64::try_from(usize::from(TILE_WIDTH) * HASH_BYTES).unwrap_or(u64::MAX);
    if let Some(bytes) = files::find(&path.join(&name), max)? {
        return Ok(Some(bytes));
    }
    let partial = format!("{name}.p");
    let entries = match path.join(&partial).read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&partial, &error)),
    };
    let widest = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        match Resource::parse(&format!("{partial}/{}", name.to_str()?))? {
            Resource::Tile(tile) => Some(tile.width()),
            Resource::Checkpoint | Resource::Entries(_) => None,
        }
    });
    match widest.max() {
        Some(width) => files::find(&path.join(format!("{partial}/{width}")), max),
        None => Ok(None),
    }
}
