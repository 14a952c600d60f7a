//! SQLite: one file, one process, one thread that writes, and readers beside it.

mod anchors;
mod audit;
mod audit_index;
mod audit_rows;
mod browsers;
mod channels;
mod checkpoints;
mod cut;
mod deployment;
mod keys;
mod ledgers;
mod lines;
mod load;
mod mints;
mod orgs;
mod people;
mod policies;
mod reach;
mod replays;
mod requests;
mod retention;
mod rotations;
mod row;
mod runs;
mod secrets;
mod shelf;
mod signals;
mod sinks;
mod tree;
mod usage;
mod workspace_tokens;
mod workspaces;
mod writer;

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use refinery_core::{Migration, Runner};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{OpenOptions, Result, Store, StoreError, tiles::Stuck};
use row::IdText;
use writer::Writer;

/// How many reads run at once. More would only queue for the same disk and the same two kinds of lock.
const READERS_MAX: u32 = 8;

/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 96;

/// How long a caller waits for its turn before it is told that the database is unavailable.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a connection waits for a lock. Nobody else should hold one: only a backup tool or a
/// person with a shell could, and neither may hold up requests.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What the connection that writes is set to. A checkpoint costs several fsyncs, so it waits for
/// 4000 pages (16 MiB); afterwards the log is cut back rather than kept at its largest.
const WRITER_PRAGMAS: &str = "
    pragma journal_mode = wal;
    pragma synchronous = normal;
    pragma foreign_keys = on;
    pragma trusted_schema = off;
    pragma wal_autocheckpoint = 4000;
    pragma journal_size_limit = 67108864;
    pragma cache_size = -32768;
    pragma temp_store = memory;
";

/// What connections that read are set to. They map the file, so a page is not copied to be read.
const READER_PRAGMAS: &str = "
    pragma query_only = on;
    pragma trusted_schema = off;
    pragma mmap_size = 1099511627776;
    pragma cache_size = -8192;
    pragma temp_store = memory;
";

/// The store on SQLite.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Readers,
    stuck: Stuck,
}

impl Store for Sqlite {}

impl Sqlite {
    /// Opens the database file, which is made if it is missing, and keeps every other process out.
    pub(crate) async fn open(path: PathBuf, options: &OpenOptions) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(StoreError::BadUrl(
                "the database URL `sqlite:` names no file".to_owned(),
            ));
        }
        let options = options.clone();
        match spawn_blocking(move || Self::start(&path, &options)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(unavailable("open the database", error)),
        }
    }

    fn start(path: &Path, options: &OpenOptions) -> Result<Self> {
        // Absolute, for `:memory:` and the like are names of files here.
        let path = &std::path::absolute(path).map_err(|e| unavailable("open the database", e))?;
        let lock = lock(path)?;
        create(path, options)?;
        let doing = "open the database";
        let mut connection = connect_writer(path).map_err(|fault| fault.into_store(doing))?;
        prepare(&mut connection, options)?;
        tree::complete(&connection).map_err(|fault| fault.into_store("make the trees"))?;
        let counted = connection.execute("update deployment set generation = generation + 1", []);
        counted.map_err(|error| Fault::from(error).into_store(doing))?;
        let writer = Writer::start(connection, lock, options.sync_audit)
            .map_err(|error| unavailable("start the writer thread", error))?;
        let readers = Readers {
            path: path.as_path().into(),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(usize::try_from(READERS_MAX).unwrap_or(1))),
        };
        let stuck = Stuck::default();
        Ok(Self {
            writer,
            readers,
            stuck,
        })
    }

    /// Runs a read on a connection of its own. `doing` is a verb phrase for errors.
    async fn read<T, W>(&self, doing: &'static str, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let Ok(Ok(permit)) =
            timeout(WAIT_MAX, Arc::clone(&self.readers.permits).acquire_owned()).await
        else {
            return Err(unavailable(doing, "no connection is free"));
        };
        let path = Arc::clone(&self.readers.path);
        let idle = Arc::clone(&self.readers.idle);
        let run = move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| connect_reader(&path), Ok)?;
            let outcome = work(&connection);
            // A connection on which SQL failed is not used again.
            if !matches!(outcome, Err(Fault::Sql(_))) {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            // Last, so that whoever holds every permit knows that every connection is idle.
            drop(permit);
            outcome
        };
        match spawn_blocking(run).await {
            Ok(outcome) => outcome.map_err(|fault: Fault| fault.into_store(doing)),
            Err(error) => Err(unavailable(doing, error)),
        }
    }

    /// Lets reads and writes that were handed over be finished, and closes the file.
    async fn shut(&self) {
        // A checkpoint cannot pass a page that somebody still reads, so the readers go first.
        let permits = self.readers.permits.acquire_many(READERS_MAX);
        if let Ok(Ok(all)) = timeout(WAIT_MAX, permits).await {
            all.forget();
        }
        self.readers.permits.close();
        self.readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.writer.close().await;
    }
}

/// Connections that only read, and how many may be in use.
struct Readers {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

/// What SQL code answers: its own errors are told from those of the contract until the boundary,
/// where it is known what was attempted.
type Outcome<T> = std::result::Result<T, Fault>;

/// Why SQL code did not do what was asked.
#[derive(Debug)]
enum Fault {
    /// The database says no.
    Sql(rusqlite::Error),
    /// The contract says no.
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    fn into_store(self, doing: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
                    what: "the database file".to_owned(),
                    reason: error.to_string(),
                },
                Some(_) | None => unavailable(doing, error),
            },
        }
    }
}

/// An error that says what could not be done.
fn unavailable(
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: source.into(),
    }
}

/// The file beside the database whose name has this at its end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Makes the directory if need be, and takes the lock that says who serves it.
fn lock(path: &Path) -> Result<File> {
    let doing = "lock the data directory";
    let directory = path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| unavailable("make the data directory", error))?;
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options
        .open(beside(path, ".lock"))
        .map_err(|error| unavailable(doing, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "another process serves the data directory `{}`; stop it, or choose another --data-dir",
            directory.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(unavailable(doing, error)),
    }
}

/// Makes the database file if it is missing: whole and under another name first, so that a start
/// that is cut short leaves no half of a database, whose bootstrap nobody could judge.
fn create(path: &Path, options: &OpenOptions) -> Result<()> {
    let io = |error: std::io::Error| unavailable("create the database file", error);
    let size_of = |path: &Path| match fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(io(error)),
    };
    if size_of(path)? > 0 {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io);
    }
    if size_of(&beside(path, "-wal"))? > 0 {
        return Err(StoreError::Corrupt {
            what: format!("`{}`", path.display()),
            reason: "its write-ahead log is there, but the database itself is gone".to_owned(),
        });
    }
    let draft = beside(path, ".new");
    for leftover in [&draft, &beside(&draft, "-journal")] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
    }
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(io)?;
    let sql = |error| Fault::from(error).into_store("create the database file");
    let mut connection = Connection::open(&draft).map_err(sql)?;
    // Many records share a commit: larger pages halve the calls that it takes to write them.
    let page_size = connection.execute_batch("pragma page_size = 8192");
    page_size.map_err(sql)?;
    prepare(&mut connection, options)?;
    connection.close().map_err(|(_, error)| sql(error))?;
    file.sync_all().map_err(io)?;
    fs::rename(&draft, path).map_err(io)?;
    File::open(path.parent().unwrap_or(Path::new("/")))
        .and_then(|d| d.sync_all())
        .map_err(io)
}

fn connect_writer(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(WRITER_PRAGMAS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn connect_reader(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(READER_PRAGMAS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Brings the schema up to date. The first rows are made only with the tables themselves: a row
/// that is missing later was taken away, and making it again would open the bootstrap again.
fn prepare(connection: &mut Connection, options: &OpenOptions) -> Result<()> {
    let doing = "bring the schema up to date";
    let report = migrations()
        .and_then(|list| Runner::new(&list).run(connection))
        .map_err(|error| unavailable(doing, error))?;
    if report
        .applied_migrations()
        .iter()
        .any(|migration| migration.version() == 1)
    {
        seed(connection, options).map_err(|fault| fault.into_store("make the first rows"))?;
    }
    Ok(())
}

fn migrations() -> std::result::Result<Vec<Migration>, refinery_core::Error> {
    macro_rules! read {
        ($name:literal) => {{
            let sql = include_str!(concat!("../migrations/sqlite/", $name, ".sql"));
            Migration::unapplied($name, sql)?
        }};
    }
    Ok(vec![
        read!("V0001__foundation"),
        read!("V0002__usage"),
        read!("V0003__requests"),
        read!("V0004__people"),
        read!("V0005__audit_index"),
        read!("V0006__ledger_tree"),
        read!("V0007__signals"),
        read!("V0008__audit_sinks"),
        read!("V0009__retention"),
    ])
}

fn seed(connection: &mut Connection, options: &OpenOptions) -> Outcome<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let org = IdText::of(options.default_org);
    transaction.execute(
        "insert into deployment (one, default_org) values (1, ?1) on conflict do nothing",
        params![org],
    )?;
    transaction.execute(
        "insert into orgs (id, name, created_at) values (?1, 'default', ?2) on conflict do nothing",
        params![org, options.now.millis()],
    )?;
    transaction.execute(
        "insert into ledgers (org, size, peaks)
         select id, 0, x'' from orgs where name = 'default' and deleted_at is null
         on conflict do nothing",
        [],
    )?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use claviger_core::{id::OrgId, time::Timestamp};

    use super::Sqlite;
    use crate::{DeploymentStore as _, OpenOptions, OrgStore as _, StoreError};

    fn options() -> OpenOptions {
        OpenOptions {
            url: String::new(),
            sync_audit: false,
            default_org: OrgId::from_u128(1),
            now: Timestamp::from_millis(1),
        }
    }

    #[tokio::test]
    async fn a_second_open_is_refused_until_the_first_is_closed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/er/claviger.db");
        let first = Sqlite::open(path.clone(), &options())
            .await
            .expect("opened");
        let Err(StoreError::InUse(sentence)) = Sqlite::open(path.clone(), &options()).await else {
            panic!("a second process was let in");
        };
        assert!(
            sentence.contains("deep/er") && sentence.contains("--data-dir"),
            "{sentence}"
        );
        first.close().await;
        assert!(matches!(
            first.deployment().await,
            Err(StoreError::Unavailable { .. })
        ));
        let probed = first.probe().await;
        assert!(matches!(probed, Err(StoreError::Unavailable { .. })));
        let again = Sqlite::open(path, &options()).await.expect("opened again");
        again.close().await;
    }

    #[tokio::test]
    async fn files_are_for_the_owner_alone_and_nothing_is_left_over() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data/claviger.db");
        let store = Sqlite::open(path, &options()).await.expect("opened");
        store.probe().await.expect("writable");
        let data = directory.path().join("data");
        let mode = |path: &std::path::Path| {
            path.metadata().expect("metadata").permissions().mode() & 0o777
        };
        assert_eq!(mode(&data), 0o700);
        let mut names = Vec::new();
        for entry in data.read_dir().expect("a directory") {
            let entry = entry.expect("an entry");
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            names.push(entry.file_name().into_string().expect("a text"));
        }
        names.sort();
        let expected = "claviger.db claviger.db-shm claviger.db-wal claviger.db.lock";
        assert_eq!(names.join(" "), expected);
        store.close().await;
    }

    #[tokio::test]
    async fn a_deployment_row_that_went_missing_stays_missing_and_closed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("claviger.db");
        let store = Sqlite::open(path.clone(), &options())
            .await
            .expect("opened");
        assert!(store.deployment().await.expect("there").is_bootstrap_open);
        store.close().await;
        let raw = rusqlite::Connection::open(&path).expect("opened");
        raw.execute("delete from deployment", []).expect("deleted");
        raw.close().expect("closed");
        let store = Sqlite::open(path, &options()).await.expect("opened");
        let deployment = store.deployment().await.expect("judged");
        assert!(!deployment.is_bootstrap_open);
        assert_eq!(deployment.default_org, OrgId::from_u128(1));
        assert!(store.find_org("default").await.expect("asked").is_some());
        store.close().await;
    }

    #[tokio::test]
    async fn a_log_without_its_database_is_not_taken_for_a_new_deployment() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("claviger.db");
        std::fs::write(directory.path().join("claviger.db-wal"), "frames").expect("written");
        let outcome = Sqlite::open(path, &options()).await;
        assert!(matches!(outcome, Err(StoreError::Corrupt { .. })));
    }
}
