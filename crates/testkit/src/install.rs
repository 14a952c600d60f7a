//! Where the programs are: PostgreSQL's, and `setpriv`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The oldest major version that Claviger supports.
const VERSION_MIN: u32 = 15;

/// Debian and Ubuntu keep the programs of the server out of `PATH`, in `VERSION/bin` below this.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";

/// The directory of the newest `initdb` and `postgres` on this machine.
pub(crate) fn server_programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        newest(&["initdb", "postgres"]).unwrap_or_else(|| {
            panic!(
                "the tests need the server of PostgreSQL {VERSION_MIN} or later, and found none: \
                 run `apt-get install postgresql`, or name a running cluster in \
                 CLAVIGER_TEST_POSTGRES"
            )
        })
    })
}

/// The newest `psql` on this machine.
pub(crate) fn psql() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let directory = newest(&["psql"]).unwrap_or_else(|| {
            panic!(
                "the tests need `psql` of PostgreSQL {VERSION_MIN} or later, and found none: run \
                 `apt-get install postgresql`"
            )
        });
        directory.join("psql")
    })
}

/// Whether `setpriv` (util-linux) is here, which ties a process to its parent and changes its user.
pub(crate) fn has_setpriv() -> bool {
    on_path()
        .iter()
        .any(|directory| directory.join("setpriv").is_file())
}

/// Reads a variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests have no configuration but this"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The directory that has all of the programs, in the highest version, which is asked of the last.
fn newest(programs: &[&str]) -> Option<PathBuf> {
    let mut directories = on_path();
    // These come last, and so win a tie: what Debian has in `PATH` is a slow wrapper around them.
    let versions = std::fs::read_dir(DEBIAN_VERSIONS)
        .into_iter()
        .flatten()
        .flatten();
    directories.extend(versions.map(|version| version.path().join("bin")));
    directories
        .into_iter()
        .filter(|directory| {
            programs
                .iter()
                .all(|program| directory.join(program).is_file())
        })
        .filter_map(|directory| Some((version(&directory.join(programs.last()?))?, directory)))
        .filter(|(version, _)| *version >= VERSION_MIN)
        .max_by_key(|(version, _)| *version)
        .map(|(_, directory)| directory)
}

/// The major version that a program of PostgreSQL says it is of.
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` as 15, and `17beta1` as 17.
fn parse_version(text: &str) -> Option<u32> {
    let (_, after_name) = text.split_once("(PostgreSQL) ")?;
    after_name
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn on_path() -> Vec<PathBuf> {
    variable("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(15));
        assert_eq!(parse_version("psql (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(parse_version("postgres: no such option"), None);
    }
}
