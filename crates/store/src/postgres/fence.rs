//! Who serves the database: the lock, the task that keeps it, and the number that fences.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_postgres::Config;

use super::{
    fault::{Fault, Outcome},
    row::corrupt,
    session::{CONNECT_MAX, Link, connect, within},
};

/// The advisory lock that the one serving process holds.
const SERVING_LOCK: i64 = i64::from_be_bytes(*b"claviger");

/// How often a start asks for the lock, and how long it waits in between: the server may need a
/// moment to notice that the process before is gone.
const TRIES: u32 = 8;
const TRY_EVERY: Duration = Duration::from_millis(150);

/// How often the connection that holds the lock is asked whether it is alive, and for how long.
const ASK_EVERY: Duration = Duration::from_secs(3);
const ASK_MAX: Duration = Duration::from_secs(5);

/// The first and the longest wait before the lock is asked for again.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// How this process stands to the database.
#[derive(Debug, Clone)]
enum Standing {
    /// It holds the lock.
    Serves,
    /// It lost the lock and is trying to get it back.
    Seeks(String),
    /// Another process has served the database since: what this one knows is out of date.
    Superseded,
}

/// Keeps a process that no longer serves the database from changing it.
pub(super) struct Fence {
    /// The number of this process among those that have served the database; `None` when the row
    /// that counts them was missing at the start.
    generation: Option<i64>,
    standing: watch::Sender<Standing>,
}

impl Fence {
    pub(super) fn new(generation: Option<i64>) -> Self {
        Self {
            generation,
            standing: watch::Sender::new(Standing::Serves),
        }
    }

    /// The number of this process; matches no row when it was not counted.
    pub(super) fn generation(&self) -> i64 {
        self.generation.unwrap_or(-1)
    }

    /// Whether what is read may be answered.
    pub(super) fn allow_reads(&self) -> Outcome<()> {
        match &*self.standing.borrow() {
            Standing::Serves | Standing::Seeks(_) => Ok(()),
            Standing::Superseded => Err(superseded()),
        }
    }

    /// Whether anything may be changed, as far as is known without asking the database.
    pub(super) fn allow_writes(&self) -> Outcome<()> {
        match &*self.standing.borrow() {
            Standing::Serves => Ok(()),
            Standing::Seeks(reason) => Err(Fault::down(format!(
                "the lock that keeps other processes out is lost: {reason}"
            ))),
            Standing::Superseded => Err(superseded()),
        }
    }

    /// Compares the number in the database, as it was read in a transaction that changes something.
    pub(super) fn check(&self, found: Option<i64>) -> Outcome<()> {
        match (found, self.generation) {
            (Some(found), Some(own)) if found == own => Ok(()),
            (Some(_), Some(_)) => {
                self.standing.send_replace(Standing::Superseded);
                Err(superseded())
            }
            // Made anew behind our back: restart, and look at what else was restored.
            (Some(_), None) => Err(superseded()),
            (None, _) => {
                let reason = "its row is missing: restore it from a backup";
                Err(corrupt("the table `deployment`", reason).into())
            }
        }
    }

    fn set(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    fn is_superseded(&self) -> bool {
        matches!(&*self.standing.borrow(), Standing::Superseded)
    }
}

fn superseded() -> Fault {
    Fault::down("another process has taken over this database: restart this one to serve it again")
}

/// Asks for the lock until it is there; says no when another process keeps it.
pub(super) async fn take_lock(link: &Link) -> Outcome<bool> {
    for _ in 1..TRIES {
        if try_lock(link).await? {
            return Ok(true);
        }
        sleep(TRY_EVERY).await;
    }
    try_lock(link).await
}

async fn try_lock(link: &Link) -> Outcome<bool> {
    within(CONNECT_MAX, async {
        let row = link
            .client()
            .query_one("select pg_try_advisory_lock($1)", &[&SERVING_LOCK]);
        Ok(row.await?.try_get(0)?)
    })
    .await
}

/// The task that holds the lock, and gets it back when its connection breaks.
pub(super) struct Keeper {
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts with a connection that holds the lock.
    pub(super) fn start(link: Link, config: Config, fence: Arc<Fence>) -> Self {
        let stop = Arc::new(Notify::new());
        let watch = Watch {
            link: Some(link),
            config,
            fence,
            back_off: BACK_OFF_MIN,
        };
        Self {
            task: Mutex::new(Some(tokio::spawn(watch.run(Arc::clone(&stop))))),
            stop,
        }
    }

    /// Gives the lock back.
    pub(super) async fn close(&self) {
        self.stop.notify_one();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.await.unwrap_or_default();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

struct Watch {
    /// The connection that holds the lock, while there is one.
    link: Option<Link>,
    config: Config,
    fence: Arc<Fence>,
    back_off: Duration,
}

impl Watch {
    async fn run(mut self, stop: Arc<Notify>) {
        loop {
            tokio::select! {
                biased;
                () = stop.notified() => break,
                () = self.step() => {}
            }
            if self.fence.is_superseded() {
                tracing::error!("another process has taken over this database: restart this one");
                // The lock is of no use any more, and in the way of who serves now.
                self.link = None;
                stop.notified().await;
                break;
            }
        }
        if let Some(link) = &self.link {
            let unlock = async {
                link.client()
                    .execute("select pg_advisory_unlock($1)", &[&SERVING_LOCK])
                    .await?;
                Ok(())
            };
            // Without an answer the lock ends with the connection.
            within(CONNECT_MAX, unlock).await.unwrap_or_default();
        }
    }

    /// Waits for the next thing to do, and does it.
    async fn step(&mut self) {
        let Some(link) = &mut self.link else {
            return self.seek().await;
        };
        tokio::select! {
            () = link.ended() => return self.lose("its connection broke"),
            () = sleep(ASK_EVERY) => {}
        }
        let ask = within(ASK_MAX, async {
            Ok(link.client().batch_execute("select 1").await?)
        });
        if ask.await.is_err() {
            self.lose("its connection does not answer");
        }
    }

    fn lose(&mut self, reason: &str) {
        self.link = None;
        tracing::warn!("the lock on the database is lost, nothing can be changed: {reason}");
        self.fence.set(Standing::Seeks(reason.to_owned()));
        self.back_off = BACK_OFF_MIN;
    }

    async fn seek(&mut self) {
        sleep(self.back_off).await;
        self.back_off = BACK_OFF_MAX.min(self.back_off.saturating_mul(2));
        match self.take_again().await {
            Ok(Some(link)) => {
                tracing::info!("the lock on the database is held again");
                self.link = Some(link);
                self.fence.set(Standing::Serves);
            }
            Ok(None) => self
                .fence
                .set(Standing::Seeks("another process holds it".to_owned())),
            Err(fault) => {
                if !self.fence.is_superseded() {
                    let reason = fault.into_store("take the lock").to_string();
                    self.fence.set(Standing::Seeks(reason));
                }
            }
        }
    }

    /// The lock on a new connection, or nothing while another connection holds it.
    async fn take_again(&self) -> Outcome<Option<Link>> {
        let link = connect(&self.config).await?;
        let is_held = try_lock(&link).await?;
        let sql = "select generation from deployment where one = 1";
        let found = within(CONNECT_MAX, async {
            let row = link.client().query_opt(sql, &[]).await?;
            Ok(row.map(|row| row.try_get::<_, i64>(0)).transpose()?)
        });
        if let Some(found) = found.await? {
            self.fence.check(Some(found))?;
        }
        Ok(is_held.then_some(link))
    }
}
