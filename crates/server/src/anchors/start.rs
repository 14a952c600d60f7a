//! Before anything is served: whether the database has all that was anchored, and what the operator
//! says to it if not.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use claviger_core::{
    id::OrgId,
    ledger::{
        anchor::{Anchor, GivenUp},
        note::VerifierKey,
        tree::{Hash, empty_root},
    },
};
use claviger_store::{Anchored, Checkpoint, Page, Store, StoreError};

use super::{
    Anchors, FILE, OrgState, State,
    rollback::{Rollback, There, compare},
    sentence, told,
};
use crate::{ServeError, checkpoints, clock, config::Config, log_key::LogKeys};

/// How many orgs are fetched at a time.
const ORGS_PAGE: u32 = 500;
/// How long places over the network are asked. What was not asked by then is asked at the first turn.
const ASK_MAX: Duration = Duration::from_secs(30);

impl Anchors {
    /// Opens the places, and compares what was anchored there with the database.
    ///
    /// # Errors
    /// [`ServeError::RolledBack`] when the database is behind and the operator has not accepted that;
    /// [`ServeError::AnchorFile`] when nothing can be added to the file.
    pub(crate) async fn open(
        config: &Config,
        store: &dyn Store,
        keys: &LogKeys,
    ) -> Result<Self, ServeError> {
        let witnesses = config.anchors.witnesses.iter();
        let witnesses: Vec<VerifierKey> = witnesses.map(|witness| witness.key.clone()).collect();
        let known = |org: OrgId| {
            let mut known = keys.verifier_keys(org);
            known.extend(witnesses.iter().cloned());
            Some(known)
        };
        let mut anchors = Self::new(config, &known)?;
        let mut found = anchors.compare_file(store).await?;
        let mut state = State::default();
        found.extend(anchors.ask_places(store, &mut state).await?);
        if found.is_empty() {
            if config.accepts_rollback {
                tracing::warn!(
                    "--accept-rollback was given, and the database is not behind what was anchored: it does nothing"
                );
            }
        } else if config.accepts_rollback {
            anchors.accept(store, keys, &found).await?;
            // What is known is read anew.
            state.orgs.clear();
        } else {
            return Err(ServeError::RolledBack(sentence(&found)));
        }
        *anchors.state.get_mut() = state;
        Ok(anchors)
    }

    /// What the file says and the database does not.
    async fn compare_file(&self, store: &dyn Store) -> Result<Vec<Rollback>, ServeError> {
        let mut found = Vec::new();
        let Some(file) = &self.file else {
            return Ok(found);
        };
        for (org, base) in file.bases() {
            if let Err(there) = compare(store, org, &base).await? {
                found.push(Rollback::of_file(org, &base, there));
            }
        }
        Ok(found)
    }

    /// Brings the last checkpoint of each trail to the places over the network, to see whether they
    /// know more. Those that cannot be asked keep nobody from starting.
    async fn ask_places(
        &self,
        store: &dyn Store,
        state: &mut State,
    ) -> Result<Vec<Rollback>, ServeError> {
        let (mut found, mut after, begun) = (Vec::new(), None, Instant::now());
        let places = self.places.iter().filter(|place| ***place != *FILE);
        let places: Vec<Arc<str>> = places.cloned().collect();
        while !places.is_empty() {
            let limit = ORGS_PAGE;
            let trails = store.list_ledgers(Page { after, limit }).await?;
            let Some((last, _)) = trails.last() else {
                break;
            };
            after = Some(*last);
            for (org, _) in trails {
                if begun.elapsed() > ASK_MAX {
                    tracing::warn!(
                        "not everybody could be asked in time what is anchored; that is done while the service runs"
                    );
                    return Ok(found);
                }
                found.extend(self.ask(store, state, (org, &places)).await?);
            }
        }
        Ok(found)
    }

    async fn ask(
        &self,
        store: &dyn Store,
        state: &mut State,
        (org, places): (OrgId, &[Arc<str>]),
    ) -> Result<Vec<Rollback>, ServeError> {
        let mut known = OrgState::new(store.anchors(org).await?, &self.places);
        let places = places.iter().filter(|place| !state.is_paused(org, place));
        let places: Vec<_> = places.cloned().collect();
        let Some(last) = store.last_checkpoint(org).await? else {
            return Ok(Vec::new());
        };
        let round = self.bring(store, (org, &last), &mut known, &places).await?;
        state.orgs.insert(org, known);
        for place in &round.taken {
            self.note_taken(state, org, place);
        }
        for (place, trouble) in &round.failed {
            // It is recorded when it fails again: nothing may be added to a trail yet.
            self.note_trouble(state, (org, place), trouble);
            for pause in state.pauses.values_mut() {
                pause.told = None;
            }
        }
        Ok(round.found)
    }

    /// Goes on with the database as it is. Each trail says so, and so does each place from now on.
    async fn accept(
        &self,
        store: &dyn Store,
        keys: &LogKeys,
        found: &[Rollback],
    ) -> Result<(), ServeError> {
        let mut orgs: BTreeMap<OrgId, Vec<&Rollback>> = BTreeMap::new();
        for rollback in found {
            orgs.entry(rollback.org).or_default().push(rollback);
        }
        for (org, found) in orgs {
            let is_there = found.iter().all(|found| found.there != There::Nothing);
            let home = if is_there {
                settle(store, org).await?;
                org
            } else {
                store.deployment().await?.default_org
            };
            let entries = found.iter().map(|found| told::accepted(home, found));
            store.append(Arc::new(entries.collect())).await?;
            let checkpoint = if is_there {
                checkpoints::sign(store, keys, (org, None)).await?
            } else {
                nothing(keys, org)?
            };
            self.begin(store, (org, &checkpoint), &found).await?;
            tracing::warn!(%org, size = checkpoint.size, "went on with a database that is behind what was anchored");
        }
        Ok(())
    }

    /// Makes a checkpoint the first one of a history that takes the place of another.
    async fn begin(
        &self,
        store: &dyn Store,
        (org, checkpoint): (OrgId, &Checkpoint),
        found: &[&Rollback],
    ) -> Result<(), ServeError> {
        let tree: (u64, Hash) = (checkpoint.size, checkpoint.root);
        let mut rows = Vec::new();
        for rollback in found {
            if *rollback.place != *FILE {
                rows.push(Anchored {
                    place: rollback.place.to_string(),
                    size: rollback.size.unwrap_or(0),
                    at: clock::now(),
                    is_given_up: true,
                });
                continue;
            }
            let Some(file) = &self.file else { continue };
            let root = rollback.root.map(|root| root.to_string());
            let anchor = Anchor {
                org,
                at: clock::now(),
                note: checkpoint.note.clone(),
                accepted_rollback: Some(GivenUp {
                    size: rollback.size,
                    root,
                }),
            };
            let written = file.append(&anchor, tree).await;
            written.map_err(|reason| {
                ServeError::Anchors(format!(
                    "the anchor file cannot take the new history: {reason}"
                ))
            })?;
            rows.push(Anchored {
                place: FILE.to_owned(),
                size: checkpoint.size,
                at: clock::now(),
                is_given_up: false,
            });
        }
        // An org that is not there has no rows, and no other place is asked about it.
        match store.keep_anchors(org, rows, None).await {
            Ok(()) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The checkpoint of an org that is not there: that it has no records.
fn nothing(keys: &LogKeys, org: OrgId) -> Result<Checkpoint, ServeError> {
    let (size, root) = (0, empty_root());
    Ok(Checkpoint {
        size,
        root,
        note: keys.sign(org, (size, root), &[])?,
        at: clock::now(),
    })
}

/// Makes the tree of a trail that of the records that are there, and forgets the checkpoints that they
/// contradict: without that nothing could be signed again.
async fn settle(store: &dyn Store, org: OrgId) -> Result<(), ServeError> {
    let size = store.frontier(org).await?.size();
    let tree = store.frontier_at(org, size).await?;
    let last = last_that_fits(store, org, size).await?;
    let is_changed = store.frontier(org).await?.root() != tree.root();
    let kept = store.last_checkpoint(org).await?.map(|kept| kept.size);
    if is_changed || kept != last {
        store.rebase(org, tree, last).await?;
    }
    Ok(())
}

/// The size of the last checkpoint that the records fit. If they fit one, they fit all before it.
async fn last_that_fits(
    store: &dyn Store,
    org: OrgId,
    size: u64,
) -> Result<Option<u64>, ServeError> {
    let mut fitting = None;
    // Checkpoints of so many records, and of more, do not fit.
    let mut beyond = size.saturating_add(1);
    let mut tried = store.last_checkpoint(org).await?;
    while let Some(checkpoint) = tried {
        let fits = checkpoint.size <= size
            && store.frontier_at(org, checkpoint.size).await?.root() == checkpoint.root;
        if fits {
            fitting = Some(checkpoint.size);
        } else {
            beyond = beyond.min(checkpoint.size);
        }
        // The first one behind the middle of what is not known, or, if there is none, before it.
        tried = loop {
            let first = fitting.map_or(0, |fitting| fitting + 1);
            if first >= beyond {
                break None;
            }
            let middle = first + (beyond - first) / 2;
            let page = Page {
                after: middle.checked_sub(1),
                limit: 1,
            };
            let next = store.list_checkpoints(org, page).await?.into_iter().next();
            match next.filter(|next| next.size < beyond) {
                Some(next) => break Some(next),
                None => beyond = middle,
            }
        };
    }
    Ok(fitting)
}
