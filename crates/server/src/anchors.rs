//! Anchors: checkpoints of the trails that are kept outside the database, so that it shows if the
//! database is set back or written anew. A file, a webhook, and witnesses take them.
//!
//! What was anchored is compared with the database before anything is served, and again before each
//! anchor. If the database is behind, nothing is served: whoever decides what then counts is the operator.

mod file;
mod look;
mod rollback;
mod rounds;
mod start;
mod told;
mod turns;
mod web;
mod witness;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use claviger_core::{id::OrgId, time::Timestamp};
use claviger_store::{Anchored, Checkpoint, Page, Store};
use parking_lot::Mutex;

use self::{file::AnchorFile, rollback::Rollback, web::Webhook, witness::Witness};
use crate::{ServeError, clock, config::Config};

pub(crate) use look::doctor;
pub(crate) use turns::run;

/// Why nothing is served, for whoever reaches the port.
pub(crate) const HALTED: &str = "the database is behind what was anchored of its audit trails, so records may be lost: \
     nothing is served until the operator has decided, and the log says what was found";

/// The longest time between two tries at a place that does not take anchors.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How often it is recorded that a place does not take anchors.
const TELL_EVERY: Duration = Duration::from_hours(1);
/// How many rollbacks are named one by one.
const NAMED_MAX: usize = 3;

/// The name of the file among the places.
const FILE: &str = "file";
/// The name of the webhook among the places.
const WEBHOOK: &str = "webhook";

/// Why a place has not taken a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// It takes none, for whatever org.
    Outage(String),
    /// It does not take that of this org.
    Refused(String),
    /// It knows a larger one, or another of its size: of so many records, if it says that.
    Ahead {
        /// How many.
        size: Option<u64>,
    },
}

/// Where checkpoints go, and what is known of that.
pub(crate) struct Anchors {
    file: Option<Arc<AnchorFile>>,
    webhook: Option<Webhook>,
    witnesses: Vec<Witness>,
    /// Every place by its name, in the order in which they are asked.
    places: Vec<Arc<str>>,
    every: Duration,
    halted: OnceLock<String>,
    /// The places that do not take anchors, and since when.
    troubles: Mutex<BTreeMap<Arc<str>, Timestamp>>,
    state: tokio::sync::Mutex<State>,
}

impl std::fmt::Debug for Anchors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Anchors")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// What is known between two turns.
#[derive(Debug, Default)]
struct State {
    orgs: HashMap<OrgId, OrgState>,
    /// Places that are left alone for a while: for all orgs, or for one.
    pauses: HashMap<(Option<OrgId>, Arc<str>), Pause>,
}

/// What is known of an org.
#[derive(Debug, Default)]
struct OrgState {
    /// How far each place knows the trail.
    places: HashMap<Arc<str>, Taken>,
    /// How many records the last checkpoint had that was to be anchored.
    target: u64,
    /// Up to this record nothing came since but what anchors left themselves.
    quiet: u64,
}

/// How far a place knows a trail.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    size: u64,
    is_given_up: bool,
}

impl Taken {
    /// Whether the place has yet to take a checkpoint of this size.
    const fn lacks(self, size: u64) -> bool {
        self.is_given_up || self.size < size
    }
}

#[derive(Debug)]
struct Pause {
    failures: u32,
    until: Instant,
    told: Option<Instant>,
}

impl Pause {
    /// After a first failure the next turn tries again, then every second, fourth, eighth.
    fn after(before: Option<&Self>, every: Duration) -> Self {
        let failures = before.map_or(0, |pause| pause.failures).saturating_add(1);
        let turns = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX) - 1;
        let wait = every.saturating_mul(turns).min(PAUSE_MAX);
        Self {
            failures,
            until: Instant::now() + wait,
            told: before.and_then(|pause| pause.told),
        }
    }
}

impl State {
    fn is_paused(&self, org: OrgId, place: &Arc<str>) -> bool {
        let now = Instant::now();
        [None, Some(org)].into_iter().any(|whose| {
            let pause = self.pauses.get(&(whose, Arc::clone(place)));
            pause.is_some_and(|pause| pause.until > now)
        })
    }
}

impl OrgState {
    fn new(rows: Vec<Anchored>, places: &[Arc<str>]) -> Self {
        let taken = rows.into_iter().filter_map(|row| {
            let place = places.iter().find(|place| ***place == *row.place)?;
            let (size, is_given_up) = (row.size, row.is_given_up);
            Some((Arc::clone(place), Taken { size, is_given_up }))
        });
        let places: HashMap<_, _> = taken.collect();
        let known = places.values().filter(|taken| !taken.is_given_up);
        let target = known.map(|taken| taken.size).max().unwrap_or(0);
        Self {
            places,
            target,
            quiet: target,
        }
    }

    fn taken(&self, place: &Arc<str>) -> Taken {
        self.places.get(place).copied().unwrap_or_default()
    }
}

impl Anchors {
    /// What the settings name; the file is read.
    fn new(config: &Config, known: file::Known<'_>) -> Result<Self, ServeError> {
        let anchors = &config.anchors;
        let file = anchors.file.as_ref().map(|path| {
            let file = AnchorFile::open(path, known);
            file.map_err(|source| ServeError::AnchorFile {
                path: path.display().to_string(),
                source,
            })
        });
        let file = file.transpose()?.map(Arc::new);
        let webhook = anchors.webhook.as_ref().map(Webhook::new).transpose();
        let webhook = webhook.map_err(ServeError::Anchors)?;
        let witnesses = anchors.witnesses.iter().map(Witness::new);
        let witnesses = witnesses.collect::<Result<Vec<_>, _>>();
        let witnesses = witnesses.map_err(ServeError::Anchors)?;
        let mut places: Vec<_> = witnesses
            .iter()
            .map(|witness| Arc::clone(&witness.name))
            .collect();
        places.extend(file.is_some().then(|| FILE.into()));
        places.extend(webhook.is_some().then(|| WEBHOOK.into()));
        Ok(Self {
            file,
            webhook,
            witnesses,
            places,
            every: anchors.every,
            halted: OnceLock::new(),
            troubles: Mutex::default(),
            state: tokio::sync::Mutex::default(),
        })
    }

    /// Why nothing is served, for the operator.
    pub(crate) fn halted(&self) -> Option<&str> {
        self.halted.get().map(String::as_str)
    }

    /// The places that do not take anchors, in words for whoever reaches the port.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let troubles = self.troubles.lock();
        let words = troubles.iter().map(|(place, since)| {
            format!("nothing is anchored in this place since {since}: {place}")
        });
        words.collect()
    }

    /// The newest checkpoint that witnesses have signed.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn cosigned(
        &self,
        store: &dyn Store,
        org: OrgId,
    ) -> claviger_store::Result<Option<Checkpoint>> {
        let known = OrgState::new(store.anchors(org).await?, &self.places);
        let witnesses = self.witnesses.iter();
        let taken = witnesses.map(|witness| known.taken(&witness.name));
        let signed = taken.filter(|taken| !taken.is_given_up && taken.size > 0);
        let Some(size) = signed.map(|taken| taken.size).max() else {
            return Ok(None);
        };
        let page = Page {
            after: Some(size - 1),
            limit: 1,
        };
        let found = store.list_checkpoints(org, page).await?;
        Ok(found.into_iter().find(|found| found.size == size))
    }

    /// A place has not taken a checkpoint; gives whether that is to be recorded.
    fn note_trouble(
        &self,
        state: &mut State,
        (org, place): (OrgId, &Arc<str>),
        trouble: &Trouble,
    ) -> Option<String> {
        let (whose, reason) = match trouble {
            Trouble::Outage(reason) => (None, reason.clone()),
            Trouble::Refused(reason) => (Some(org), reason.clone()),
            Trouble::Ahead { .. } => (
                Some(org),
                "it still knows the history that was given up".to_owned(),
            ),
        };
        let mut troubles = self.troubles.lock();
        troubles.entry(Arc::clone(place)).or_insert_with(clock::now);
        drop(troubles);
        let key = (whose, Arc::clone(place));
        let mut pause = Pause::after(state.pauses.get(&key), self.every);
        tracing::warn!(%org, place = &**place, reason, failures = pause.failures, "a checkpoint cannot be anchored");
        let is_due = pause.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if is_due {
            pause.told = Some(Instant::now());
        }
        state.pauses.insert(key, pause);
        is_due.then_some(reason)
    }

    /// A place has taken a checkpoint.
    fn note_taken(&self, state: &mut State, org: OrgId, place: &Arc<str>) {
        for whose in [None, Some(org)] {
            state.pauses.remove(&(whose, Arc::clone(place)));
        }
        let is_waited_for = state.pauses.keys().any(|(_, other)| other == place);
        if !is_waited_for && self.troubles.lock().remove(place).is_some() {
            tracing::info!(place = &**place, "checkpoints are anchored again");
        }
    }
}

/// What was found and what to do, in one sentence.
fn sentence(found: &[Rollback]) -> String {
    let named: Vec<_> = found
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    let more = match found.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and so {more} times more"),
    };
    format!(
        "the database is behind what was anchored: {}{more}. Restore a newer backup; or, if what is missing is lost, start once with --accept-rollback, which each trail tells of",
        named.join("; ")
    )
}
