//! `/org/audit/stream`: the trail as it grows, as server-sent events.
//!
//! A task of its own reads the trail and fills a small queue; the connection empties it. Whether the
//! caller would still be let in is asked before anything leaves the queue, so what is revoked gets
//! nothing more. Each event has the number of its record for an id: whoever comes back with the last
//! one goes on there.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use claviger_core::action::{Action, ReadAudit, ReadKeys};
use http::{HeaderName, StatusCode};
use serde_json::json;
use tokio::{
    sync::{
        mpsc::{self, OwnedPermit, Receiver, Sender},
        watch,
    },
    time::{Instant, sleep_until, timeout},
};

use super::audit::{filter, known, known_of_key, push_event};
use crate::{
    app::App,
    clock,
    failure::Failure,
    gate::{self, Call, Query, Reply, Watch},
    ops::tail::{Step, Tail},
    problem,
    streams::Place,
    trace::Trace,
};

/// The media type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// How many parts wait for a connection that is slower than the trail; one more is kept for the end.
const QUEUE_MAX: usize = 4;
/// How long a part may wait for its place in the queue.
const SLOW_MAX: Duration = Duration::from_secs(5);
/// How often something is sent when there is nothing to tell.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How often the trail is looked at, and the caller, when nothing is heard of commits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long commits gather before they are read: under load many share a look.
const GATHER: Duration = Duration::from_millis(50);

/// `GET /org/audit/stream`.
///
/// # Errors
/// As [`super::audit::query`]; 429 for too many streams.
pub async fn of_trail(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&known(&["after"]))?;
    let (filter, after) = (filter(&query)?, after(&call, &query)?);
    let tail = Tail::of_trail(&call.app, &call.permit, filter, after).await?;
    open(&call, tail)
}

/// `GET /org/tokens/{id}/activity/stream`.
///
/// # Errors
/// As [`super::audit::activity`]; 429 for too many streams.
pub async fn of_key(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&known_of_key(&["after"]))?;
    let asked = (filter(&query)?, after(&call, &query)?);
    let id = call.id(0, "key")?;
    let tail = Tail::of_key(&call.app, &call.permit, id, asked).await?;
    open(&call, tail)
}

/// After which record to begin: what a client says that was here before counts more.
fn after<A: Action>(call: &Call<A>, query: &Query) -> Result<Option<u64>, Failure> {
    let asked = query.parse::<u64>("after", "the number of a record")?;
    let Some(seen) = call.headers.get("last-event-id") else {
        return Ok(asked);
    };
    let seen = seen.to_str().ok().and_then(|text| text.parse().ok());
    seen.map(Some).ok_or_else(|| Failure::Malformed {
        code: "bad_query",
        field: Some("Last-Event-ID".to_owned()),
        reason: "the header `Last-Event-ID` must be the id of an event".to_owned(),
    })
}

fn open<A: Action>(call: &Call<A>, tail: Tail) -> Result<Reply, Failure> {
    let place = call
        .app
        .streams
        .take(call.permit.principal(), clock::now())?;
    let watch = Arc::new(call.watch());
    let (out, queue) = mpsc::channel(QUEUE_MAX + 1);
    let last = out.clone().try_reserve_owned();
    let last = last.map_err(|error| Failure::Internal(error.to_string()))?;
    let stream = Stream {
        app: Arc::clone(&call.app),
        trace: Arc::clone(&call.trace),
        watch: Arc::clone(&watch),
        tail,
        sent: 0,
    };
    tokio::spawn(stream.run(out, last, place));
    let body = Body::from_stream(futures_util::stream::unfold(
        Some((queue, watch)),
        |state| async move { next_part(state?).await },
    ));
    Ok(Reply::body(StatusCode::OK, EVENT_STREAM, body)
        // Proxies that gather answers would hold a stream back.
        .with(HeaderName::from_static("x-accel-buffering"), "no"))
}

type Queue = (Receiver<Bytes>, Arc<Watch>);
type Part = (Result<Bytes, std::convert::Infallible>, Option<Queue>);

/// The next part of the body. To a caller who is not let in any more only the reason is told.
async fn next_part((mut queue, watch): Queue) -> Option<Part> {
    let part = queue.recv().await?;
    match watch.check() {
        Ok(()) => Some((Ok(part), Some((queue, watch)))),
        Err(failure) => Some((Ok(Ended::Refused(failure).event(None)), None)),
    }
}

/// Why a stream ends.
#[derive(Debug)]
enum Ended {
    /// The caller hung up.
    Gone,
    /// The caller would not be let in any more, or the trail cannot be read.
    Refused(Failure),
    /// The caller takes less than there is.
    TooSlow,
    /// The service stops.
    Closing,
}

impl Ended {
    fn code(&self) -> &'static str {
        match self {
            Self::Gone => "client_gone",
            Self::Refused(failure) => problem::answer(failure).code,
            Self::TooSlow => "too_slow",
            Self::Closing => "shutting_down",
        }
    }

    /// The last event.
    fn event(&self, last_id: Option<u64>) -> Bytes {
        let detail = match self {
            Self::Gone => String::new(),
            Self::Refused(failure) => problem::answer(failure).detail,
            Self::TooSlow => "you read more slowly than records arrive; go on after the last one, \
                              or with a narrower filter"
                .to_owned(),
            Self::Closing => "the service stops; come back".to_owned(),
        };
        let said = json!({"code": self.code(), "detail": detail, "last_event_id": last_id});
        Bytes::from(format!("event: end\ndata: {said}\n\n"))
    }
}

/// The task that reads.
struct Stream {
    app: Arc<App>,
    trace: Arc<Trace>,
    watch: Arc<Watch>,
    tail: Tail,
    /// How many records were sent.
    sent: u64,
}

impl Stream {
    async fn run(mut self, out: Sender<Bytes>, last: OwnedPermit<Bytes>, place: Place) {
        let ended = tokio::select! {
            biased;
            ended = self.follow(&out) => ended,
            () = out.closed() => Ended::Gone,
        };
        last.send(ended.event(Some(self.tail.cursor())));
        let change = json!({"stream": {
            "opened": self.trace.id.to_string(),
            "sent": self.sent,
            "last_seq": self.tail.cursor(),
        }});
        gate::record_stream_end(&self.app, &self.trace, ended.code(), &change);
        // Last: whoever waits for streams to end waits for their records too.
        drop(place);
    }

    async fn follow(&mut self, out: &Sender<Bytes>) -> Ended {
        let mut commits = self.app.ledger.commits();
        let mut closing = self.app.streams.closing();
        if out
            .send(Bytes::from_static(b"retry: 2000\n\n"))
            .await
            .is_err()
        {
            return Ended::Gone;
        }
        let mut said_at = Instant::now();
        loop {
            if let Err(failure) = self.watch.check() {
                return Ended::Refused(failure);
            }
            if *closing.borrow_and_update() {
                return Ended::Closing;
            }
            commits.borrow_and_update();
            let step = match self.tail.step(&self.app).await {
                Ok(step) => step,
                Err(failure) => return Ended::Refused(failure),
            };
            let is_due = said_at.elapsed() >= HEARTBEAT_EVERY;
            if !step.rows.is_empty() || is_due {
                let part = self.part(&step);
                said_at = Instant::now();
                match timeout(SLOW_MAX, out.send(part)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ended::Gone,
                    Err(_elapsed) => return Ended::TooSlow,
                }
            }
            if !step.is_behind {
                self.pause(&mut commits, &mut closing).await;
            }
        }
    }

    /// Waits until there may be something new. A caller who is not let in any more is found out at
    /// once: what ends a credential is a commit too.
    async fn pause(&self, commits: &mut watch::Receiver<()>, closing: &mut watch::Receiver<bool>) {
        let look_at = Instant::now() + LOOK_EVERY;
        tokio::select! {
            // An error means that the service is gone, which is found out at the next look.
            changed = commits.changed() => changed.unwrap_or_default(),
            changed = closing.changed() => return changed.unwrap_or_default(),
            () = sleep_until(look_at) => return,
        }
        if self.watch.check().is_ok() {
            sleep_until(Instant::now() + GATHER).await;
        }
    }

    /// The events of these records. Without any, a line that keeps the connection open and says how far
    /// the trail was looked at.
    fn part(&mut self, step: &Step) -> Bytes {
        let mut part = Vec::new();
        for row in &step.rows {
            part.extend_from_slice(format!("id: {}\ndata: ", row.seq).as_bytes());
            push_event(&mut part, row);
            part.extend_from_slice(b"\n\n");
        }
        if step.rows.is_empty() {
            part = format!(": nothing new\nid: {}\n\n", self.tail.cursor()).into_bytes();
        }
        self.sent += u64::try_from(step.rows.len()).unwrap_or(0);
        Bytes::from(part)
    }
}
