//! A folder on the disk, of which every file is whole or not there.

use std::{fmt, io::Write as _, path::Path};

use claviger_core::ledger::{
    note::VerifierKey,
    tree::tile::{Bundle, Resource, TILE_LEVEL_MAX, TILE_WIDTH, Tile},
};

use crate::error::Failure;

/// The file with the public keys, one a line.
const KEYS: &str = "key";

/// A folder, by its path.
pub(super) struct Folder<'a> {
    path: &'a Path,
}

impl fmt::Display for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.path.display(), f)
    }
}

impl<'a> Folder<'a> {
    pub(super) const fn new(path: &'a Path) -> Self {
        Self { path }
    }

    fn failed(&self, doing: &str, name: &str, error: &std::io::Error) -> Failure {
        let path = self.path.join(name);
        Failure::Local(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// The failure for a file that is there and is not what it should be.
    pub(super) fn broken(&self, name: &str, why: &str) -> Failure {
        let path = self.path.join(name);
        Failure::Local(format!(
            "{} is not what an export has written: {why}; export into another folder",
            path.display()
        ))
    }

    /// A file; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", name, &error)),
        }
    }

    /// Writes beside the file, to the disk, and renames.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        let parent = path.parent().unwrap_or(self.path);
        let written = std::fs::create_dir_all(parent).and_then(|()| {
            let mut builder = tempfile::Builder::new();
            let mut file = builder.prefix(".claviger-export-").tempfile_in(parent)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        });
        written
            .map(drop)
            .map_err(|error| self.failed("write", name, &error))
    }

    /// The keys by which the folder is known to be signed; none for a new one.
    pub(super) fn keys(&self) -> Result<Vec<VerifierKey>, Failure> {
        let text = self.read(KEYS)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let keys = text.lines().map(str::parse);
        keys.collect::<Result<_, _>>()
            .map_err(|error: claviger_core::ledger::note::NoteError| {
                self.broken(KEYS, &error.to_string())
            })
    }

    /// Keeps the keys, where they are others than before.
    pub(super) fn write_keys(&self, keys: &[VerifierKey]) -> Result<(), Failure> {
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        if self.read(KEYS)?.is_some_and(|old| old == lines.as_bytes()) {
            return Ok(());
        }
        self.write(KEYS, lines.as_bytes())
    }

    /// Removes what was not full in the tree of before and is fuller now.
    pub(super) fn remove_partial(&self, before: u64, now: u64) -> Result<(), Failure> {
        let kept = partial(now);
        for name in partial(before).iter().filter(|name| !kept.contains(name)) {
            let path = self.path.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed("remove", name, &error)),
            }
            // It stays if another width of the same tile is in it.
            path.parent().map(std::fs::remove_dir);
        }
        Ok(())
    }
}

/// The names of what is not full in the tree of so many records.
fn partial(size: u64) -> Vec<String> {
    let tiles = (0..=TILE_LEVEL_MAX).filter_map(|level| {
        let number = (size >> (8 * level)) / u64::from(TILE_WIDTH);
        Tile::of_tree(level, number, size).map(Resource::Tile)
    });
    let bundle = Bundle::of_tree(size / u64::from(TILE_WIDTH), size).map(Resource::Entries);
    tiles.chain(bundle).map(|part| part.to_string()).collect()
}
