//! The thread that writes: it takes what waits, runs it in one transaction, and answers after the
//! commit. The longer a commit takes, the more share the next one.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use claviger_core::ledger::{batch::Batch, entry::Entry};
use rusqlite::Connection;
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};
use tracing::{error, warn};

use super::{Fault, Outcome, WAIT_MAX, ledgers::Ledgers, unavailable};
use crate::{Receipt, Recorder, Result, StoreError, Written};

/// How many jobs may wait. Past this the disk does not keep up, and callers are told at once.
const QUEUE_MAX: usize = 8192;

/// How many jobs share one commit.
const BATCH_MAX: usize = 256;

/// Which job this is, for errors, and how it is to be treated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    doing: &'static str,
    is_synced: bool,
    wait: Duration,
}

impl Order {
    /// A change of authority or data: it is on the disk before the answer.
    pub(super) const fn synced(doing: &'static str) -> Self {
        Self {
            doing,
            is_synced: true,
            wait: WAIT_MAX,
        }
    }

    /// What may be lost with the power, but not with the process.
    pub(super) const fn quick(doing: &'static str) -> Self {
        Self {
            is_synced: false,
            ..Self::synced(doing)
        }
    }

    /// The same with another time to wait for the answer.
    pub(super) const fn within(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

/// The way to the thread that writes.
pub(super) struct Writer {
    jobs: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_audit_synced: bool,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

impl Writer {
    /// Starts the thread. It keeps the lock until the file is closed.
    pub(super) fn start(
        connection: Connection,
        lock: File,
        is_audit_synced: bool,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let state = State {
            connection,
            is_full: false,
            ledgers: Ledgers::default(),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                state.serve(&queue);
                drop(lock);
            })?;
        Ok(Self {
            jobs,
            thread: Mutex::new(Some(thread)),
            is_audit_synced,
        })
    }

    /// Runs work in the next transaction, in a savepoint of its own, and answers after the commit.
    pub(super) async fn change<T, W>(&self, order: Order, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Change {
            order,
            work: Some(work),
            outcome: None,
            answer,
        });
        match self.jobs.try_send(Message::Job(job)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(unavailable(order.doing, "too many writes wait already"));
            }
            Err(TrySendError::Disconnected(_)) => return Err(stopped(order.doing)),
        }
        match timeout(order.wait, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(stopped(order.doing)),
            Err(elapsed) => Err(unavailable(order.doing, elapsed)),
        }
    }

    /// Appends records in their order.
    pub(super) async fn append(&self, batch: Arc<Batch>) -> Result<()> {
        let order = Order {
            is_synced: self.is_audit_synced,
            ..Order::quick("append audit records")
        };
        self.change(order, move |tx| tx.append(batch)).await
    }

    /// Lets what waits be written, and waits for the thread to end.
    pub(super) async fn close(&self) {
        let Some(thread) = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        let jobs = self.jobs.clone();
        let ended = spawn_blocking(move || {
            // An error here means that the thread is gone already.
            jobs.send(Message::Close).is_ok() && thread.join().is_ok()
        });
        match timeout(WAIT_MAX, ended).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => error!("the writer thread did not end well"),
            Err(_) => error!("the writer thread is still busy; it is left to itself"),
        }
    }
}

fn stopped(doing: &'static str) -> StoreError {
    unavailable(doing, "the database was closed")
}

/// The transaction as a job sees it.
pub(super) struct Tx<'a> {
    /// The connection. Jobs neither begin nor end a transaction on it.
    pub(super) sql: &'a Connection,
    pub(super) ledgers: &'a mut Ledgers,
}

impl Tx<'_> {
    /// Writes the record of a change, and hands out the receipt that goes with it.
    pub(super) fn written<T>(&mut self, value: T, record: Recorder<T>) -> Outcome<Written<T>> {
        self.written_many(value, |value| vec![record(value)])
    }

    /// Writes the records of a change that is several things at once.
    pub(super) fn written_many<T>(
        &mut self,
        value: T,
        record: impl FnOnce(&T) -> Vec<Entry>,
    ) -> Outcome<Written<T>> {
        self.append(Arc::new(Batch::from_iter(record(&value))))?;
        Ok(Written {
            value,
            receipt: Receipt(()),
        })
    }

    /// Writes records at the next numbers of their orgs.
    pub(super) fn append(&mut self, batch: Arc<Batch>) -> Outcome<()> {
        self.ledgers.add(self.sql, batch)
    }
}

/// Work, and the one who waits for it.
trait Job: Send {
    fn is_synced(&self) -> bool;
    /// Whether nobody waits any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work, and tells whether it is to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells what came of it; of a failed transaction nothing did.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct Change<T, W> {
    order: Order,
    work: Option<W>,
    outcome: Option<Outcome<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, W> Job for Change<T, W>
where
    T: Send,
    W: FnOnce(&mut Tx<'_>) -> Outcome<T> + Send,
{
    fn is_synced(&self) -> bool {
        self.order.is_synced
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        // A recorder is code of the caller: if it panics, its own change fails and no other.
        self.outcome = catch_unwind(AssertUnwindSafe(|| work(tx))).ok();
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let doing = self.order.doing;
        let outcome = match (failure, self.outcome) {
            (Some(failure), _) => Err(unavailable(doing, failure)),
            (None, Some(outcome)) => outcome.map_err(|fault| fault.into_store(doing)),
            (None, None) => Err(unavailable(doing, "it was given up by a panic")),
        };
        if self.answer.send(outcome).is_err() {
            warn!("nobody waited for the answer to: {doing}");
        }
    }
}

/// What the thread owns.
struct State {
    connection: Connection,
    /// Whether a commit waits for the disk as the connection is set now.
    is_full: bool,
    ledgers: Ledgers,
}

impl State {
    fn serve(mut self, queue: &Receiver<Message>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        let mut is_open = true;
        while is_open {
            // Blocks for the first, and takes along what came meanwhile.
            let mut next = queue.recv().ok();
            loop {
                match next {
                    Some(Message::Job(job)) => jobs.push(job),
                    Some(Message::Close) => is_open = false,
                    None => {
                        is_open = is_open && !jobs.is_empty();
                        break;
                    }
                }
                if !is_open || jobs.len() >= BATCH_MAX {
                    break;
                }
                next = queue.try_recv().ok();
            }
            // Whoever gave up was told that nothing happened: so nothing shall.
            jobs.retain(|job| !job.is_abandoned());
            self.run(&mut jobs);
        }
        let checkpoint = self
            .connection
            .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            warn!("the write-ahead log stays, and is read at the next start: {error}");
        }
        if let Err((_, error)) = self.connection.close() {
            warn!("the database was not closed: {error}");
        }
    }

    /// Runs a batch and answers everybody in it.
    fn run(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        let failure = self.commit(jobs).err().map(|fault| self.abort(&fault));
        for job in jobs.drain(..) {
            job.answer(failure.as_deref());
        }
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Outcome<()> {
        self.set_full(jobs.iter().any(|job| job.is_synced()))?;
        execute(&self.connection, "begin immediate")?;
        for job in jobs {
            execute(&self.connection, "savepoint job")?;
            let mut tx = Tx {
                sql: &self.connection,
                ledgers: &mut self.ledgers,
            };
            if job.run(&mut tx) {
                self.ledgers.keep();
            } else {
                // Some errors (no space, no memory) make SQLite end the transaction by itself.
                if self.connection.is_autocommit() {
                    return Err(unavailable("go on", "the database gave up the transaction").into());
                }
                self.ledgers.undo();
                execute(&self.connection, "rollback to job")?;
            }
            execute(&self.connection, "release job")?;
        }
        self.ledgers.flush(&self.connection)?;
        execute(&self.connection, "commit")
    }

    /// Undoes what is left of a failed transaction, and says why it failed.
    fn abort(&mut self, fault: &Fault) -> String {
        self.ledgers.forget();
        let reason = match fault {
            Fault::Sql(error) => error.to_string(),
            Fault::Store(error) => error.to_string(),
        };
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("rollback")
        {
            error!("cannot roll back: {error}");
        }
        error!("a transaction failed: {reason}");
        reason
    }

    /// In WAL mode a commit without `full` is a write to the log: it outlives the process, and is
    /// synced together with the next one that is full.
    fn set_full(&mut self, is_full: bool) -> Outcome<()> {
        if self.is_full != is_full {
            self.connection.execute_batch(if is_full {
                "pragma synchronous = full"
            } else {
                "pragma synchronous = normal"
            })?;
            self.is_full = is_full;
        }
        Ok(())
    }
}

fn execute(sql: &Connection, statement: &str) -> Outcome<()> {
    sql.prepare_cached(statement)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use claviger_core::{
        id::{EventId, OrgId},
        ledger::entry::Draft,
        tier::Actor,
        time::Timestamp,
    };

    use super::{Arc, Batch, Change, Connection, Job, Ledgers, Order, Outcome, State, Tx, oneshot};
    use crate::{OpenOptions, Result, StoreError};

    fn state() -> State {
        let mut connection = Connection::open_in_memory().expect("opened");
        let options = OpenOptions {
            url: String::new(),
            sync_audit: false,
            default_org: OrgId::from_u128(1),
            now: Timestamp::from_millis(1),
        };
        super::super::prepare(&mut connection, &options).expect("a schema");
        State {
            connection,
            is_full: false,
            ledgers: Ledgers::default(),
        }
    }

    /// A record of each of these orgs.
    fn batch(orgs: &[u128]) -> Arc<Batch> {
        let draft = |org: &u128| {
            let (id, at) = (EventId::from_u128(1), Timestamp::from_millis(1));
            Draft::of_operation(id, 0, at, OrgId::from_u128(*org), &Actor::AdminToken).write()
        };
        Arc::new(orgs.iter().map(draft).collect())
    }

    type Answer = oneshot::Receiver<Result<()>>;

    fn job<W>(work: W) -> (Box<dyn Job>, Answer)
    where
        W: FnOnce(&mut Tx<'_>) -> Outcome<()> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Change {
            order: Order::synced("test"),
            work: Some(work),
            outcome: None,
            answer,
        };
        (Box::new(job), answered)
    }

    /// The first and the last number of each run, and the size of the trail.
    fn numbers(state: &State) -> (Vec<(i64, i64)>, i64) {
        let sql = &state.connection;
        let mut find = sql
            .prepare("select first_seq, last_seq from audit_runs order by first_seq")
            .expect("SQL");
        let rows = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let size = sql.query_row("select size from ledgers", [], |row| row.get(0));
        (
            rows.expect("rows")
                .map(|run| run.expect("numbers"))
                .collect(),
            size.expect("a size"),
        )
    }

    #[test]
    fn a_job_that_fails_takes_no_other_with_it_and_leaves_no_gap() {
        let mut state = state();
        let (good, good_answer) = job(|tx| tx.append(batch(&[1, 1])));
        let (refused, refused_answer) = job(|tx| {
            tx.sql.execute("delete from deployment", [])?;
            tx.append(batch(&[1]))?;
            Err(StoreError::ActorGone.into())
        });
        let (broken, broken_answer) = job(|tx| {
            tx.append(batch(&[1]))?;
            Ok(tx.sql.execute_batch("insert into keys (id) values ('x')")?)
        });
        let (panicking, panicking_answer) = job(|tx| {
            tx.append(batch(&[1]))?;
            panic!("a recorder gave up")
        });
        let (stranger, stranger_answer) = job(|tx| tx.append(batch(&[1, 2])));
        let (last, last_answer) = job(|tx| tx.append(batch(&[1])));
        state.run(&mut vec![good, refused, broken, panicking, stranger, last]);

        let now = |mut answer: Answer| answer.try_recv().expect("answered");
        now(good_answer).expect("kept");
        assert!(matches!(now(refused_answer), Err(StoreError::ActorGone)));
        assert!(matches!(
            now(broken_answer),
            Err(StoreError::Unavailable { .. })
        ));
        assert!(matches!(
            now(panicking_answer),
            Err(StoreError::Unavailable { .. })
        ));
        assert!(matches!(
            now(stranger_answer),
            Err(StoreError::NotFound("org"))
        ));
        now(last_answer).expect("kept");
        assert_eq!(numbers(&state), (vec![(1, 3)], 3));
        let deployments = state
            .connection
            .query_row("select count(*) from deployment", [], |r| r.get(0));
        assert_eq!(deployments, Ok(1));
    }

    #[test]
    fn a_transaction_that_fails_fails_for_everybody_and_numbers_go_on_where_they_were() {
        let mut state = state();
        let (before, before_answer) = job(|tx| tx.append(batch(&[1])));
        state.run(&mut vec![before]);
        let (good, good_answer) = job(|tx| tx.append(batch(&[1])));
        let (fatal, fatal_answer) = job(|tx| Ok(tx.sql.execute_batch("rollback; selekt")?));
        state.run(&mut vec![good, fatal]);
        let (after, after_answer) = job(|tx| tx.append(batch(&[1])));
        state.run(&mut vec![after]);

        let now = |mut answer: Answer| answer.try_recv().expect("answered");
        now(before_answer).expect("kept");
        assert!(matches!(
            now(good_answer),
            Err(StoreError::Unavailable { .. })
        ));
        assert!(matches!(
            now(fatal_answer),
            Err(StoreError::Unavailable { .. })
        ));
        now(after_answer).expect("kept");
        assert_eq!(numbers(&state), (vec![(1, 1), (2, 2)], 2));
    }
}
