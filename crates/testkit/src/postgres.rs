//! `Postgres`: a cluster, either one for the whole test process or one that a test has to itself.

use std::sync::OnceLock;

use crate::database::{ClusterUrl, Database};
use crate::install;
use crate::server::Server;

/// Names a cluster that is running already, as `postgres://user@host:port/postgres`. The user must
/// be allowed to create databases.
const RUNNING_CLUSTER_VARIABLE: &str = "CLAVIGER_TEST_POSTGRES";

/// A PostgreSQL cluster, of version 15 or later, that tests make databases in.
///
/// Every method panics, with a sentence that says why, where it cannot do what it promises.
#[derive(Debug)]
pub struct Postgres {
    url: ClusterUrl,
    /// `None` when the cluster is somebody else's and was only named to us.
    server: Option<Server>,
}

impl Postgres {
    /// The cluster of this test process, started by the first test that asks for it. It is the one
    /// that `CLAVIGER_TEST_POSTGRES` names, where that is set.
    ///
    /// It cannot be stopped: the methods that would do so need `&mut`, and want [`Postgres::spawn`].
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match install::variable(RUNNING_CLUSTER_VARIABLE) {
            Some(url) => Self {
                url: ClusterUrl::parse(&url.to_string_lossy()).unwrap_or_else(|| {
                    panic!("{RUNNING_CLUSTER_VARIABLE} must look like postgres://user@host:port/postgres")
                }),
                server: None,
            },
            None => Self::spawn(),
        })
    }

    /// A cluster for one test alone, with `fsync` on, so that stopping it is a true crash test. It
    /// takes about a second, so a test which only needs a database should use [`Postgres::shared`].
    #[must_use]
    pub fn spawn() -> Self {
        let server = Server::spawn();
        Self {
            url: ClusterUrl::local(server.port()),
            server: Some(server),
        }
    }

    /// Creates an empty database with a name of its own (UTF-8, locale C).
    #[must_use]
    pub fn database(&self) -> Database {
        Database::create(&self.url, self.server.is_none())
    }

    /// Stops the cluster as a crash would: no checkpoint, connections cut, recovery at the next
    /// start. Returns when the last of its processes is gone. Does nothing when it is stopped.
    pub fn stop_immediate(&mut self) {
        self.own_mut().stop_immediate();
    }

    /// Starts the cluster again, on the same port and over the same files, after
    /// [`stop_immediate`](Self::stop_immediate) or after the test killed [`pid`](Self::pid).
    /// Returns when it accepts queries. Does nothing when it is running.
    pub fn start(&mut self) {
        self.own_mut().start();
    }

    /// Freezes every process of the cluster (SIGSTOP): connections stay open and nothing answers,
    /// as when the network swallows all packets. Returns when all of them stand still.
    pub fn pause(&mut self) {
        self.own_mut().pause();
    }

    /// Lets a paused cluster go on (SIGCONT).
    pub fn resume(&mut self) {
        self.own_mut().resume();
    }

    /// The process id of the postmaster, for `kill`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let server = self.server.as_ref();
        server
            .expect("the process of a cluster that was started elsewhere is not known")
            .pid()
    }

    fn own_mut(&mut self) -> &mut Server {
        self.server
            .as_mut()
            .expect("only a cluster made by `Postgres::spawn` can be reached by &mut")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::database::psql;

    /// `SSLRequest`, the one message of the protocol that is answered before any log-in: by `N`
    /// from a server without TLS.
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

    fn question() -> &'static str {
        "select count(*) from pg_class where relname = 'footprint'"
    }

    #[test]
    fn databases_are_isolated() {
        let (one, other) = (Postgres::shared().database(), Postgres::shared().database());
        assert_ne!(one.url(), other.url());

        psql(&one.url(), "create table footprint ()").unwrap();

        assert_eq!(psql(&one.url(), question()), Ok("1".to_owned()));
        assert_eq!(psql(&other.url(), question()), Ok("0".to_owned()));
    }

    #[test]
    fn refusals_of_a_kept_connection_are_told_and_it_goes_on() {
        // A cluster of our own stands for one that the environment names.
        let postgres = Postgres::spawn();
        let administer = |sql: &str| crate::desk::run(&postgres.url, sql);
        assert_eq!(administer("create database footprint"), Ok(()));
        let refused = administer("create database footprint").unwrap_err();
        assert!(refused.contains("already exists"), "{refused}");
        assert_eq!(administer("drop database footprint"), Ok(()));
        // One that was cut is made anew.
        assert_eq!(
            psql(
                &postgres.url.administration(),
                "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                 where backend_type = 'client backend' and pid <> pg_backend_pid()"
            ),
            Ok("1".to_owned())
        );
        assert_eq!(administer("create database footprint"), Ok(()));
    }

    #[test]
    fn dropped_database_is_gone_though_somebody_is_connected() {
        let database = Postgres::shared().database();
        let url = database.url();
        let mut lingerer = Command::new(install::psql())
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--dbname",
                &url,
            ])
            .args(["--command", "select 1", "--command", "select pg_sleep(600)"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut first_answer = [0];
        lingerer
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first_answer)
            .unwrap();
        assert_eq!(&first_answer, b"1");

        drop(database);

        assert!(!lingerer.wait().unwrap().success());
        assert!(
            psql(&url, "select 1")
                .unwrap_err()
                .contains("does not exist")
        );
    }

    #[test]
    fn private_cluster_survives_stop_and_kill() {
        let mut postgres = Postgres::spawn();
        let database = postgres.database();
        let url = database.url();
        psql(&url, "create table footprint ()").unwrap();

        postgres.stop_immediate();
        assert!(psql(&url, question()).unwrap_err().contains("refused"));
        postgres.start();
        assert_eq!(psql(&url, question()), Ok("1".to_owned()));

        let killed = postgres.pid();
        let kill = format!("kill -s KILL {killed}");
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        postgres.stop_immediate();
        postgres.start();
        assert_ne!(postgres.pid(), killed);
        assert_eq!(psql(&url, question()), Ok("1".to_owned()));
    }

    #[test]
    fn paused_cluster_is_silent_until_it_is_resumed() {
        let mut postgres = Postgres::spawn();
        let port = postgres.own_mut().port();

        postgres.pause();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(&SSL_REQUEST).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut answer = [0];
        let silence = stream.read(&mut answer).unwrap_err().kind();
        assert!(matches!(
            silence,
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));

        postgres.resume();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"N");
    }

    #[test]
    fn dropped_cluster_leaves_no_file_even_when_paused() {
        let mut postgres = Postgres::spawn();
        let home = postgres.own_mut().home().to_owned();
        assert!(home.is_dir());

        postgres.pause();
        drop(postgres);

        assert!(!home.exists());
    }
}
