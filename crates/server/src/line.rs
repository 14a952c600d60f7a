//! The audit line on standard output: gathered in memory, written by a thread of its own.
//!
//! A formatted `tracing` event per request cost a third of the whole request budget; pushing a
//! line into a shared buffer costs a fraction of a microsecond.

use std::{
    cell::RefCell,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// The most bytes that wait; beyond it lines are dropped and counted: a reader that does not read
/// must not stop the service, and the records themselves are in the store.
const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(3);

thread_local! {
    /// Where a line is written before it is added.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Shared {
    buffer: Mutex<Vec<u8>>,
    is_closing: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Writes lines.
pub struct LineWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    handle: std::thread::Thread,
}

impl std::fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineWriter").finish_non_exhaustive()
    }
}

impl LineWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            buffer: Mutex::default(),
            is_closing: AtomicBool::new(false),
            metrics,
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || theirs.run())?;
        let handle = thread.thread().clone();
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            handle,
        })
    }

    /// Adds a line; `push` writes it with its line break.
    pub fn push(&self, push: impl FnOnce(&mut Vec<u8>)) {
        SCRATCH.with_borrow_mut(|line| {
            line.clear();
            push(line);
            self.add(line);
        });
    }

    /// Holds the lock for as long as it takes to copy: every request of every thread comes here.
    fn add(&self, line: &[u8]) {
        let mut buffer = self.shared.buffer.lock();
        if buffer.len() > BUFFER_BYTES_MAX {
            self.shared.metrics.lines_dropped.inc();
            return;
        }
        let was_empty = buffer.is_empty();
        buffer.extend_from_slice(line);
        drop(buffer);
        if was_empty {
            self.handle.unpark();
        }
    }

    /// Writes what is left, and ends.
    pub fn close(&self) {
        self.shared.is_closing.store(true, Ordering::Release);
        self.handle.unpark();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes audit lines died");
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut lines = Vec::new();
        loop {
            // Read before the buffer is taken: what was pushed before the close is written.
            let is_last = self.is_closing.load(Ordering::Acquire);
            std::mem::swap(&mut lines, &mut *self.buffer.lock());
            if lines.is_empty() {
                if is_last {
                    return;
                }
                std::thread::park();
                // Not a park with a time-out: the token of the last push would end it at once.
                std::thread::sleep(GATHER);
                continue;
            }
            // Standard output may be closed; the records are in the store all the same.
            let mut out = std::io::stdout().lock();
            out.write_all(&lines)
                .and_then(|()| out.flush())
                .unwrap_or_default();
            lines.clear();
            if !is_last {
                std::thread::sleep(GATHER);
            }
        }
    }
}
