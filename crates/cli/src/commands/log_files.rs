//! The files of a log (C2SP tlog-tiles) in a folder that somebody else may have made: regular files alone,
//! and nothing below a link. Who is led elsewhere, or waits for a pipe, has been deceived.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path},
};

use claviger_core::ledger::tree::{
    HASH_BYTES,
    tile::{RECORD_BYTES_MAX, Resource, TILE_LEVEL_MAX},
};

/// The longest bundle: every record as long as it can be, after its length in two bytes.
pub(super) const BUNDLE_BYTES_MAX: usize = (RECORD_BYTES_MAX + 2) * 256;
/// The longest tile of hashes.
pub(super) const TILE_BYTES_MAX: usize = 256 * HASH_BYTES;
/// As many groups of three digits stand before the last of a number of 64 bits.
const GROUPS_MAX: usize = 6;

/// Opens a regular file, wherever links lead.
///
/// # Errors
/// Also if something else than a regular file is there: nobody waits for it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(path, libc::O_NONBLOCK)
}

fn open_with(path: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path)?;
    // The type is that of what was opened, which nobody can change any more.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Opens a regular file below a folder; `None` if it is not there.
///
/// # Errors
/// Also if it is something else, or there is a link on the way.
pub(super) fn open_below(root: &Path, name: &str) -> io::Result<Option<File>> {
    if !check_parents(root, name)? {
        return Ok(None);
    }
    match open_with(&root.join(name), libc::O_NONBLOCK | libc::O_NOFOLLOW) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(link()),
        Err(error) => Err(error),
    }
}

/// A file below a folder; `None` if it is not there.
///
/// # Errors
/// As [`open_below`]; also if it has more than `bytes_max` bytes.
pub(super) fn read_below(root: &Path, name: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_below(root, name)? else {
        return Ok(None);
    };
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let reason = format!("it has more than {bytes_max} bytes: it is not what its name says");
        return Err(io::Error::other(reason));
    }
    Ok(Some(bytes))
}

/// Makes the folders on the way to a file.
///
/// # Errors
/// Also if one of them is a link, or something else.
pub(super) fn make_parents(root: &Path, name: &str) -> io::Result<()> {
    if !check_parents(root, name)? {
        let parent = root.join(name);
        fs::create_dir_all(parent.parent().unwrap_or(root))?;
    }
    Ok(())
}

/// Whether all folders on the way to a file are there.
fn check_parents(root: &Path, name: &str) -> io::Result<bool> {
    let parents = Path::new(name).parent().into_iter();
    let mut path = root.to_owned();
    for part in parents.flat_map(Path::components) {
        if !matches!(part, Component::Normal(_)) {
            return Err(io::Error::other("it leads out of the folder"));
        }
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() => return Err(link()),
            Ok(_) => return Err(ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn link() -> io::Error {
    io::Error::other("there is a link, and none is followed within a log")
}

/// The folders with bundles.
pub(super) fn bundle_roots() -> impl Iterator<Item = String> {
    std::iter::once("tile/entries".to_owned())
}

/// The folders with tiles of hashes, level by level.
pub(super) fn tile_roots() -> impl Iterator<Item = String> {
    (0..=TILE_LEVEL_MAX).map(|level| format!("tile/{level}"))
}

/// Visits whatever below a folder has the name of a tile or a bundle. Other names are not looked at, and
/// only folders that the layout has are entered: `xNNN` and `NNN.p`.
///
/// # Errors
/// The name of a folder that cannot be read or is a link, and why.
pub(super) fn visit(
    root: &Path,
    below: &str,
    take: &mut impl FnMut(Resource),
) -> Result<(), (String, io::Error)> {
    enter(root, (below, Some(GROUPS_MAX)), take)
}

/// `groups`: how many more may be entered; `None` within `NNN.p`, below which is no folder.
fn enter(
    root: &Path,
    (below, groups): (&str, Option<usize>),
    take: &mut impl FnMut(Resource),
) -> Result<(), (String, io::Error)> {
    let failed = |error| (below.to_owned(), error);
    // As if for a file in it.
    if !check_parents(root, &format!("{below}/000")).map_err(failed)? {
        return Ok(());
    }
    for entry in root.join(below).read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(part) = name.to_str() else {
            continue;
        };
        let name = format!("{below}/{part}");
        let deeper = groups.and_then(|groups| groups.checked_sub(1));
        if let Some(resource) = Resource::parse(&name) {
            take(resource);
        } else if is_group(part) && deeper.is_some() {
            enter(root, (&name, deeper), take)?;
        } else if is_partial(part) && groups.is_some() {
            enter(root, (&name, None), take)?;
        }
    }
    Ok(())
}

fn is_group(part: &str) -> bool {
    part.strip_prefix('x').is_some_and(is_three_digits)
}

fn is_partial(part: &str) -> bool {
    part.strip_suffix(".p").is_some_and(is_three_digits)
}

fn is_three_digits(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}
