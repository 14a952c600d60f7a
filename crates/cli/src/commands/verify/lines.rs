//! An export with a record per line, and what may lie beside it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use claviger_core::ledger::{
    note::NOTE_BYTES_MAX,
    tree::{
        HASH_BYTES,
        tile::{RECORD_BYTES_MAX, TILE_WIDTH},
    },
};

use super::{
    Check, ReadTile, Trouble,
    export::Bodiless,
    files::{self, Line, unreadable},
    pace::Pace,
};
use crate::{commands::log_files, error::Failure};

/// How much of the file is in memory at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// As much of a line is hashed. What is longer than a record is none, and its beginning tells as much.
const LINE_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

/// A file, or standard input.
pub(super) struct Lines {
    path: Option<PathBuf>,
}

impl Lines {
    pub(super) const fn of_stdin() -> Self {
        Self { path: None }
    }

    pub(super) fn of_file(path: &Path) -> Self {
        let path = Some(path.to_owned());
        Self { path }
    }

    /// The file with this ending behind its name.
    fn beside(&self, ending: &str) -> Option<PathBuf> {
        let mut name = self.path.as_ref()?.as_os_str().to_owned();
        name.push(ending);
        Some(name.into())
    }

    pub(super) fn checkpoint(&self) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let Some(path) = self.beside(".checkpoint") else {
            return Ok(None);
        };
        let max = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
        let found = files::find_beside(&path, max)?;
        Ok(found.map(|note| (path.display().to_string(), note)))
    }

    /// The hashes of the leaves stand one after the other, as if tiles were put together.
    pub(super) fn tiles(&self, trouble: &Trouble) -> Result<ReadTile, Failure> {
        let Some(path) = self.beside(".hashes") else {
            return Ok(Box::new(|_level, _number| None));
        };
        let name = path.display().to_string();
        let mut file = match log_files::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Box::new(|_level, _number| None));
            }
            Err(error) => return Err(unreadable(&name, &error)),
        };
        let trouble = Trouble::clone(trouble);
        Ok(Box::new(move |level, number| {
            if level > 0 {
                return None;
            }
            let read = read_tile(&mut file, number);
            read.map_err(|error| {
                let mut trouble = trouble.borrow_mut();
                trouble.get_or_insert(unreadable(&name, &error));
            })
            .ok()
        }))
    }

    pub(super) fn feed(&self, check: &mut Check, pace: &mut Pace<'_>) -> Result<Bodiless, Failure> {
        let Some(path) = &self.path else {
            let read = feed(&mut io::stdin().lock(), check, pace);
            return read.map_err(|error| unreadable("standard input", &error));
        };
        let read = File::open(path).and_then(|file| {
            let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
            feed(&mut input, check, pace)
        });
        read.map_err(|error| unreadable(&path.display().to_string(), &error))
    }
}

fn feed(input: &mut impl BufRead, check: &mut Check, pace: &mut Pace<'_>) -> io::Result<Bodiless> {
    let max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    while files::next_line(input, &mut line, max)? != Line::None {
        check.record(&line);
        pace.step();
    }
    Ok(Bodiless::new())
}

/// As many hashes of a tile as the file has.
fn read_tile(file: &mut File, number: u64) -> io::Result<Vec<u8>> {
    let bytes = u64::try_from(usize::from(TILE_WIDTH) * HASH_BYTES).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(number.saturating_mul(bytes)))?;
    let mut tile = Vec::new();
    file.by_ref().take(bytes).read_to_end(&mut tile)?;
    Ok(tile)
}
