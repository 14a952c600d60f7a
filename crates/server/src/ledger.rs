//! The audit trail's way to the store: many requests share one commit.
//!
//! A request hands its record over and, unless the mode is `relaxed`, waits until the commit that
//! carries it has returned. While one commit is under way the next batch gathers, so batches grow
//! with the load. When the store fails, whoever waits is told at once, and until the store has
//! answered again everything that must be recorded is refused without trying.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claviger_core::ledger::entry::Entry;
use claviger_store::Store;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{config::AuditMode, metrics::Metrics};

/// The most records in one commit.
const BATCH_MAX: usize = 512;
/// The most records that wait in memory; beyond it records are refused, or in `relaxed` mode lost
/// and counted.
const QUEUE_MAX: usize = 65_536;
/// How long a commit may take before whoever waits is told that it failed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a failed store is asked again.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// How long records gather in `relaxed` mode: the bound on what a crash can lose.
const RELAXED_GATHER: Duration = Duration::from_millis(15);

struct Item {
    entry: Entry,
    done: Option<oneshot::Sender<bool>>,
}

/// Where requests hand their records over.
pub struct Ledger {
    store: Arc<dyn Store>,
    mode: AuditMode,
    queue: Mutex<Vec<Item>>,
    arrived: Notify,
    is_down: AtomicBool,
    is_closing: AtomicBool,
    finished: Notify,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The record could not be committed: the request must not be answered as if it were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRecorded;

impl Ledger {
    /// Starts the task that commits.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, mode: AuditMode, metrics: Arc<Metrics>) -> Arc<Self> {
        let ledger = Arc::new(Self {
            store,
            mode,
            queue: Mutex::new(Vec::new()),
            arrived: Notify::new(),
            is_down: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            finished: Notify::new(),
            metrics,
        });
        tokio::spawn(Arc::clone(&ledger).run());
        ledger
    }

    /// Whether the store failed and has not answered since.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// Records a request as its mode demands; `must_wait` overrides `relaxed`.
    ///
    /// # Errors
    /// [`NotRecorded`] when the request must not be answered.
    pub async fn record(&self, entry: Entry, must_wait: bool) -> Result<(), NotRecorded> {
        if self.mode == AuditMode::Relaxed && !must_wait {
            self.push(Item { entry, done: None });
            return Ok(());
        }
        if self.is_down() {
            return Err(NotRecorded);
        }
        let (done, committed) = oneshot::channel();
        self.push(Item {
            entry,
            done: Some(done),
        });
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotRecorded),
        }
    }

    /// Hands a record over without waiting for it, whatever the mode.
    pub fn record_behind(&self, entry: Entry) {
        self.push(Item { entry, done: None });
    }

    fn push(&self, item: Item) {
        let mut queue = self.queue.lock();
        if queue.len() >= QUEUE_MAX {
            drop(queue);
            // Dropping the item tells whoever waits; nobody waits for the others.
            if item.done.is_none() {
                self.lose(1);
            }
            return;
        }
        queue.push(item);
        let is_first = queue.len() == 1;
        drop(queue);
        // The committing task takes the whole queue: it needs to be told of the first alone.
        if is_first {
            self.arrived.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        let mut kept: Vec<Item> = Vec::new();
        loop {
            if self.is_down() && !self.wait_until_up(&mut kept).await {
                break;
            }
            if kept.is_empty() {
                kept = std::mem::take(&mut *self.queue.lock());
            }
            if kept.is_empty() {
                if self.is_closing() {
                    break;
                }
                self.arrived.notified().await;
                if self.mode == AuditMode::Relaxed && !self.is_closing() {
                    tokio::time::sleep(RELAXED_GATHER).await;
                }
                continue;
            }
            self.commit_next(&mut kept).await;
        }
        self.finished.notify_one();
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Commits the first batch of what is kept. On failure the records that nobody waits for stay,
    /// to be tried again; true on success.
    async fn commit_next(&self, kept: &mut Vec<Item>) -> bool {
        let rest = kept.split_off(kept.len().min(BATCH_MAX));
        let batch = std::mem::replace(kept, rest);
        match self.commit(batch).await {
            Ok(()) => true,
            Err(failed) => {
                kept.splice(0..0, failed);
                false
            }
        }
    }

    /// Commits a batch. On failure gives back the records that nobody waits for.
    async fn commit(&self, batch: Vec<Item>) -> Result<(), Vec<Item>> {
        // A copy is kept only where a failure must not lose the record.
        let spare: Vec<Entry> = batch
            .iter()
            .filter(|item| item.done.is_none())
            .map(|item| item.entry.clone())
            .collect();
        let (entries, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|item| (item.entry, item.done))
            .unzip();
        let count = entries.len();
        let started = std::time::Instant::now();
        let outcome = tokio::time::timeout(COMMIT_TIMEOUT, self.store.append(entries)).await;
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("the commit took too long".to_owned()),
        };
        self.metrics.note_commit(started.elapsed(), count);
        let is_good = failure.is_none();
        if let Some(reason) = failure
            && !self.is_down.swap(true, Ordering::AcqRel)
        {
            tracing::error!(
                reason,
                "audit records cannot be committed: requests that need one are refused until they can"
            );
        }
        for done in waiting.into_iter().flatten() {
            // Whoever waited may have gone: its connection was closed.
            done.send(is_good).unwrap_or_default();
        }
        let again = |entry| Item { entry, done: None };
        if is_good {
            Ok(())
        } else {
            Err(spare.into_iter().map(again).collect())
        }
    }

    /// Asks the store, at intervals, until it answers and has taken what is kept; refuses meanwhile
    /// whoever waits. False when the service is closing and the store still fails.
    async fn wait_until_up(&self, kept: &mut Vec<Item>) -> bool {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            let arrived = std::mem::take(&mut *self.queue.lock());
            // Dropping a sender tells whoever waits that its record was not committed.
            kept.extend(arrived);
            kept.retain(|item| item.done.is_none());
            let excess = kept.len().saturating_sub(QUEUE_MAX);
            self.lose(kept.drain(..excess).count());
            // Read before the attempt, so that one is made after the service was told to close.
            let is_last = self.is_closing();
            let mut is_up = self.store.probe().await.is_ok();
            while is_up && !kept.is_empty() {
                is_up = self.commit_next(kept).await;
            }
            if is_up {
                self.is_down.store(false, Ordering::Release);
                tracing::info!("audit records are committed again");
                return true;
            }
            if is_last {
                tracing::error!(
                    records = kept.len(),
                    "the store still fails: audit records that nobody waited for are lost"
                );
                self.lose(kept.len());
                return false;
            }
        }
    }

    fn lose(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.audit_lost.inc_by(count);
    }

    /// Commits what was handed over, and ends.
    pub async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.arrived.notify_one();
        self.finished.notified().await;
    }
}
