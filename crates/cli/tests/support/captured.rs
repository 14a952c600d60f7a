//! What a child process writes, gathered while it runs.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for words that must come: far beyond what a busy machine needs.
const WORDS_MAX: Duration = Duration::from_secs(60);

/// How much of a text is shown when a test fails.
const LAST_LINES: usize = 30;

/// The text of a stream so far, in whole lines.
#[derive(Clone, Debug)]
pub(crate) struct Captured(Arc<(Mutex<Heard>, Condvar)>);

#[derive(Debug, Default)]
struct Heard {
    text: String,
    is_over: bool,
}

impl Captured {
    /// Reads the stream to its end, on a thread of its own.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let captured = Self(Arc::default());
        let theirs = Arc::clone(&captured.0);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                let count = stream.read_until(b'\n', &mut line).unwrap_or_default();
                let mut heard = theirs.0.lock().unwrap_or_else(PoisonError::into_inner);
                heard.text.push_str(&String::from_utf8_lossy(&line));
                heard.is_over = count == 0;
                theirs.1.notify_all();
                if heard.is_over {
                    return;
                }
                line.clear();
            }
        });
        captured
    }

    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        let heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.text.clone()
    }

    /// Waits until something is found in the text.
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let (found, text) = self.wait(WORDS_MAX, |heard| find(&heard.text));
        found.unwrap_or_else(|| {
            let last = last_lines(&text);
            panic!("{what} did not come within {WORDS_MAX:?}:\n{last}")
        })
    }

    /// Waits for the end of the stream, and says whether it came.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        self.wait(limit, |heard| heard.is_over.then_some(()))
            .0
            .is_some()
    }

    fn wait<T>(&self, limit: Duration, find: impl Fn(&Heard) -> Option<T>) -> (Option<T>, String) {
        let deadline = Instant::now() + limit;
        let mut heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let found = find(&heard);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || heard.is_over || left.is_zero() {
                return (found, heard.text.clone());
            }
            let woken = self.0.1.wait_timeout(heard, left);
            heard = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The end of a text that may be long.
pub(crate) fn last_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
    lines.reverse();
    lines.join("\n")
}
