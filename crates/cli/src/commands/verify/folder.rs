//! An export in the layout of C2SP tlog-tiles: a folder with a checkpoint, tiles of hashes, and bundles of
//! records.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use claviger_core::ledger::{
    note::NOTE_BYTES_MAX,
    tree::tile::{Bundle, Resource, TILE_WIDTH, Tile, records},
    verify::Finding,
};

use super::{
    Check, ReadTile, Trouble,
    export::{Bodiless, Flaws},
    files::unreadable,
    pace::Pace,
    tiles,
    words::malformed_bundle,
};
use crate::{
    commands::log_files::{BUNDLE_BYTES_MAX, TILE_BYTES_MAX, bundle_roots, read_below, visit},
    error::Failure,
};

/// A folder, and which bundles are in it.
pub(super) struct Folder {
    path: PathBuf,
    /// The widest of each number.
    bundles: BTreeMap<u64, u16>,
    /// Others of the same number, which other tools may read.
    narrower: Vec<(u64, u16)>,
}

/// The failure for a file of a folder.
pub(super) fn bad(path: &Path, name: &str, error: &io::Error) -> Failure {
    unreadable(&path.join(name).display().to_string(), error)
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
            narrower: Vec::new(),
        };
        let name = path.display();
        if path.join("tile").symlink_metadata().is_err() {
            return Err(Failure::Unreadable(format!(
                "{name} has no folder `tile`: it is not the export of a log; for a folder of another \
                 form, give the file with the records"
            )));
        }
        for root in bundle_roots() {
            let seen = visit(path, &root, &mut |resource| folder.note(resource));
            seen.map_err(|(name, error)| bad(path, &name, &error))?;
        }
        Ok(folder)
    }

    fn note(&mut self, resource: Resource) {
        let Resource::Entries(bundle) = resource else {
            return;
        };
        let (number, width) = (bundle.number(), bundle.width());
        let widest = self.bundles.entry(number).or_default();
        let narrower = width.min(*widest);
        *widest = width.max(*widest);
        if narrower > 0 {
            self.narrower.push((number, narrower));
        }
    }

    fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Failure> {
        read_below(&self.path, name, bytes_max).map_err(|error| bad(&self.path, name, &error))
    }

    pub(super) fn checkpoint(&self) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let name = Resource::Checkpoint.to_string();
        let found = self.read(&name, NOTE_BYTES_MAX)?;
        let path = self.path.join(name);
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
                .map(|(_, bytes)| bytes)
        })
    }

    /// What is wrong with tiles that nothing here relies on.
    pub(super) fn check_tiles(&self, known: &[Finding], flaws: &mut Flaws) -> Result<(), Failure> {
        tiles::check(&self.path, known, flaws)
    }

    pub(super) fn feed(
        &self,
        (check, pace): (&mut Check, &mut Pace<'_>),
        flaws: &mut Flaws,
    ) -> Result<Bodiless, Failure> {
        let mut bodiless = Bodiless::new();
        let mut next = 0;
        for (number, width) in &self.bundles {
            if next < *number {
                let gap = (next * 256 + 1, *number * 256);
                check.dropped(gap.0, gap.1);
                bodiless.push(gap);
            }
            next = number.saturating_add(1);
            let Some((name, bytes)) = self.bundle(*number, *width)? else {
                continue;
            };
            // All that can be told apart is taken, also where there should be less: so what does not belong
            // there is named. What stands behind a record that is broken cannot be told apart.
            for record in records(&bytes).map_while(Result::ok) {
                check.record(record);
                pace.step();
            }
            if let Some((count, why)) = flaw(&bytes, *width) {
                let place = number * 256 + u64::from(count.min(width - 1)) + 1;
                flaws.add(|| malformed_bundle(&name, place, &why));
            }
        }
        self.compare_narrower(flaws)?;
        Ok(bodiless)
    }

    /// A bundle with its name.
    fn bundle(&self, number: u64, width: u16) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let size = number.saturating_mul(256).saturating_add(width.into());
        let Some(bundle) = Bundle::of_tree(number, size) else {
            return Ok(None);
        };
        let name = Resource::Entries(bundle).to_string();
        let bytes = self.read(&name, BUNDLE_BYTES_MAX)?;
        Ok(bytes.map(|bytes| (name, bytes)))
    }

    /// Each that is beside a wider one has to be its beginning.
    fn compare_narrower(&self, flaws: &mut Flaws) -> Result<(), Failure> {
        for (number, width) in &self.narrower {
            let widest = self.bundles.get(number).copied().unwrap_or_default();
            let wide = self.bundle(*number, widest)?;
            let Some(((name, bytes), (wider, wide))) = self.bundle(*number, *width)?.zip(wide)
            else {
                continue;
            };
            if flaw(&bytes, *width).is_some() || !wide.starts_with(&bytes) {
                let why = format!("it is not the beginning of {wider}");
                flaws.add(|| malformed_bundle(&name, number * 256 + 1, &why));
            }
        }
        Ok(())
    }
}

/// What is wrong with a bundle of so many records: how many are whole, and the words.
fn flaw(bytes: &[u8], width: u16) -> Option<(u16, String)> {
    let all = records(bytes).count();
    let whole = records(bytes).map_while(Result::ok).count();
    let count = u16::try_from(whole).unwrap_or(u16::MAX);
    if whole < all {
        let why = format!("behind {whole} records it has bytes that are no record");
        Some((count, why))
    } else if count == width {
        None
    } else {
        let why = format!("it has {whole} records, and by its name {width}");
        Some((count, why))
    }
}

/// The full tile, or the widest that is there.
pub(super) fn find_tile(
    path: &Path,
    level: u8,
    number: u64,
) -> Result<Option<(Tile, Vec<u8>)>, Failure> {
    let Some(full) = Tile::of_tree(level, number, u64::MAX).filter(|tile| tile.is_full()) else {
        return Ok(None);
    };
    let name = Resource::Tile(full).to_string();
    let read = |name: &str| {
        read_below(path, name, TILE_BYTES_MAX).map_err(|error| bad(path, name, &error))
    };
    if let Some(bytes) = read(&name)? {
        return Ok(Some((full, bytes)));
    }
    let mut widest: Option<Tile> = None;
    let seen = visit(path, &format!("{name}.p"), &mut |resource| {
        if let Resource::Tile(tile) = resource
            && widest.is_none_or(|known| known.width() < tile.width())
        {
            widest = Some(tile);
        }
    });
    seen.map_err(|(name, error)| bad(path, &name, &error))?;
    let Some(tile) = widest else {
        return Ok(None);
    };
    let bytes = read(&Resource::Tile(tile).to_string())?;
    Ok(bytes.map(|bytes| (tile, bytes)))
}

/// The records that are below so many hashes of a tile: the numbers of the first and the last.
pub(super) fn records_below(tile: Tile, first: u64, hashes: u64) -> (u64, u64) {
    let each = 1_u64
        .checked_shl(8 * u32::from(tile.level()))
        .unwrap_or(u64::MAX);
    let begin = tile.number().saturating_mul(TILE_WIDTH.into());
    let begin = begin.saturating_add(first);
    let end = begin.saturating_add(hashes).saturating_mul(each);
    (begin.saturating_mul(each).saturating_add(1), end)
}
