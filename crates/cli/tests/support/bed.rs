//! Where a test's server keeps its data: a directory of its own, and on PostgreSQL a database too.

use std::{path::PathBuf, process::Command};

use claviger_testkit::{Database, Postgres};
use tempfile::TempDir;

/// A data directory and a database that no other test knows of.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The data directory; not made yet.
    pub(crate) data: PathBuf,
    // The order is that of dropping.
    database: Option<Database>,
    directory: TempDir,
}

impl Bed {
    /// The default: SQLite in the data directory.
    pub(crate) fn sqlite() -> Self {
        Self::new(None)
    }

    /// A database of this cluster.
    pub(crate) fn postgres(cluster: &Postgres) -> Self {
        Self::new(Some(cluster.database()))
    }

    fn new(database: Option<Database>) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        Self {
            data: directory.path().join("data"),
            database,
            directory,
        }
    }

    /// The address of the database, where it is not in the data directory.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(Database::url)
    }

    /// The binary with an empty environment, in a directory without a configuration file.
    pub(crate) fn claviger(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.env_clear().current_dir(self.directory.path());
        command.args(words);
        command
    }

    /// The same with the flags that say where data lies.
    pub(crate) fn with_data(&self, words: &[&str]) -> Command {
        let mut command = self.claviger(words);
        command.arg("--data-dir").arg(&self.data);
        if let Some(url) = self.database_url() {
            command.args(["--database-url", &url]);
        }
        command
    }

    /// `claviger serve` on a port that the system chooses.
    pub(crate) fn serve(&self, more: &[&str]) -> Command {
        let mut command = self.with_data(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(more);
        command
    }
}
