//! What is anchored while the service runs: at intervals, and once at its end.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    id::OrgId,
    ledger::{
        entry::{Entry, Kind},
        record::Record,
    },
};
use claviger_store::{AuditFilter, Page, StoreError};
use tokio::{sync::watch, time::Instant};

use super::{
    OrgState, State,
    rollback::{Rollback, compare},
    rounds::Round,
    sentence, told,
};
use crate::{app::App, checkpoints, failure::Failure};

/// How many orgs are fetched at a time.
const ORGS_PAGE: u32 = 500;
/// So many records at most are looked at to see whether they are about anchors: more were left by others.
const OWN_RECORDS_MAX: u32 = 8;
/// How long the anchors at the end may take.
const END_MAX: Duration = Duration::from_secs(10);

/// Why a turn does not go on.
#[derive(Debug)]
enum Stop {
    /// The database is behind.
    Rollback(Vec<Rollback>),
    /// Something failed, for one org or for all.
    Failed(Failure),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Anchors until the service is told to stop.
pub(crate) async fn run(app: Arc<App>, stopped: watch::Receiver<bool>) {
    let every = app.anchors.every;
    let mut turns = tokio::time::interval_at(Instant::now() + every, every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let turns = async {
        loop {
            turns.tick().await;
            app.anchor().await;
        }
    };
    tokio::select! {
        () = turns => {}
        () = crate::until(stopped) => {}
    }
}

impl App {
    /// Anchors what is new in each trail, once. Stops the service if the database turns out to be
    /// behind what was anchored before.
    pub async fn anchor(&self) {
        if self.anchors.places.is_empty() || self.anchors.halted().is_some() {
            return;
        }
        let mut state = self.anchors.state.lock().await;
        match turn(self, &mut state).await {
            Ok(()) => {}
            Err(Stop::Rollback(found)) => self.halt(&found),
            Err(Stop::Failed(failure)) => {
                tracing::warn!(error = %failure, "cannot anchor; trying again at the next turn");
            }
        }
    }

    /// Anchors what is new, when nothing more is served.
    pub(crate) async fn anchor_at_the_end(&self) {
        if tokio::time::timeout(END_MAX, self.anchor()).await.is_err() {
            tracing::warn!("not all that is new could be anchored in time");
        }
    }

    /// From here on nothing is served: what is written now may have to be thrown away.
    fn halt(&self, found: &[Rollback]) {
        let sentence = sentence(found);
        if self.anchors.halted.set(sentence.clone()).is_ok() {
            tracing::error!("nothing is served any more: {sentence}");
            self.streams.close();
        }
    }
}

async fn turn(app: &App, state: &mut State) -> Result<(), Stop> {
    let mut after = None;
    loop {
        let limit = ORGS_PAGE;
        let trails = app.store.list_ledgers(Page { after, limit }).await?;
        let Some((last, _)) = trails.last() else {
            return Ok(());
        };
        after = Some(*last);
        for (org, size) in trails {
            match anchor(app, state, org, size).await {
                Ok(()) => {}
                // It was deleted a moment ago.
                Err(Stop::Failed(Failure::Store(StoreError::NotFound("org")))) => {}
                Err(Stop::Failed(failure)) => {
                    tracing::error!(%org, error = %failure, "the audit trail cannot be anchored");
                }
                Err(stop @ Stop::Rollback(_)) => return Err(stop),
            }
        }
    }
}

/// Anchors a trail of so many records where that is due.
async fn anchor(app: &App, state: &mut State, org: OrgId, size: u64) -> Result<(), Stop> {
    let base = app.anchors.file.as_ref().and_then(|file| file.base(org));
    if base.as_ref().is_some_and(|base| size < base.size) {
        compare_file(app, org).await?;
    }
    let mut known = match state.orgs.remove(&org) {
        Some(known) => known,
        None => OrgState::new(app.store.anchors(org).await?, &app.anchors.places),
    };
    let outcome = anchor_known(app, state, (org, size), &mut known).await;
    state.orgs.insert(org, known);
    let Some((round, checkpoint)) = outcome? else {
        return Ok(());
    };
    if !round.found.is_empty() {
        return Err(Stop::Rollback(round.found));
    }
    for place in &round.taken {
        app.anchors.note_taken(state, org, place);
    }
    let mut entries = Vec::new();
    if !round.taken.is_empty() {
        entries.push(told::anchored(org, checkpoint, &round.taken));
    }
    for (place, trouble) in &round.failed {
        if let Some(reason) = app.anchors.note_trouble(state, (org, place), trouble) {
            entries.push(told::not_anchored(org, checkpoint.0, place, &reason));
        }
    }
    record(app, entries).await;
    Ok(())
}

/// Size and root of what was anchored, and what became of it; `None` if there was nothing to do.
type Done = Option<(Round, (u64, claviger_core::ledger::tree::Hash))>;

async fn anchor_known(
    app: &App,
    state: &State,
    (org, size): (OrgId, u64),
    known: &mut OrgState,
) -> Result<Done, Stop> {
    let has_grown = has_grown(app, known, org, size).await?;
    let target = if has_grown { size } else { known.target };
    let lacks = |place: &&Arc<str>| known.taken(place).lacks(target) && target > 0;
    let places = app.anchors.places.iter().filter(lacks);
    let wanted = places.filter(|place| !state.is_paused(org, place));
    let wanted: Vec<_> = wanted.cloned().collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    compare_file(app, org).await?;
    let checkpoint = if has_grown {
        checkpoints::fresh(app, org).await.map_err(Stop::Failed)?
    } else {
        let last = app.store.last_checkpoint(org).await?;
        last.ok_or(StoreError::NotFound("checkpoint"))?
    };
    known.target = known.target.max(checkpoint.size);
    known.quiet = known.quiet.max(checkpoint.size);
    let what = (org, &checkpoint);
    let round = app.anchors.bring(&*app.store, what, known, &wanted).await?;
    Ok(Some((round, (checkpoint.size, checkpoint.root))))
}

/// Makes sure that the database still has what the file says.
async fn compare_file(app: &App, org: OrgId) -> Result<(), Stop> {
    let base = app.anchors.file.as_ref().and_then(|file| file.base(org));
    let Some(base) = base else { return Ok(()) };
    match compare(&*app.store, org, &base).await? {
        Ok(()) => Ok(()),
        Err(there) => {
            let found = vec![Rollback::of_file(org, &base, there)];
            Err(Stop::Rollback(found))
        }
    }
}

/// Whether there are records that are not about anchors, since the last one.
async fn has_grown(
    app: &App,
    known: &mut OrgState,
    org: OrgId,
    size: u64,
) -> claviger_store::Result<bool> {
    let new = size.saturating_sub(known.quiet);
    if new == 0 {
        return Ok(false);
    }
    if new > OWN_RECORDS_MAX.into() {
        return Ok(true);
    }
    let page = Page {
        after: Some(known.quiet),
        limit: OWN_RECORDS_MAX,
    };
    let found = app
        .store
        .export_audit(org, AuditFilter::default(), page)
        .await?;
    let is_own = |bytes: &[u8]| {
        let record = Record::read(bytes);
        record.is_some_and(|record| record.kind == Kind::Anchor.as_str())
    };
    let own = found.rows.iter().take_while(|row| is_own(&row.bytes));
    let has_grown = own.map(|row| row.seq).last() < Some(size);
    if !has_grown {
        known.quiet = size;
    }
    Ok(has_grown)
}

async fn record(app: &App, entries: Vec<Entry>) {
    for entry in entries {
        if app.ledger.record(entry, true).await.is_err() {
            tracing::warn!("what became of an anchor could not be recorded");
        }
    }
}
