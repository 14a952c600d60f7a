//! PostgreSQL: one process serves a database; a lock and a generation number keep others out.

mod anchors;
mod appender;
mod audit;
mod audit_index;
mod audit_rows;
mod browsers;
mod channels;
mod checkpoints;
mod deployment;
mod fault;
mod fence;
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
mod session;
mod shelf;
mod signals;
mod sinks;
mod tree;
mod usage;
mod workspace_tokens;
mod workspaces;

use std::time::Duration;

use claviger_core::ledger::entry::Entry;
use refinery_core::{Migration, Runner};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::{OpenOptions, Recorder, Result, Store, StoreError, Written, tiles::Stuck};
use fault::{Fault, Outcome, unavailable};
use fence::take_lock;
use session::{CLOSE_MAX, CONNECT_MAX, Change, Link, Sessions, connect};

/// How long the schema may take to be brought up to date.
const MIGRATION_MAX: Duration = Duration::from_secs(120);

/// The advisory lock under which the schema is changed. Not the lock that says who serves.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"clvmigrt");

/// The migrations, oldest first. The rows that exist from the start are made by the first one, in
/// its transaction: a start that is cut short leaves no database whose bootstrap nobody could judge.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "V0001__foundation",
        concat!(
            include_str!("../migrations/postgres/V0001__foundation.sql"),
            "
        insert into orgs (id, name, created_at) values
            (current_setting('claviger.default_org'), 'default', current_setting('claviger.now')::bigint);
        insert into ledgers (org, size) values (current_setting('claviger.default_org'), 0);
        insert into deployment (one, default_org) values (1, current_setting('claviger.default_org'));
        "
        ),
    ),
    (
        "V0002__usage",
        include_str!("../migrations/postgres/V0002__usage.sql"),
    ),
    (
        "V0003__requests",
        include_str!("../migrations/postgres/V0003__requests.sql"),
    ),
    (
        "V0004__people",
        include_str!("../migrations/postgres/V0004__people.sql"),
    ),
    (
        "V0005__audit_index",
        include_str!("../migrations/postgres/V0005__audit_index.sql"),
    ),
    (
        "V0006__ledger_tree",
        include_str!("../migrations/postgres/V0006__ledger_tree.sql"),
    ),
    (
        "V0007__signals",
        include_str!("../migrations/postgres/V0007__signals.sql"),
    ),
    (
        "V0008__audit_sinks",
        include_str!("../migrations/postgres/V0008__audit_sinks.sql"),
    ),
    (
        "V0009__retention",
        include_str!("../migrations/postgres/V0009__retention.sql"),
    ),
];

/// The store on PostgreSQL.
pub(crate) struct Postgres {
    sessions: Sessions,
    /// Who changes many keys or tokens at once does so alone, so that no two wait for each other's
    /// rows. One process serves a database, so a lock in memory is enough.
    many: Mutex<()>,
    stuck: Stuck,
}

impl Store for Postgres {}

impl Postgres {
    /// Opens the database, brings its schema up to date, and keeps every other process out.
    pub(crate) async fn open(options: &OpenOptions) -> Result<Self> {
        let config = read_url(&options.url)?;
        let doing = "open the database";
        let mut link = connect(&config)
            .await
            .map_err(|fault| fault.into_store(doing))?;
        if !take_lock(&link)
            .await
            .map_err(|fault| fault.into_store(doing))?
        {
            return Err(in_use(&config));
        }
        let Ok(migrated) = timeout(MIGRATION_MAX, migrate(&mut link, options)).await else {
            return Err(unavailable(
                "bring the schema up to date",
                "it took too long",
            ));
        };
        migrated.map_err(|fault| fault.into_store("bring the schema up to date"))?;
        let sessions = Sessions::start(config, link, options.sync_audit).await;
        let store = Self {
            sessions: sessions.map_err(|fault| fault.into_store(doing))?,
            many: Mutex::new(()),
            stuck: Stuck::default(),
        };
        store.complete().await?;
        Ok(store)
    }

    /// Lets what was handed over be finished, closes the connections and gives the lock back.
    async fn shut(&self) {
        if timeout(CLOSE_MAX, self.sessions.close()).await.is_err() {
            tracing::warn!("the connections to PostgreSQL were not closed in time");
        }
    }

    /// Runs a read within the time limit. `doing` is a verb phrase for errors.
    async fn read<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Result<T> {
        let outcome = self.sessions.read(work).await;
        outcome.map_err(|fault| fault.into_store(doing))
    }

    /// Runs a change within the time limit, if this process still holds the lock.
    async fn write<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Result<T> {
        let outcome = self.sessions.write(work).await;
        outcome.map_err(|fault| fault.into_store(doing))
    }
}

/// Reads the address. Nothing of it is quoted in an error: it may hold a password.
fn read_url(url: &str) -> Result<Config> {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let wants_tls = parameters.split('&').any(|parameter| {
        let mode = parameter.strip_prefix("sslmode=");
        mode.is_some_and(|mode| !matches!(mode, "disable" | "allow" | "prefer"))
            || parameter.starts_with("sslrootcert=")
            || parameter.starts_with("sslnegotiation=direct")
    });
    let no_tls = || {
        StoreError::BadUrl(
            "TLS to PostgreSQL is not supported yet: leave `sslmode` out of the database URL, and \
             reach the server over loopback, a Unix socket or a private network"
                .to_owned(),
        )
    };
    if wants_tls {
        return Err(no_tls());
    }
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        StoreError::BadUrl(format!(
            "the database URL cannot be read: {}",
            cause.unwrap_or_else(|| error.to_string())
        ))
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(no_tls());
    }
    if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any
    {
        // Of several servers, the one that takes writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config
        .application_name("claviger")
        .connect_timeout(CONNECT_MAX)
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3);
    Ok(config)
}

fn in_use(config: &Config) -> StoreError {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(", ");
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    StoreError::InUse(format!(
        "another Claviger process serves the database `{database}` on `{hosts}`, and only one may; \
         stop that process, or name another database"
    ))
}

/// Brings the schema up to date, under a lock of its own, so that starts at the same time take turns.
async fn migrate(link: &mut Link, options: &OpenOptions) -> Outcome<()> {
    let mut migrations = Vec::with_capacity(MIGRATIONS.len());
    for (name, sql) in MIGRATIONS {
        migrations.push(Migration::unapplied(name, sql).map_err(Fault::because)?);
    }
    let client = link.client_mut();
    client
        .batch_execute("set statement_timeout = '100s'; set lock_timeout = '60s'")
        .await?;
    lock_migrations(client, "select pg_advisory_lock($1)").await?;
    let seed = "select set_config('claviger.default_org', $1, false), \
                set_config('claviger.now', $2, false)";
    let org = options.default_org.to_string();
    client
        .execute(seed, &[&org, &options.now.millis().to_string()])
        .await?;
    let outcome = Runner::new(&migrations).run_async(client).await;
    lock_migrations(client, "select pg_advisory_unlock($1)").await?;
    outcome.map_err(Fault::because)?;
    Ok(())
}

async fn lock_migrations(client: &Client, sql: &str) -> Outcome<()> {
    client.execute(sql, &[&MIGRATION_LOCK]).await?;
    Ok(())
}

/// Records what a change came to, and commits both. The number of the record is taken last: its row
/// lock makes the org's other changes wait.
async fn commit<T>(change: Change, value: T, record: Recorder<T>) -> Outcome<Written<T>> {
    commit_many(change, value, |value: &T| vec![record(value)]).await
}

/// The same for a change that is several things at once.
async fn commit_many<T>(
    mut change: Change,
    value: T,
    record: impl FnOnce(&T) -> Vec<Entry>,
) -> Outcome<Written<T>> {
    let entries = record(&value);
    ledgers::insert(&mut change, entries).await?;
    change.commit().await?;
    Ok(Written {
        value,
        receipt: crate::Receipt(()),
    })
}

#[cfg(test)]
mod tests {
    use super::read_url;
    use crate::StoreError;

    fn refusal(url: &str) -> String {
        match read_url(url) {
            Err(StoreError::BadUrl(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tls_is_refused_with_a_sentence() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let sentence = refusal(&format!("postgres://me:hush@db/x?sslmode={mode}"));
            assert!(
                sentence.contains("TLS to PostgreSQL is not supported yet"),
                "{sentence}"
            );
        }
        assert!(read_url("postgres://me@db/x?sslmode=prefer").is_ok());
    }

    #[test]
    fn a_bad_url_is_refused_and_not_quoted() {
        for url in [
            "postgres://me:hush@db:port/x",
            "postgres://me:hush@db/x?colour=hush",
        ] {
            assert!(!refusal(url).contains("hush"), "{url}");
        }
    }
}
