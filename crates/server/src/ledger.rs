//! The audit trail's way to the store: many requests share one commit.
//!
//! A request hands its record over and, unless the mode is `relaxed`, waits until the commit that
//! carries it has returned. While one commit is under way the next lot gathers, so lots grow with
//! the load. When the store fails, whoever waits is told at once, and until the store has
//! answered again everything that must be recorded is refused without trying.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claviger_core::ledger::{batch::Batch, entry::Entry};
use claviger_store::Store;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::{config::AuditMode, metrics::Metrics};

/// The most bytes of records in one commit.
const LOT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most lots that wait in memory; beyond it records are refused, or where nobody waits for
/// them lost and counted.
const LOTS_MAX: usize = 32;
/// How long a commit may take before whoever waits is told that it failed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a failed store is asked again.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// How long records gather in `relaxed` mode: the bound on what a crash can lose.
const RELAXED_GATHER: Duration = Duration::from_millis(5);
/// How often a commit lets others go first while records keep arriving. Each time the runtime looks
/// at every socket that is ready, so a burst shares one commit and a single request waits for
/// nothing.
const GATHER_TURNS_MAX: usize = 16;

/// Records that go into one commit, and who waits for it.
#[derive(Default)]
struct Lot {
    batch: Arc<Batch>,
    waiting: Vec<oneshot::Sender<bool>>,
}

/// What waits to be committed. Records that somebody waits for fail with their commit; the others
/// are kept and tried again: so they never share a lot.
#[derive(Default)]
struct Queue {
    awaited: VecDeque<Lot>,
    behind: VecDeque<Lot>,
    /// Cleared: its memory is used again.
    spare: Option<Arc<Batch>>,
    /// How many records that nobody waits for were handed over since the start.
    given_behind: u64,
}

/// Where requests hand their records over.
pub struct Ledger {
    store: Arc<dyn Store>,
    mode: AuditMode,
    queue: Mutex<Queue>,
    arrived: Notify,
    is_down: AtomicBool,
    is_closing: AtomicBool,
    finished: Notify,
    /// Changes when records were committed.
    committed: watch::Sender<()>,
    /// How many records that nobody waited for are committed; also told when a commit failed.
    done_behind: watch::Sender<u64>,
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

impl Queue {
    fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.behind.is_empty()
    }

    /// Keeps the memory of a batch that was committed, unless the store still holds it.
    fn reuse(&mut self, mut batch: Arc<Batch>) {
        if let Some(whole) = Arc::get_mut(&mut batch) {
            whole.clear();
            self.spare = Some(batch);
        }
    }

    /// Adds a record to the last lot of its kind that has room; false when there is no room at all.
    fn push(&mut self, entry: &Entry, waiting: Option<oneshot::Sender<bool>>) -> bool {
        let is_behind = waiting.is_none();
        let lots = if is_behind {
            &mut self.behind
        } else {
            &mut self.awaited
        };
        let has_room = |lot: &&mut Lot| lot.batch.bytes() < LOT_BYTES_MAX;
        if lots.back_mut().filter(has_room).is_none() {
            if lots.len() >= LOTS_MAX {
                return false;
            }
            lots.push_back(Lot {
                batch: self.spare.take().unwrap_or_default(),
                waiting: Vec::new(),
            });
        }
        if let Some(lot) = lots.back_mut() {
            // Nobody else holds a lot that still waits, so nothing is copied here.
            Arc::make_mut(&mut lot.batch).push(entry);
            lot.waiting.extend(waiting);
        }
        self.given_behind += u64::from(is_behind);
        true
    }
}

impl Ledger {
    /// Starts the task that commits.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, mode: AuditMode, metrics: Arc<Metrics>) -> Arc<Self> {
        let ledger = Arc::new(Self {
            store,
            mode,
            queue: Mutex::default(),
            arrived: Notify::new(),
            is_down: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            finished: Notify::new(),
            committed: watch::Sender::new(()),
            done_behind: watch::Sender::new(0),
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

    /// Says when records were committed: not how many, nor that there is nothing else.
    pub(crate) fn commits(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// A change was committed, and its record with it.
    pub(crate) fn note_change(&self) {
        self.committed.send_replace(());
    }

    /// Records a request as its mode demands; `must_wait` overrides `relaxed`.
    ///
    /// # Errors
    /// [`NotRecorded`] when the request must not be answered.
    pub async fn record(&self, entry: Entry, must_wait: bool) -> Result<(), NotRecorded> {
        if self.mode == AuditMode::Relaxed && !must_wait {
            self.record_behind(entry);
            return Ok(());
        }
        if self.is_down() {
            return Err(NotRecorded);
        }
        let (done, committed) = oneshot::channel();
        self.push(&entry, Some(done));
        drop(entry);
        // Without room the sender is dropped: that is an answer too.
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotRecorded),
        }
    }

    /// Hands a record over without waiting for it, whatever the mode.
    pub fn record_behind(&self, entry: Entry) {
        if !self.push(&entry, None) {
            self.lose(1);
        }
    }

    /// Waits until all that was handed over before is committed.
    ///
    /// # Errors
    /// [`NotRecorded`] when the store fails, or takes too long.
    pub(crate) async fn flush(&self) -> Result<(), NotRecorded> {
        let given = self.queue.lock().given_behind;
        let mut done = self.done_behind.subscribe();
        let settled = done.wait_for(|done| *done >= given || self.is_down());
        match tokio::time::timeout(COMMIT_TIMEOUT, settled).await {
            Ok(Ok(done)) if *done >= given => Ok(()),
            Ok(_) | Err(_) => Err(NotRecorded),
        }
    }

    fn push(&self, entry: &Entry, waiting: Option<oneshot::Sender<bool>>) -> bool {
        let mut queue = self.queue.lock();
        let is_first = queue.is_empty();
        let is_kept = queue.push(entry, waiting);
        drop(queue);
        // The committing task takes what there is: it needs to be told of the first alone.
        if is_first {
            self.arrived.notify_one();
        }
        is_kept
    }

    async fn run(self: Arc<Self>) {
        loop {
            if self.is_down() && !self.wait_until_up().await {
                break;
            }
            self.gather().await;
            let (awaited, behind) = {
                let mut queue = self.queue.lock();
                (queue.awaited.pop_front(), queue.behind.pop_front())
            };
            if awaited.is_none() && behind.is_none() {
                if self.is_closing() {
                    break;
                }
                self.arrived.notified().await;
                if self.mode == AuditMode::Relaxed && !self.is_closing() {
                    tokio::time::sleep(RELAXED_GATHER).await;
                }
                continue;
            }
            // Side by side, so that the store can take both in one commit.
            tokio::join!(self.commit_awaited(awaited), self.commit_behind(behind));
        }
        self.finished.notify_one();
    }

    /// Waits for as long as every turn of the runtime brings more records. (To hold a commit back
    /// for a millisecond while many wait was tried: it cost as much and answered half as often.)
    async fn gather(&self) {
        let count = || {
            let queue = self.queue.lock();
            let next = queue.awaited.front();
            next.map_or(0, |lot| lot.batch.len())
        };
        let mut before = count();
        for _ in 0..GATHER_TURNS_MAX {
            if before == 0 {
                return;
            }
            tokio::task::yield_now().await;
            let now = count();
            if now == before {
                return;
            }
            before = now;
        }
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Commits a lot, and tells those who wait.
    async fn commit_awaited(&self, lot: Option<Lot>) {
        let Some(lot) = lot else { return };
        let is_good = self.commit(Arc::clone(&lot.batch)).await;
        for done in lot.waiting {
            // Whoever waited may have gone: its connection was closed.
            done.send(is_good).unwrap_or_default();
        }
        self.queue.lock().reuse(lot.batch);
    }

    /// Commits a lot that nobody waits for; after a failure it is the first again. True on success.
    async fn commit_behind(&self, lot: Option<Lot>) -> bool {
        let Some(lot) = lot else { return true };
        let count = u64::try_from(lot.batch.len()).unwrap_or(u64::MAX);
        let is_good = self.commit(Arc::clone(&lot.batch)).await;
        self.done_behind
            .send_modify(|done| *done += if is_good { count } else { 0 });
        let mut queue = self.queue.lock();
        if is_good {
            queue.reuse(lot.batch);
        } else {
            queue.behind.push_front(lot);
        }
        is_good
    }

    async fn commit(&self, batch: Arc<Batch>) -> bool {
        let count = batch.len();
        let started = std::time::Instant::now();
        let outcome = tokio::time::timeout(COMMIT_TIMEOUT, self.store.append(batch)).await;
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("the commit took too long".to_owned()),
        };
        self.metrics.note_commit(started.elapsed(), count);
        let is_good = failure.is_none();
        self.committed.send_replace(());
        if let Some(reason) = failure
            && !self.is_down.swap(true, Ordering::AcqRel)
        {
            tracing::error!(
                reason,
                "audit records cannot be committed: requests that need one are refused until they can"
            );
        }
        is_good
    }

    /// Asks the store, at intervals, until it answers and has taken what nobody waits for; refuses
    /// meanwhile whoever waits. False when the service is closing and the store still fails.
    async fn wait_until_up(&self) -> bool {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            // Dropping a sender tells whoever waits that its record was not committed.
            drop(std::mem::take(&mut self.queue.lock().awaited));
            // Read before the attempt, so that one is made after the service was told to close.
            let is_last = self.is_closing();
            let mut is_up = self.store.probe().await.is_ok();
            while is_up {
                let next = self.queue.lock().behind.pop_front();
                if next.is_none() {
                    break;
                }
                is_up = self.commit_behind(next).await;
            }
            if is_up {
                self.is_down.store(false, Ordering::Release);
                tracing::info!("audit records are committed again");
                return true;
            }
            if is_last {
                let left = std::mem::take(&mut self.queue.lock().behind);
                let records = left.iter().map(|lot| lot.batch.len()).sum();
                tracing::error!(
                    records,
                    "the store still fails: audit records that nobody waited for are lost"
                );
                self.lose(records);
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
