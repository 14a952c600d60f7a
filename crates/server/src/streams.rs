//! Places for live streams: so many for each org and each caller, and an end for all of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claviger_core::{
    id::{KeyId, OrgId},
    limit::{Limit, Verdict},
    tier::{Actor, Principal},
    time::Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::failure::Failure;

/// How many streams one caller may have open.
pub(crate) const STREAMS_PER_CALLER_MAX: usize = 8;
/// How many streams one org may have open.
pub(crate) const STREAMS_PER_ORG_MAX: usize = 64;
/// How many streams there may be.
const STREAMS_MAX: usize = 512;
/// How many streams one caller may open in a minute: each of them leaves two records.
const OPENED_PER_MINUTE_MAX: u32 = 30;
/// Beyond this number of callers those whose minute is over are forgotten.
const CALLERS_MAX: usize = 10_000;
/// How long streams may take to end when the service stops.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Who reads: a key by its id, for its label changes with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Reader {
    Key(KeyId),
    Other(Actor),
}

#[derive(Debug, Default)]
struct Open {
    by_org: HashMap<OrgId, usize>,
    by_caller: HashMap<(OrgId, Reader), usize>,
    /// When each caller's opened streams count no more; see [`Limit`].
    arrivals: HashMap<(OrgId, Reader), i128>,
}

/// The streams that are open.
#[derive(Debug)]
pub(crate) struct Streams {
    open: Mutex<Open>,
    count: watch::Sender<usize>,
    closing: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            count: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        }
    }
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Arc<Streams>,
    org: OrgId,
    caller: (OrgId, Reader),
}

impl Streams {
    /// A place for a stream of this caller.
    ///
    /// # Errors
    /// [`Failure::TooManyStreams`].
    pub(crate) fn take(
        self: &Arc<Self>,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Place, Failure> {
        let reader = principal
            .key
            .map_or_else(|| Reader::Other(principal.actor.clone()), Reader::Key);
        let (org, caller) = (principal.org, (principal.org, reader));
        let limit = Limit {
            burst: OPENED_PER_MINUTE_MAX,
            window: Duration::from_secs(60),
        };
        let mut open = self.open.lock();
        if open.arrivals.len() > CALLERS_MAX {
            let present = i128::from(now.millis()) * i128::from(OPENED_PER_MINUTE_MAX);
            open.arrivals.retain(|_, arrival| *arrival > present);
        }
        let last = open.arrivals.get(&caller).copied().unwrap_or(0);
        let next = match limit.check(last, now) {
            Verdict::Allowed { next, .. } => next,
            Verdict::Refused { retry_after } => {
                return Err(too_many("you open streams too often", retry_after));
            }
        };
        let of_caller = open.by_caller.get(&caller).copied().unwrap_or(0);
        let of_org = open.by_org.get(&org).copied().unwrap_or(0);
        let what = match () {
            () if of_caller >= STREAMS_PER_CALLER_MAX => "you have too many streams open",
            () if of_org >= STREAMS_PER_ORG_MAX => "your org has too many streams open",
            () if *self.count.borrow() >= STREAMS_MAX => "too many streams are open",
            () => {
                open.arrivals.insert(caller.clone(), next);
                open.by_caller.insert(caller.clone(), of_caller + 1);
                open.by_org.insert(org, of_org + 1);
                self.count.send_modify(|count| *count += 1);
                let streams = Arc::clone(self);
                return Ok(Place {
                    streams,
                    org,
                    caller,
                });
            }
        };
        Err(too_many(what, Duration::from_secs(30)))
    }

    /// Says when the service stops.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Tells every stream to end.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until every stream has ended, but not for ever.
    pub(crate) async fn closed(&self) {
        let mut count = self.count.subscribe();
        let none = count.wait_for(|count| *count == 0);
        if tokio::time::timeout(CLOSE_MAX, none).await.is_err() {
            tracing::warn!("some streams did not end in time");
        }
    }
}

fn too_many(what: &'static str, retry_after: Duration) -> Failure {
    Failure::TooManyStreams { what, retry_after }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        take_one(&mut open.by_caller, &self.caller);
        take_one(&mut open.by_org, &self.org);
        drop(open);
        self.streams
            .count
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_core::{authenticate, grant::Grant, id::OrgId, tier::Principal, time::Timestamp};

    use super::{OPENED_PER_MINUTE_MAX, STREAMS_PER_CALLER_MAX, Streams};

    fn caller(org: u128) -> Principal {
        authenticate::admin_token(OrgId::from_u128(org), Arc::new(Grant::admin()))
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back() {
        let streams = Arc::new(Streams::default());
        let now = Timestamp::from_millis(1_790_000_000_000);
        let take = |org| streams.take(&caller(org), now);
        let mut held: Vec<_> = (0..STREAMS_PER_CALLER_MAX)
            .map(|_| take(1).expect("there is room"))
            .collect();
        assert!(take(1).is_err());
        held.push(take(2).expect("others have places of their own"));
        held.remove(0);
        held.push(take(1).expect("one was given back"));
        drop(held);
        streams.closed().await;
        let opened = u32::try_from(STREAMS_PER_CALLER_MAX + 1).expect("few");
        for _ in opened..OPENED_PER_MINUTE_MAX {
            drop(take(1).expect("not yet too often"));
        }
        assert!(take(1).is_err(), "too often");
        let later = now.plus(std::time::Duration::from_secs(61));
        assert!(streams.take(&caller(1), later).is_ok());
    }
}
