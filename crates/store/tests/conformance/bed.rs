//! `Bed`: where one test has its store, a fresh database of either kind.

use std::sync::Arc;

use claviger_store::{OpenOptions, Result, Store, open};
use claviger_testkit::{Database, Postgres};
use tempfile::TempDir;

use crate::support::{NOW, id};

/// An open store.
pub(crate) type Db = Arc<dyn Store>;

enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

/// A database that no other test knows of. It is removed with the value.
pub(crate) struct Bed(Place);

impl Bed {
    pub(crate) fn sqlite() -> Self {
        Self(Place::Sqlite(tempfile::tempdir().expect("a directory")))
    }

    pub(crate) fn postgres() -> Self {
        Self::postgres_in(Postgres::shared())
    }

    pub(crate) fn postgres_in(cluster: &Postgres) -> Self {
        Self(Place::Postgres(cluster.database()))
    }

    /// The file of the database; only SQLite has one.
    pub(crate) fn file(&self) -> Option<std::path::PathBuf> {
        match &self.0 {
            Place::Sqlite(directory) => Some(directory.path().join("claviger.db")),
            Place::Postgres(_) => None,
        }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        match &self.0 {
            Place::Sqlite(directory) => {
                let path = directory.path().join("claviger.db");
                format!("sqlite:{}", path.display())
            }
            Place::Postgres(database) => database.url(),
        }
    }

    /// Opens the store. Each call offers another id for the default org, as each process does.
    pub(crate) async fn try_open(&self) -> Result<Db> {
        let options = OpenOptions {
            url: self.url(),
            sync_audit: false,
            default_org: id(),
            now: NOW,
        };
        open(options).await
    }

    pub(crate) async fn open(&self) -> Db {
        self.try_open().await.expect("the store opens")
    }

    /// Closes the store and opens the same database again.
    pub(crate) async fn reopen(&self, db: Db) -> Db {
        db.close().await;
        drop(db);
        self.open().await
    }

    /// Runs statements behind the store's back. The store must be closed.
    pub(crate) async fn sql(&self, statements: &str) {
        match &self.0 {
            Place::Sqlite(directory) => {
                let path = directory.path().join("claviger.db");
                let connection = rusqlite::Connection::open(path).expect("the file opens");
                connection
                    .execute_batch(statements)
                    .expect("the statements run");
            }
            Place::Postgres(database) => {
                let (client, connection) =
                    tokio_postgres::connect(&database.url(), tokio_postgres::NoTls)
                        .await
                        .expect("a connection");
                let driver = tokio::spawn(connection);
                client
                    .batch_execute(statements)
                    .await
                    .expect("the statements run");
                drop(client);
                driver.await.expect("no panic").expect("an orderly end");
            }
        }
    }

    /// Closes the store, runs statements behind its back, and opens it again.
    pub(crate) async fn patch(&self, db: Db, statements: &str) -> Db {
        db.close().await;
        drop(db);
        self.sql(statements).await;
        self.open().await
    }

    /// From now on no audit record can be written, until [`Bed::mend_audit`].
    pub(crate) async fn break_audit(&self, db: Db) -> Db {
        let statements = match &self.0 {
            Place::Sqlite(_) => {
                "create trigger no_records before insert on audit_runs
                 begin select raise(abort, 'no records today'); end"
            }
            Place::Postgres(_) => {
                "create function no_records() returns trigger language plpgsql
                 as $$ begin raise exception 'no records today'; end $$;
                 create trigger no_records before insert on audit_runs
                 for each row execute function no_records()"
            }
        };
        self.patch(db, statements).await
    }

    pub(crate) async fn mend_audit(&self, db: Db) -> Db {
        let statements = match &self.0 {
            Place::Sqlite(_) => "drop trigger no_records",
            Place::Postgres(_) => "drop trigger no_records on audit_runs",
        };
        self.patch(db, statements).await
    }
}
