//! `Database`: one database in a cluster, for one test; and the addresses by which it is reached.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{desk, install};

/// Seconds that a client waits for a connection. PostgreSQL's own least value is 2.
const CONNECT_SECONDS_MAX: &str = "10";

/// A database that no other test knows of. It is dropped with the value, also while somebody is
/// still connected to it.
#[derive(Debug)]
pub struct Database {
    cluster: ClusterUrl,
    name: String,
    /// The cluster was there before this process and outlives it.
    is_kept: bool,
}

impl Database {
    /// Creates it from `template0`, which nobody can be connected to, so that many tests may do
    /// this at once; and with the same encoding and locale whatever those of the cluster are.
    pub(crate) fn create(cluster: &ClusterUrl, is_kept: bool) -> Self {
        let database = Self {
            cluster: cluster.clone(),
            name: unique_name(),
            is_kept,
        };
        let sql = format!(
            "create database {} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'",
            database.name
        );
        if let Err(problem) = database.administer(&sql) {
            panic!("no database could be created in the PostgreSQL for the tests: {problem}");
        }
        database
    }

    /// Another one with all that is in it. Nobody may be connected to it meanwhile.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self {
            cluster: self.cluster.clone(),
            name: unique_name(),
            is_kept: self.is_kept,
        };
        let sql = format!("create database {} template {}", copy.name, self.name);
        if let Err(problem) = self.administer(&sql) {
            panic!("the database could not be copied: {problem}");
        }
        copy
    }

    /// Runs statements behind the back of whoever serves it.
    pub fn run(&self, sql: &str) {
        if let Err(problem) = self.query(sql) {
            panic!("{sql}: {problem}");
        }
    }

    /// Runs statements in it beside whoever else is there, and gives what they answer.
    ///
    /// # Errors
    /// What PostgreSQL says against them.
    pub fn query(&self, sql: &str) -> Result<String, String> {
        psql(&self.url(), sql)
    }

    /// A connection to a cluster of a test's own would be in the way where it is stopped or frozen.
    fn administer(&self, sql: &str) -> Result<(), String> {
        if self.is_kept {
            desk::run(&self.cluster, sql)
        } else {
            psql(&self.cluster.administration(), sql).map(drop)
        }
    }

    /// Its address, as `postgres://postgres@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.database(&self.name)
    }
}

/// Runs statements in a database, behind the back of whoever uses it: `sqlite:PATH` or `postgres://…`.
/// Both with the command-line client of the database: `sqlite3` and `psql`.
///
/// # Panics
/// If one of them fails, or there is no such client.
pub fn execute(url: &str, statements: &str) {
    // From a file: an argument cannot be so long.
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(statements.as_bytes())
        .expect("it is written");
    let input = file.reopen().expect("it is there");
    let mut command = match url.strip_prefix("sqlite:") {
        Some(path) => {
            let mut command = Command::new("sqlite3");
            // A server may be writing.
            command.args(["-batch", "-bail", "-cmd", ".timeout 10000", path]);
            command
        }
        None => {
            let mut command = client(url);
            command.args(["--set", "ON_ERROR_STOP=1", "--file", "-"]);
            command
        }
    };
    let output = command.stdin(input).output();
    let output = output.expect("the client can be run: apt-get install sqlite3 postgresql-client");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the statements do not run: {problem}"
    );
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.name);
        // A test may well have stopped the cluster under its own database, so a failure is no news.
        self.administer(&sql).ok();
    }
}

/// The address of a cluster: everything of a URL but the name of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterUrl {
    /// `postgres://user@host:port`
    server: String,
    /// Empty, or `?` and what follows it.
    parameters: String,
}

impl ClusterUrl {
    pub(crate) fn local(port: u16) -> Self {
        Self {
            server: format!("postgres://postgres@127.0.0.1:{port}"),
            parameters: String::new(),
        }
    }

    /// Reads the URL of any database of the cluster.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (address, parameters) = match url.split_once('?') {
            Some((address, parameters)) => (address, format!("?{parameters}")),
            None => (url, String::new()),
        };
        let (scheme, rest) = address.split_once("://")?;
        let (authority, _database) = rest.split_once('/')?;
        let known = matches!(scheme, "postgres" | "postgresql") && !authority.is_empty();
        known.then(|| Self {
            server: format!("{scheme}://{authority}"),
            parameters,
        })
    }

    pub(crate) fn database(&self, name: &str) -> String {
        format!("{}/{name}{}", self.server, self.parameters)
    }

    /// The database that every cluster has, to create and drop others from.
    pub(crate) fn administration(&self) -> String {
        self.database("postgres")
    }
}

/// The command-line client, connected to a database.
fn client(url: &str) -> Command {
    let mut client = Command::new(install::psql());
    client
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--no-password",
        ])
        .args(["--dbname", url])
        .env("PGCONNECT_TIMEOUT", CONNECT_SECONDS_MAX)
        .stdin(Stdio::null());
    client
}

/// Runs one statement with the command-line client and gives what it printed, or what it complained
/// of.
pub(crate) fn psql(url: &str, sql: &str) -> Result<String, String> {
    let output = client(url)
        .args(["--command", sql])
        .output()
        .expect("psql was found, so it can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// A name that no test of any process has used: 64 bits from the random keys which the standard
/// library gives to its hash maps.
fn unique_name() -> String {
    format!("test_{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_cluster_is_read_and_written() {
        let url = ClusterUrl::parse("postgres://me@db.test:5433/postgres?sslmode=disable").unwrap();
        assert_eq!(
            url.database("x"),
            "postgres://me@db.test:5433/x?sslmode=disable"
        );
        assert_eq!(
            ClusterUrl::parse("postgres://me@[::1]/y")
                .unwrap()
                .administration(),
            "postgres://me@[::1]/postgres"
        );
        assert_eq!(
            ClusterUrl::local(5433).database("x"),
            "postgres://postgres@127.0.0.1:5433/x"
        );
    }

    #[test]
    fn url_of_something_else_is_not_read() {
        for url in [
            "",
            "5432",
            "postgres://me@db.test",
            "postgres:///x",
            "sqlite://me@db.test/x",
        ] {
            assert_eq!(ClusterUrl::parse(url), None, "{url}");
        }
    }
}
