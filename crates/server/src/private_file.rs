//! Files that hold a key: read only where others cannot read them, and written whole or not at all.

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::entropy;

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The operating system does not give it.
    Io(std::io::Error),
    /// Everybody on the machine can read it.
    Exposed,
}

/// Reads a file, and refuses one that others can read.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Unreadable> {
    let mut file = std::fs::File::open(path).map_err(Unreadable::Io)?;
    let mode = file.metadata().map_err(Unreadable::Io)?.permissions();
    if mode.mode() & 0o007 != 0 {
        return Err(Unreadable::Exposed);
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(Unreadable::Io)?;
    Ok(text)
}

/// Makes a file of mode 0600: a temporary one, synced, then linked into place. Fails where the name
/// is taken: of two first starts one wins, and the other has to read what the first has written.
pub(crate) fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = write_beside(path, text)?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    linked?;
    sync_directory(path)
}

/// Puts another text in the place of a file, in one step.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = write_beside(path, text)?;
    if let Err(error) = std::fs::rename(&temporary, path) {
        std::fs::remove_file(&temporary).unwrap_or_default();
        return Err(error);
    }
    sync_directory(path)
}

/// Writes a new file of mode 0600 beside the one that is meant, to the disk.
fn write_beside(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    // A name of its own: two that share one would link into place what the other has written.
    let temporary = with_suffix(path, &format!(".new-{:032x}", entropy::bits()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        std::fs::remove_file(&temporary).unwrap_or_default();
        return Err(error);
    }
    Ok(temporary)
}

/// Makes sure that a new name in a directory outlives a power cut.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The path with something after its last part.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
