//! Files that are read whole, and what is said when they cannot be.

use std::{
    fs::File,
    io::{self, BufRead, Read as _},
    path::Path,
};

use crate::{commands::log_files, error::Failure};

/// The failure for what is there and cannot be read.
pub(super) fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::Unreadable(format!("cannot read {name}: {error}"))
}

/// A file that the caller named; `None` if it is not there.
///
/// # Errors
/// If it cannot be read, or has more than `bytes_max` bytes.
pub(super) fn find(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
    read(path, File::open(path), bytes_max)
}

/// The same for a file that lies beside, and that nobody named: only a regular one counts.
///
/// # Errors
/// As [`find`].
pub(super) fn find_beside(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
    read(path, log_files::open(path), bytes_max)
}

fn read(path: &Path, file: io::Result<File>, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
    let name = path.display().to_string();
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&name, &error)),
    };
    let mut bytes = Vec::new();
    let read = file
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&name, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|count| count > bytes_max) {
        return Err(Failure::Unreadable(format!(
            "{name} has more than {bytes_max} bytes: it is not what its name says"
        )));
    }
    Ok(Some(bytes))
}

/// What a line is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It has its line break, which is not among its bytes.
    Whole,
    /// It is longer than asked for: its beginning is there, the rest was passed over.
    TooLong,
    /// The input ends without a line break.
    Last,
    /// The input is over.
    None,
}

/// Reads the next line into `line`, and at most `bytes_max` of it.
///
/// # Errors
/// As the input has them.
pub(super) fn next_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    bytes_max: u64,
) -> io::Result<Line> {
    line.clear();
    let count = input.by_ref().take(bytes_max).read_until(b'\n', line)?;
    if count == 0 {
        return Ok(Line::None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Line::Whole);
    }
    if u64::try_from(count).is_ok_and(|count| count < bytes_max) {
        return Ok(Line::Last);
    }
    input.skip_until(b'\n')?;
    Ok(Line::TooLong)
}

#[cfg(test)]
mod tests {
    use super::{Line, next_line};

    #[test]
    fn lines_are_read_one_after_the_other_and_none_is_kept_whole_that_is_too_long() {
        let mut input = &b"one\n\nthree and more\nfour\nfive"[..];
        let mut line = Vec::new();
        let mut next = || {
            let kind = next_line(&mut input, &mut line, 8).expect("bytes can be read");
            (kind, String::from_utf8_lossy(&line).into_owned())
        };
        let expected = [
            (Line::Whole, "one"),
            (Line::Whole, ""),
            (Line::TooLong, "three an"),
            (Line::Whole, "four"),
            (Line::Last, "five"),
            (Line::None, ""),
        ];
        for (kind, text) in expected {
            assert_eq!(next(), (kind, text.to_owned()));
        }
    }
}
