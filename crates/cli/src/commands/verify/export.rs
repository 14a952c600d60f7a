//! The forms of an export.

use std::path::Path;

use claviger_core::ledger::verify::{FINDINGS_MAX, Finding};

use super::{
    Check, ReadTile, Trouble, files::unreadable, folder::Folder, lines::Lines, pace::Pace,
    words::Found,
};
use crate::error::Failure;

/// Records without bodies: the numbers of the first and the last.
pub(super) type Bodiless = Vec<(u64, u64)>;

/// What is wrong with files, as many as a report has room for.
#[derive(Default)]
pub(super) struct Flaws {
    pub(super) found: Vec<Found>,
    /// How many more there were.
    pub(super) more: u64,
}

impl Flaws {
    pub(super) fn add(&mut self, found: impl FnOnce() -> Found) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push(found());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// An export, by its form.
pub(super) enum Export {
    /// A record per line.
    Lines(Lines),
    /// The layout of C2SP tlog-tiles.
    Folder(Folder),
}

impl Export {
    /// Finds out what it is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Lines(Lines::of_stdin()));
        }
        let found = std::fs::metadata(path);
        let found = found.map_err(|error| unreadable(&path.display().to_string(), &error))?;
        if found.is_dir() {
            Folder::open(path).map(Self::Folder)
        } else {
            Ok(Self::Lines(Lines::of_file(path)))
        }
    }

    /// The checkpoint that comes with it: the name of the file, and the note.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub(super) fn checkpoint(&self) -> Result<Option<(String, Vec<u8>)>, Failure> {
        match self {
            Self::Lines(lines) => lines.checkpoint(),
            Self::Folder(folder) => folder.checkpoint(),
        }
    }

    /// The hashes that come with it, which are read as they are asked for.
    ///
    /// # Errors
    /// If they are there and cannot be read.
    pub(super) fn tiles(&self, trouble: &Trouble) -> Result<ReadTile, Failure> {
        match self {
            Self::Lines(lines) => lines.tiles(trouble),
            Self::Folder(folder) => Ok(folder.tiles(trouble)),
        }
    }

    /// Gives the records to the verifier, and says which have no body between others that have one.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn feed(
        &self,
        (check, pace): (&mut Check, &mut Pace<'_>),
        flaws: &mut Flaws,
    ) -> Result<Bodiless, Failure> {
        match self {
            Self::Lines(lines) => lines.feed(check, pace),
            Self::Folder(folder) => folder.feed((check, pace), flaws),
        }
    }

    /// What is wrong with hashes that the verifier, which found what is `known`, did not rely on.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn check_tiles(&self, known: &[Finding], flaws: &mut Flaws) -> Result<(), Failure> {
        match self {
            Self::Lines(_) => Ok(()),
            Self::Folder(folder) => folder.check_tiles(known, flaws),
        }
    }
}
