//! The audit trail's way to the store: many requests share one commit.
//!
//! A request hands its record over and, unless the mode is `relaxed`, waits until the commit that
//! carries it has returned. While one commit is under way the next batch gathers, so batches grow
//! with the load. When the store fails, whoever waits is told at once, and until the store has
//! answered again everything that must be recorded is refused without trying.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
const RELAXED_GATHER: Duration = Duration::from_millis(5);

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
    lost: AtomicU64,
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
            lost: AtomicU64::new(0),
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

    /// Says that the store failed elsewhere: the ledger asks it until it answers.
    pub fn report_failure(&self) {
        if !self.is_down.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "the store does not answer: changes and secret reads are refused until it does"
            );
            self.arrived.notify_one();
        }
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
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.metrics.audit_lost.inc();
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
            if self.is_down() {
                self.wait_until_up(&mut kept).await;
            }
            if kept.is_empty() {
                kept = std::mem::take(&mut *self.queue.lock());
            }
            if kept.is_empty() {
                if self.is_closing.load(Ordering::Acquire) {
                    break;
                }
                self.arrived.notified().await;
                if self.mode == AuditMode::Relaxed && !self.is_closing.load(Ordering::Acquire) {
                    tokio::time::sleep(RELAXED_GATHER).await;
                }
                continue;
            }
            let rest = kept.split_off(kept.len().min(BATCH_MAX));
            let batch = std::mem::replace(&mut kept, rest);
            let failed = self.commit(batch).await;
            if !failed.is_empty() {
                kept.splice(0..0, failed);
            }
        }
        self.finished.notify_one();
    }

    /// Commits a batch. On failure gives back the records that nobody waits for, to be tried again.
    async fn commit(&self, batch: Vec<Item>) -> Vec<Item> {
        let (entries, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|item| (item.entry, item.done))
            .unzip();
        // A copy is kept only where a failure must not lose the record.
        let spare: Vec<_> = if waiting.iter().all(Option::is_some) {
            Vec::new()
        } else {
            entries
                .iter()
                .zip(&waiting)
                .filter(|(_, done)| done.is_none())
                .map(|(e, _)| e.clone())
                .collect()
        };
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
        if let Some(reason) = failure {
            self.is_down.store(true, Ordering::Release);
            tracing::error!(
                reason,
                "audit records cannot be committed: requests that need one are refused"
            );
        }
        for done in waiting.into_iter().flatten() {
            // Whoever waited may have gone: its connection was closed.
            done.send(is_good).unwrap_or_default();
        }
        if is_good {
            Vec::new()
        } else {
            spare
                .into_iter()
                .map(|entry| Item { entry, done: None })
                .collect()
        }
    }

    /// Asks the store until it answers; refuses meanwhile whoever waits.
    async fn wait_until_up(&self, kept: &mut Vec<Item>) {
        loop {
            let arrived = std::mem::take(&mut *self.queue.lock());
            // Dropping a sender tells whoever waits that its record was not committed.
            kept.extend(arrived.into_iter().filter(|item| item.done.is_none()));
            kept.retain(|item| item.done.is_none());
            let excess = kept.len().saturating_sub(QUEUE_MAX);
            if excess > 0 {
                kept.drain(..excess);
                self.metrics
                    .audit_lost
                    .inc_by(u64::try_from(excess).unwrap_or(u64::MAX));
            }
            match self.store.probe().await {
                Ok(()) => {
                    self.is_down.store(false, Ordering::Release);
                    tracing::info!("the store answers again");
                    return;
                }
                Err(_) if self.is_closing.load(Ordering::Acquire) => {
                    tracing::error!(
                        records = kept.len(),
                        "the store does not answer: audit records are lost"
                    );
                    kept.clear();
                    self.is_down.store(false, Ordering::Release);
                    return;
                }
                Err(_) => tokio::time::sleep(PROBE_EVERY).await,
            }
        }
    }

    /// Commits what was handed over, and ends.
    pub async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.arrived.notify_one();
        self.finished.notified().await;
    }
}
