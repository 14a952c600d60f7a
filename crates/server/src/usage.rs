//! What keys are used for: counted in memory for each request, written behind every two seconds.
//!
//! The audit trail is the truth; these are sums. A process that is killed loses what it has not
//! written yet; an orderly end loses nothing, and a write that fails is made again. When it is not
//! known whether a write happened, it is made again too: then a count may be too high.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use claviger_core::{
    advice::ITSELF,
    id::{KeyId, WorkspaceId},
    signal::Network,
    tier::Tier,
    time::Timestamp,
};
use claviger_store::{
    ADDRESSES_PER_KEY_MAX, AddressUse, HOUR, UsageBatch, UsageCell, UsageStore, hour_of,
};
use http::Method;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    metrics::Metrics,
    signals::{Seen, Sighting},
    trace::Trace,
};

/// For how long counts are kept.
pub const USAGE_KEPT: Duration = Duration::from_secs(180 * 86_400);
/// How many counts and addresses wait in memory at most. What would be more is not counted, and a
/// metric says how much that is.
const CELLS_MAX: usize = 200_000;
/// With so many waiting they are written at once.
const CELLS_PRESSING: usize = CELLS_MAX / 2;
/// How many counts a key begins in an hour. Beyond that its calls are counted without their
/// workspaces: whoever holds a key can name any number of workspaces, also such as do not exist.
const CELLS_PER_KEY_MAX: u32 = 2000;
/// A key that began fewer counts than this may begin anew when it was forgotten meanwhile.
const CELLS_FORGIVEN: u32 = 64;
/// How many counts are written in one transaction: other writers are let in between.
const BATCH_MAX: usize = 500;
/// How many old counts are forgotten in one transaction, and how many transactions an hour has.
const PURGE_MAX: u32 = 2000;
const PURGES_MAX: u32 = 500;
/// The number of shards: a power of two.
const SHARDS: usize = 64;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CellKey {
    key: KeyId,
    hour: Timestamp,
    method: &'static str,
    route: &'static str,
    workspace: Option<WorkspaceId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    calls: u64,
    refusals: u64,
    /// Calls with the key itself, and not in a session that it began: for signals.
    own: u64,
}

/// An address of a key, and whether the key itself called from there since it was last written.
#[derive(Debug)]
struct Place {
    seen: AddressUse,
    is_own: bool,
}

/// What is known of a key beside its counts.
#[derive(Debug)]
struct Book {
    hour: Timestamp,
    /// How many counts it began in this hour.
    begun: u32,
    addresses: Vec<Place>,
}

#[derive(Debug, Default)]
struct Shard {
    cells: HashMap<CellKey, Counts>,
    books: HashMap<KeyId, Book>,
}

/// Whether a request that was answered with this status was let in, or refused; `None` where nothing
/// was found out.
const fn is_let_in(status: u16) -> Option<bool> {
    match status {
        401 | 403 | 429 => Some(false),
        503 => None,
        _ => Some(true),
    }
}

/// Counts requests.
#[derive(Debug)]
pub struct Usage {
    shards: Box<[Mutex<Shard>]>,
    /// Counts and addresses in memory.
    waiting: AtomicUsize,
    pressing: Notify,
    /// What keys were seen to do, for signals.
    sightings: Mutex<Vec<Sighting>>,
    /// Held while counts are on their way to the store: who reads waits for it.
    writing: tokio::sync::Mutex<()>,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            waiting: AtomicUsize::new(0),
            pressing: Notify::new(),
            sightings: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }
}

/// The methods as they are counted: a caller can make up any number of others.
const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE",
];

fn counted_method(method: &Method) -> &'static str {
    let known = METHODS.iter().find(|known| **known == method.as_str());
    known.copied().unwrap_or("OTHER")
}

/// The routes on which a key may do to itself what takes a permission to do to another.
const OF_ITSELF: &[(&str, &str)] = &[
    ("/org/tokens/{id}/rotate", "/org/tokens/{self}/rotate"),
    (
        "/org/tokens/{id}/rotate/finish",
        "/org/tokens/{self}/rotate/finish",
    ),
    (
        "/org/tokens/{id}/rotate/cancel",
        "/org/tokens/{self}/rotate/cancel",
    ),
];

/// The route as it is counted.
fn counted_route(trace: &Trace, key: KeyId) -> &'static str {
    let of_itself = OF_ITSELF.iter().find(|(route, _)| *route == trace.route);
    let Some((_, of_itself)) = of_itself else {
        return trace.route;
    };
    let named = trace.path.split('/').nth(3);
    if named.is_some_and(|id| id.parse() == Ok(key)) {
        of_itself
    } else {
        trace.route
    }
}

/// The route of the table of routes that a counted route is.
#[must_use]
pub fn route_of_counted(counted: &str) -> Cow<'_, str> {
    if counted.contains(ITSELF) {
        Cow::Owned(counted.replace(ITSELF, "{id}"))
    } else {
        Cow::Borrowed(counted)
    }
}

impl Usage {
    /// Counts a request that is answered with this status, if an org API key was presented, or a
    /// session that a key began: that is the key.
    pub fn note(&self, trace: &Trace, status: u16, metrics: &Metrics) {
        let Some(key) = trace.principal.key else {
            return;
        };
        let Some(is_let_in) = is_let_in(status) else {
            return;
        };
        let at = CellKey {
            key,
            hour: hour_of(trace.at),
            method: counted_method(&trace.method),
            route: counted_route(trace, key),
            workspace: trace.workspace,
        };
        let counts = Counts {
            calls: u64::from(is_let_in),
            refusals: u64::from(!is_let_in),
            own: u64::from(is_let_in && trace.principal.tier == Tier::OrgKey),
        };
        // Whoever is refused must not push out the addresses of those who were let in.
        let seen = is_let_in.then(|| AddressUse {
            address: trace.client.to_canonical(),
            first_at: trace.at,
            last_at: trace.at,
            calls: 1,
        });
        self.add(at, counts, seen, metrics);
    }

    /// Adds to what is known, if there is room.
    fn add(&self, at: CellKey, counts: Counts, seen: Option<AddressUse>, metrics: &Metrics) {
        let Some(shard) = self.shard(at.key) else {
            return;
        };
        let mut shard = shard.lock();
        let room = CELLS_MAX.saturating_sub(self.waiting.load(Ordering::Relaxed));
        let Some(begun) = shard.add(at, counts, room) else {
            let lost = counts.calls.saturating_add(counts.refusals);
            metrics.usage_lost.inc_by(lost);
            return;
        };
        let is_own = counts.own > 0;
        let begun = begun + seen.map_or(0, |seen| shard.see(at.key, (seen, is_own)));
        if begun > 0 {
            // Under the lock: what is begun is counted before it can be forgotten.
            let before = self.waiting.fetch_add(begun, Ordering::Relaxed);
            if before < CELLS_PRESSING && before + begun >= CELLS_PRESSING {
                self.pressing.notify_one();
            }
        }
    }

    fn shard(&self, key: KeyId) -> Option<&Mutex<Shard>> {
        let at = usize::try_from(key.low() % 64).unwrap_or(0);
        self.shards.get(at)
    }

    /// Waits until so much is in memory that it should be written at once.
    pub async fn pressed(&self) {
        self.pressing.notified().await;
    }

    /// Writes all that was counted before the call. What cannot be written is kept for the next time.
    ///
    /// # Errors
    /// That of the store.
    pub async fn flush(
        &self,
        store: &dyn UsageStore,
        metrics: &Metrics,
    ) -> claviger_store::Result<()> {
        let alone = self.writing.lock().await;
        let mut outcome = Ok(());
        for part in parts(self.take(crate::clock::now())) {
            let part = Arc::new(part);
            // Once it has failed, the rest would only wait as long again.
            if outcome.is_ok() {
                outcome = store.add_usage(Arc::clone(&part)).await;
            }
            if outcome.is_err() {
                self.put_back(&part, metrics);
            }
        }
        drop(alone);
        outcome
    }

    /// Takes what was counted. Counts that were begun stay for a while, empty.
    fn take(&self, now: Timestamp) -> UsageBatch {
        let (mut batch, mut sightings) = (UsageBatch::default(), Vec::new());
        for shard in &self.shards {
            let mut shard = shard.lock();
            let forgotten = shard.take((&mut batch, &mut sightings), now);
            self.waiting.fetch_sub(forgotten, Ordering::Relaxed);
        }
        self.put_back_sightings(sightings);
        batch
    }

    /// What keys were seen to do, as far as it was taken to be written.
    pub(crate) fn take_sightings(&self) -> Vec<Sighting> {
        std::mem::take(&mut *self.sightings.lock())
    }

    /// Keeps what is to be looked at later. What finds no room is seen when the key does it again.
    pub(crate) fn put_back_sightings(&self, more: impl IntoIterator<Item = Sighting>) {
        let mut sightings = self.sightings.lock();
        let room = CELLS_MAX.saturating_sub(sightings.len());
        sightings.extend(more.into_iter().take(room));
    }

    /// Counts again what could not be written.
    fn put_back(&self, batch: &UsageBatch, metrics: &Metrics) {
        for cell in &batch.cells {
            let at = CellKey {
                key: cell.key,
                hour: cell.hour,
                method: cell.method,
                route: cell.route,
                workspace: cell.workspace,
            };
            let counts = Counts {
                calls: cell.calls,
                refusals: cell.refusals,
                own: 0,
            };
            self.add(at, counts, None, metrics);
        }
        for (key, seen) in &batch.addresses {
            if let Some(shard) = self.shard(*key) {
                let mut shard = shard.lock();
                let begun = shard.see(*key, (*seen, false));
                self.waiting.fetch_add(begun, Ordering::Relaxed);
            }
        }
    }
}

impl Shard {
    /// Adds to a count. Gives how many were begun for that, or `None` when there was no room.
    fn add(&mut self, mut at: CellKey, counts: Counts, room: usize) -> Option<usize> {
        if let Some(known) = self.cells.get_mut(&at) {
            known.add(counts);
            return Some(0);
        }
        let book = self.book(at.key, at.hour);
        if book.begun >= CELLS_PER_KEY_MAX {
            at.workspace = None;
        } else {
            book.begun += 1;
        }
        if let Some(known) = self.cells.get_mut(&at) {
            known.add(counts);
            return Some(0);
        }
        if room == 0 {
            return None;
        }
        self.cells.insert(at, counts);
        Some(1)
    }

    fn book(&mut self, key: KeyId, hour: Timestamp) -> &mut Book {
        let book = self.books.entry(key).or_insert_with(|| Book {
            hour,
            begun: 0,
            addresses: Vec::new(),
        });
        if hour > book.hour {
            (book.hour, book.begun) = (hour, 0);
        }
        book
    }

    /// Adds to an address. Gives how many were begun for that.
    fn see(&mut self, key: KeyId, (seen, is_own): (AddressUse, bool)) -> usize {
        let book = self.book(key, hour_of(seen.last_at));
        let known = book.addresses.iter_mut();
        if let Some(place) = known
            .into_iter()
            .find(|one| one.seen.address == seen.address)
        {
            place.is_own |= is_own;
            let known = &mut place.seen;
            // One that was written and is begun again is not known from before.
            known.first_at = match known.calls {
                0 => seen.first_at,
                _ => known.first_at.min(seen.first_at),
            };
            known.last_at = known.last_at.max(seen.last_at);
            known.calls = known.calls.saturating_add(seen.calls);
            return 0;
        }
        let most = usize::try_from(ADDRESSES_PER_KEY_MAX).unwrap_or(usize::MAX);
        if book.addresses.len() < most {
            book.addresses.push(Place { seen, is_own });
            return 1;
        }
        let oldest = book.addresses.iter_mut().min_by_key(|one| one.seen.last_at);
        if let Some(oldest) = oldest {
            *oldest = Place { seen, is_own };
        }
        0
    }

    /// Adds what was counted since the last time. Gives how many counts were forgotten because
    /// nothing was added to them meanwhile.
    fn take(
        &mut self,
        (batch, sightings): (&mut UsageBatch, &mut Vec<Sighting>),
        now: Timestamp,
    ) -> usize {
        let before = self.cells.len();
        self.cells.retain(|at, counts| {
            let taken = std::mem::take(counts);
            let is_used = taken.calls > 0 || taken.refusals > 0;
            // What no route serves is no endpoint.
            if taken.own > 0 && !at.route.is_empty() {
                sightings.push(Sighting {
                    key: at.key,
                    at: now,
                    what: Seen::Calls(at.method, at.route),
                });
            }
            if is_used {
                batch.cells.push(UsageCell {
                    key: at.key,
                    hour: at.hour,
                    method: at.method,
                    route: at.route,
                    workspace: at.workspace,
                    calls: taken.calls,
                    refusals: taken.refusals,
                });
            }
            is_used
        });
        let mut forgotten = before - self.cells.len();
        self.books.retain(|key, book| {
            let before = book.addresses.len();
            book.addresses.retain_mut(|Place { seen, is_own }| {
                let is_used = seen.calls > 0;
                if std::mem::take(is_own) {
                    sightings.push(Sighting {
                        key: *key,
                        at: seen.first_at,
                        what: Seen::From(Network::of(seen.address), seen.address),
                    });
                }
                if is_used {
                    batch.addresses.push((*key, *seen));
                    seen.calls = 0;
                }
                is_used
            });
            forgotten += before - book.addresses.len();
            let is_recent = book.hour.plus(HOUR * 2) > now;
            !book.addresses.is_empty() || is_recent && book.begun >= CELLS_FORGIVEN
        });
        forgotten
    }
}

impl Counts {
    const fn add(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.refusals = self.refusals.saturating_add(more.refusals);
        self.own = self.own.saturating_add(more.own);
    }
}

/// A batch in parts of a size that one transaction takes.
fn parts(batch: UsageBatch) -> Vec<UsageBatch> {
    let cells = batch.cells.chunks(BATCH_MAX).map(|part| UsageBatch {
        cells: part.to_vec(),
        addresses: Vec::new(),
    });
    let addresses = batch.addresses.chunks(BATCH_MAX).map(|part| UsageBatch {
        cells: Vec::new(),
        addresses: part.to_vec(),
    });
    let mut parts: Vec<UsageBatch> = cells.chain(addresses).collect();
    // Mostly both are few, and share a commit.
    if let [one, other] = parts.as_mut_slice()
        && one.addresses.is_empty()
        && other.cells.is_empty()
    {
        one.addresses = std::mem::take(&mut other.addresses);
        parts.truncate(1);
    }
    parts
}

/// Forgets what is older than [`USAGE_KEPT`], a part at a time.
pub async fn purge(store: &dyn UsageStore, now: Timestamp) {
    for _ in 0..PURGES_MAX {
        match store.purge_usage(now.minus(USAGE_KEPT), PURGE_MAX).await {
            Ok(0) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                return tracing::warn!(%error, "cannot forget old counts of what keys were used for");
            }
        }
    }
}

#[cfg(test)]
mod tests;
