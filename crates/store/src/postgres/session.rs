//! Connections: the pool, and single ones; what they are set to, and their time limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use futures_util::FutureExt as _;
use tokio::{
    sync::{Mutex, MutexGuard, RwLock},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config, CopyOutStream, NoTls, Row, types::ToSql};

use super::{
    appender::Appender,
    fault::{Fault, Outcome, describe},
    fence::{Fence, Keeper},
    ledgers::{Appended, Heads},
};

/// How long a connection may take to be made.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long closing waits for what is under way.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(15);

/// How long an operation may take as a whole.
const OPERATION_MAX: Duration = Duration::from_secs(10);

/// How many connections serve reads and changes. Two more append and hold the lock.
const CONNECTIONS_MAX: usize = 8;

/// The oldest server that is spoken to, as `server_version_num` writes it.
const VERSION_MIN: i32 = 150_000;

/// What every connection is set to. The server gives up before we do, so that an operation whose
/// time is over has mostly ended there too. Plans are short: compiling them never pays.
const SETTINGS: &str = "
    set statement_timeout = '5s';
    set lock_timeout = '3s';
    set idle_in_transaction_session_timeout = '10s';
    set idle_session_timeout = 0;
    set synchronous_commit = on;
    set jit = off;
";

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// All connections of the process, and the fence.
pub(super) struct Sessions {
    config: Config,
    pool: Pool,
    appender: Mutex<Option<Appender>>,
    is_audit_synced: bool,
    fence: Arc<Fence>,
    keeper: Keeper,
    heads: Arc<Heads>,
    /// Whether operations may start. Held for reading while one is under way.
    is_open: RwLock<bool>,
}

impl Sessions {
    /// Counts this process in, with a connection that holds the lock.
    pub(super) async fn start(config: Config, link: Link, is_audit_synced: bool) -> Outcome<Self> {
        link.client.batch_execute(SETTINGS).await?;
        let sql =
            "update deployment set generation = generation + 1 where one = 1 returning generation";
        let counted = link.client.query_opt(sql, &[]).await?;
        let generation = match counted {
            Some(row) => Some(row.try_get(0)?),
            None => {
                tracing::error!(
                    "the row of the table `deployment` is missing: nothing can be changed"
                );
                None
            }
        };
        let manager = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config.clone(), NoTls, manager))
            .max_size(CONNECTIONS_MAX)
            .wait_timeout(Some(OPERATION_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .recycle_timeout(Some(CONNECT_MAX))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| Box::pin(prepare_pooled(client))))
            .build()
            .map_err(Fault::because)?;
        let fence = Arc::new(Fence::new(generation));
        let keeper = Keeper::start(link, config.clone(), Arc::clone(&fence));
        Ok(Self {
            config,
            pool,
            appender: Mutex::new(None),
            is_audit_synced,
            fence,
            keeper,
            heads: Arc::default(),
            is_open: RwLock::new(true),
        })
    }

    /// Runs a read within the time limit.
    pub(super) async fn read<T>(
        &self,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        self.fence.allow_reads()?;
        self.run(OPERATION_MAX, work).await
    }

    /// Runs a change within the time limit, if this process still holds the lock.
    pub(super) async fn write<T>(
        &self,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        self.fence.allow_writes()?;
        self.run(OPERATION_MAX, work).await
    }

    /// Runs something within a time limit of its own.
    pub(super) async fn run<T>(
        &self,
        time_max: Duration,
        work: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        let guarded = async {
            let is_open = self.is_open.read().await;
            if !*is_open {
                return Err(Fault::down("the store is closed"));
            }
            work.await
        };
        within(time_max, guarded).await
    }

    /// The fence.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// A connection of the pool.
    pub(super) async fn session(&self) -> Outcome<Session> {
        let object = self.pool.get().await.map_err(Fault::because)?;
        Ok(Session {
            object: Some(object),
            waiting: AtomicU32::new(0),
        })
    }

    /// A transaction in which this process still serves the database: who takes over waits for it.
    pub(super) async fn begin(&self) -> Outcome<Change> {
        let change = self.begin_unfenced().await?;
        self.check_fence(&change).await?;
        Ok(change)
    }

    /// A transaction that has yet to look at the fence.
    pub(super) async fn begin_unfenced(&self) -> Outcome<Change> {
        let session = self.session().await?;
        session
            .batch("begin isolation level read committed read write")
            .await?;
        Ok(Change {
            session,
            heads: Arc::clone(&self.heads),
            generation: self.fence.generation(),
            appended: None,
            is_over: false,
        })
    }

    /// Looks at the fence, and keeps it where it is until the end of the transaction.
    pub(super) async fn check_fence(&self, change: &Change) -> Outcome<()> {
        let sql = "select generation from deployment where one = 1 for share";
        let found = match change.row(sql, &[]).await? {
            Some(row) => Some(row.try_get(0)?),
            None => None,
        };
        self.fence.check(found)
    }

    /// The place of the connection that appends, for one append at a time.
    pub(super) async fn appender(&self) -> MutexGuard<'_, Option<Appender>> {
        self.appender.lock().await
    }

    /// A connection of its own for who appends.
    pub(super) async fn connect_appender(&self) -> Outcome<Appender> {
        Appender::new(connect(&self.config).await?, self.is_audit_synced).await
    }

    /// The frontiers of the trails.
    pub(super) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Waits for what is under way, closes every connection and gives the lock back.
    pub(super) async fn close(&self) {
        *self.is_open.write().await = false;
        self.pool.close();
        self.appender.lock().await.take();
        self.keeper.close().await;
    }
}

/// Waits for a result, but not for ever.
pub(super) async fn within<T>(
    time_max: Duration,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    match timeout(time_max, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::down(format!(
            "no answer within {} s",
            time_max.as_secs()
        ))),
    }
}

/// A connection outside the pool. It ends with this value.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
}

impl Link {
    /// For statements.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// For migrations.
    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(&mut self) {
        // How it ended does not matter.
        (&mut self.driver).await.unwrap_or_default();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Makes a connection outside the pool.
pub(super) async fn connect(config: &Config) -> Outcome<Link> {
    within(CONNECT_MAX, async {
        let (client, connection) = config.connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!("a connection to PostgreSQL ended: {}", describe(&error));
            }
        });
        let link = Link { client, driver };
        prepare(&link.client).await?;
        Ok(link)
    })
    .await
}

/// Refuses a server that cannot be used, and sets the connection up.
async fn prepare(client: &Client) -> Outcome<()> {
    let sql = "select pg_is_in_recovery(), current_setting('server_version_num')::int4, \
               current_setting('server_version')";
    let row = client.query_one(sql, &[]).await?;
    let version: i32 = row.try_get(1)?;
    if version < VERSION_MIN {
        let name: &str = row.try_get(2)?;
        return Err(Fault::down(format!(
            "PostgreSQL 15 or later is needed, and this server is {name}"
        )));
    }
    if row.try_get(0)? {
        return Err(Fault::down(
            "the server is a replica: name the primary in the database URL",
        ));
    }
    client.batch_execute(SETTINGS).await?;
    Ok(())
}

async fn prepare_pooled(client: &ClientWrapper) -> Result<(), HookError> {
    match within(CONNECT_MAX, prepare(client)).await {
        Ok(()) => Ok(()),
        Err(Fault::Sql(error)) => Err(HookError::Backend(error)),
        Err(Fault::Down(reason)) => Err(HookError::message(reason)),
        Err(Fault::Store(error)) => Err(HookError::message(error.to_string())),
    }
}

/// A connection of the pool. If it is dropped while an answer is awaited, it does not go back.
pub(super) struct Session {
    object: Option<Object>,
    waiting: AtomicU32,
}

impl Session {
    /// The rows that a statement gives.
    pub(super) async fn rows(&self, sql: &'static str, params: Params<'_>) -> Outcome<Vec<Row>> {
        let client = self.client()?;
        self.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        })
        .await
    }

    /// The one row that a statement gives, or none.
    pub(super) async fn row(&self, sql: &'static str, params: Params<'_>) -> Outcome<Option<Row>> {
        let client = self.client()?;
        self.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.query_opt(&statement, params).await
        })
        .await
    }

    /// How many rows a statement changes.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Outcome<u64> {
        let client = self.client()?;
        self.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, params).await
        })
        .await
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Outcome<()> {
        self.answer(self.client()?.batch_execute(sql)).await
    }

    /// Starts a `copy … to stdout`. The connection goes back to the pool only after [`Self::settle`].
    pub(super) async fn copy_out(&self, sql: &str) -> Outcome<CopyOutStream> {
        let client = self.client()?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(client.copy_out(sql).await?)
    }

    /// Says that a copy was read to its end.
    pub(super) fn settle(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn client(&self) -> Outcome<&ClientWrapper> {
        let object = self.object.as_ref();
        object
            .map(|object| &**object)
            .ok_or_else(|| Fault::down("the connection is gone"))
    }

    async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Outcome<T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let answer = work.await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(answer?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.waiting.get_mut() > 0
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

/// A transaction: rolled back unless it is committed.
pub(super) struct Change {
    session: Session,
    pub(super) heads: Arc<Heads>,
    pub(super) generation: i64,
    /// What was appended to trails: nobody else of this process appends to them until the end.
    pub(super) appended: Option<Appended>,
    is_over: bool,
}

impl Change {
    /// Commits. Without an answer nobody knows whether it happened.
    pub(super) async fn commit(mut self) -> Outcome<()> {
        self.session.batch("commit").await?;
        self.is_over = true;
        if let Some(appended) = self.appended.take() {
            appended.publish();
        }
        Ok(())
    }
}

impl std::ops::Deref for Change {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.is_over || *self.session.waiting.get_mut() > 0 {
            return;
        }
        if let Ok(client) = self.session.client() {
            // Polled once, it is sent, ahead of whatever the next user of the connection sends. Its
            // answer is of no interest: a connection that cannot roll back is broken, and says so.
            drop(client.batch_execute("rollback").now_or_never());
        }
    }
}
