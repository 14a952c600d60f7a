//! A folder on the disk, of which every file is whole or not there.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use claviger_core::ledger::{
    note::VerifierKey,
    tree::tile::{Bundle, Resource, Tile},
};

use crate::{
    commands::log_files::{
        BUNDLE_BYTES_MAX, bundle_roots, make_parents, read_below, tile_roots, visit,
    },
    error::Failure,
};

/// The file with the public keys, one a line.
const KEYS: &str = "key";
/// The file of which the lock says who writes. It stays: whoever removed it could remove another's.
const LOCK: &str = ".claviger-export.lock";

/// A folder, by its path, for one export alone.
pub(super) struct Folder<'a> {
    path: &'a Path,
    /// The system gives it back, however this process ends.
    _lock: File,
}

impl fmt::Display for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.path.display(), f)
    }
}

impl<'a> Folder<'a> {
    /// Makes it, if it is not there.
    ///
    /// # Errors
    /// If another export writes into it.
    pub(super) fn open(path: &'a Path) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::Local(format!("cannot lock {}: {error}", path.display()));
        std::fs::create_dir_all(path).map_err(failed)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let lock = options.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::Local(format!(
                "another export writes into {}: wait until it has ended, or export into another folder",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn failed(&self, doing: &str, name: &str, error: &io::Error) -> Failure {
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
        let found = read_below(self.path, name, BUNDLE_BYTES_MAX);
        found.map_err(|error| self.failed("read", name, &error))
    }

    /// Writes beside the file, to the disk, and renames.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        let parent = path.parent().unwrap_or(self.path);
        let written = make_parents(self.path, name).and_then(|()| {
            let mut builder = tempfile::Builder::new();
            let mut file = builder.prefix(".claviger-export-").tempfile_in(parent)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // Keys and checkpoint are to be on the disk in the order in which they are written.
            if parent == self.path {
                File::open(parent)?.sync_all()?;
            }
            Ok(())
        });
        written.map_err(|error| self.failed("write", name, &error))
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

    /// Removes what has the name of a tile or a bundle, and is none of the tree of so many records: what
    /// was not full before, and what an interrupted export has left. Bundles of the first records, up to
    /// `dropped`, stay: nobody else may have them any more.
    pub(super) fn remove_others(&self, size: u64, dropped: u64) -> Result<(), Failure> {
        let mut others = Vec::new();
        for root in tile_roots().chain(bundle_roots()) {
            let seen = visit(self.path, &root, &mut |resource| {
                if !is_of_tree(resource, size) && !is_relic(resource, dropped) {
                    others.push(resource.to_string());
                }
            });
            seen.map_err(|(name, error)| self.failed("read", &name, &error))?;
        }
        for name in others {
            let path = self.path.join(&name);
            std::fs::remove_file(&path).map_err(|error| self.failed("remove", &name, &error))?;
            // A folder stays if something else is in it.
            let mut parents = path.ancestors().skip(1);
            while parents
                .next()
                .is_some_and(|parent| std::fs::remove_dir(parent).is_ok())
            {}
        }
        Ok(())
    }
}

fn is_relic(resource: Resource, dropped: u64) -> bool {
    matches!(resource, Resource::Entries(bundle) if bundle.first_leaf() < dropped)
}

fn is_of_tree(resource: Resource, size: u64) -> bool {
    match resource {
        Resource::Checkpoint => true,
        Resource::Tile(tile) => Tile::of_tree(tile.level(), tile.number(), size) == Some(tile),
        Resource::Entries(bundle) => Bundle::of_tree(bundle.number(), size) == Some(bundle),
    }
}
