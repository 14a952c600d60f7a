//! Scans files, directories and standard input.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{Scan, Source};

/// Scans what a path names.
///
/// A path that is given is followed if it is a symbolic link, as `grep -r` does it: an answer of
/// "nothing found" about a directory that was not looked at would be a lie.
pub(super) fn scan(path: &Path, scan: &mut Scan<'_>) {
    if path == Path::new("-") {
        let source = source("-".to_owned());
        if let Err(error) = scan.read(&source, &mut io::stdin().lock()) {
            scan.complain(&format!("cannot read standard input to its end: {error}"));
        }
        return;
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => walk(path, scan),
        // A pipe that somebody names is worth waiting for.
        Ok(_) => {
            if let Err(error) = file(path, scan) {
                complain(path, &error, scan);
            }
        }
        Err(error) => complain(path, &error, scan),
    }
}

/// What waits to be scanned.
enum Waiting {
    Directory(PathBuf),
    File(PathBuf),
}

/// Scans all files below a directory, in the order of their names.
fn walk(top: &Path, scan: &mut Scan<'_>) {
    let mut waiting = vec![Waiting::Directory(top.to_owned())];
    while let Some(next) = waiting.pop() {
        if scan.is_full() {
            return;
        }
        let (path, done) = match &next {
            Waiting::Directory(path) => (path, list(path, &mut waiting, scan)),
            Waiting::File(path) => (path, file(path, scan)),
        };
        match done {
            // Whoever removed it meanwhile did the right thing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != top => {}
            Err(error) => complain(path, &error, scan),
            Ok(()) => {}
        }
    }
}

/// Puts what a directory holds on the stack, so that the first name is taken next.
fn list(directory: &Path, waiting: &mut Vec<Waiting>, scan: &mut Scan<'_>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries.into_iter().rev() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != ".git" => {
                let source = source(scan.shown(&path));
                scan.look_at_name(&entry.file_name().to_string_lossy(), &source);
                waiting.push(Waiting::Directory(path));
            }
            Ok(kind) if kind.is_file() => waiting.push(Waiting::File(path)),
            // Symbolic links lead elsewhere or in circles; pipes and devices may have no end.
            Ok(_) => {}
            // To read it says why, or that it is gone.
            Err(_) => waiting.push(Waiting::File(path)),
        }
    }
    Ok(())
}

fn file(path: &Path, scan: &mut Scan<'_>) -> io::Result<()> {
    let mut input = File::open(path)?;
    let source = source(scan.shown(path));
    if let Some(name) = path.file_name() {
        scan.look_at_name(&name.to_string_lossy(), &source);
    }
    scan.read(&source, &mut input)
}

fn source(file: String) -> Source {
    Source { file, object: None }
}

fn complain(path: &Path, error: &io::Error, scan: &mut Scan<'_>) {
    let sentence = format!("`{}` was not scanned: {error}", scan.shown(path));
    scan.complain(&sentence);
}
