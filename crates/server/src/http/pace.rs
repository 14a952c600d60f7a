//! How fast a caller must be: a head within seconds, and no connection without progress for long.
//! One alarm for each connection looks at the time, and nothing is set up for a request.

use std::{
    io::{IoSlice, Result},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a head may take to arrive, from its first byte or from the beginning of the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay open between two requests, or without taking any more of an
/// answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A request is being answered: its own limits hold.
const BUSY: u64 = 0;
/// A head is arriving.
const HEAD: u64 = 1;
/// Nothing is awaited but the rest of an answer being taken, or the next request.
const IDLE: u64 = 2;

/// What a connection waits for, and since when.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Milliseconds since the beginning, times four, and what is awaited.
    state: AtomicU64,
}

impl Pace {
    /// The connection was accepted.
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            state: AtomicU64::new(HEAD),
        }
    }

    fn set(&self, awaited: u64) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        self.state.store(millis * 4 + awaited, Ordering::Relaxed);
    }

    fn awaited(&self) -> u64 {
        self.state.load(Ordering::Relaxed) % 4
    }

    /// A whole head has arrived.
    pub(super) fn note_head(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
    }

    /// The answer is on its way.
    pub(super) fn note_answer(&self) {
        self.set(IDLE);
    }

    fn note_read(&self) {
        if self.awaited() == IDLE {
            self.set(HEAD);
        }
    }

    fn note_write(&self) {
        // Also while the next head is arriving: the answer before it is still leaving.
        match self.awaited() {
            BUSY => {}
            awaited => self.set(awaited),
        }
    }

    /// For how long the connection may go on as it is; zero when its time is over.
    pub(super) fn left(&self) -> Duration {
        let state = self.state.load(Ordering::Relaxed);
        let limit = match state % 4 {
            HEAD => HEAD_TIMEOUT,
            IDLE => IDLE_TIMEOUT,
            _ => return HEAD_TIMEOUT,
        };
        let end = Duration::from_millis(state / 4) + limit;
        end.saturating_sub(self.began.elapsed())
    }
}

/// A stream that tells its pace when bytes come and go.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: std::sync::Arc<Pace>,
}

impl<S> Paced<S> {
    pub(super) const fn new(stream: S, pace: std::sync::Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = into.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, into));
        if into.filled().len() > before {
            self.pace.note_read();
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.pace.note_write();
        Poll::Ready(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts));
        self.pace.note_write();
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::Ordering,
        time::{Duration, Instant},
    };

    use super::{BUSY, HEAD, HEAD_TIMEOUT, IDLE, IDLE_TIMEOUT, Pace};

    /// A connection that began so long ago.
    fn aged(seconds: u64) -> Pace {
        let began = Instant::now().checked_sub(Duration::from_secs(seconds));
        Pace {
            began: began.expect("the clock runs for longer"),
            ..Pace::start()
        }
    }

    #[test]
    fn silent_connection_is_given_the_time_of_a_head() {
        assert!(aged(1).left() > HEAD_TIMEOUT - Duration::from_secs(2));
        assert!(aged(11).left().is_zero());
    }

    #[test]
    fn connection_rests_for_longer_than_a_head_may_take() {
        let pace = aged(100);
        pace.note_head();
        assert_eq!(pace.state.load(Ordering::Relaxed), BUSY);
        assert!(!pace.left().is_zero(), "an answer has limits of its own");
        pace.note_answer();
        assert_eq!(pace.awaited(), IDLE);
        assert!(pace.left() > IDLE_TIMEOUT - Duration::from_secs(1));
    }

    #[test]
    fn first_byte_of_the_next_head_starts_its_time_and_the_second_does_not() {
        let pace = aged(100);
        pace.note_answer();
        pace.note_read();
        let state = pace.state.load(Ordering::Relaxed);
        assert_eq!(pace.awaited(), HEAD);
        assert!(pace.left() <= HEAD_TIMEOUT);
        pace.note_read();
        assert_eq!(pace.state.load(Ordering::Relaxed), state);
    }

    #[test]
    fn taking_an_answer_is_progress() {
        let pace = Pace::start();
        pace.note_answer();
        let later = Pace {
            began: aged(59).began,
            state: pace.state,
        };
        assert!(later.left() < Duration::from_secs(2));
        later.note_write();
        assert!(later.left() > IDLE_TIMEOUT - Duration::from_secs(1));
    }
}
