//! One checkpoint, brought to the places that lack it.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    ledger::{
        anchor::{Anchor, GivenUp},
        note::{Note, Signature},
    },
};
use claviger_store::{Anchored, Checkpoint, Result, Store};
use futures_util::future::join_all;

use super::{
    Anchors, FILE, OrgState, Trouble, WEBHOOK,
    rollback::{Rollback, there},
};
use crate::clock;

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Who took it.
    pub(super) taken: Vec<Arc<str>>,
    /// Who did not, and why.
    pub(super) failed: Vec<(Arc<str>, Trouble)>,
    /// Who knows more.
    pub(super) found: Vec<Rollback>,
}

impl Anchors {
    /// Brings a checkpoint to these places: to the witnesses first, so that the others get it with
    /// their signatures. Keeps what they took.
    ///
    /// # Errors
    /// As the store.
    pub(super) async fn bring(
        &self,
        store: &dyn Store,
        (org, checkpoint): (OrgId, &Checkpoint),
        known: &mut OrgState,
        wanted: &[Arc<str>],
    ) -> Result<Round> {
        let mut outcomes = Vec::new();
        let cosigned = self
            .ask_witnesses(store, (org, checkpoint), known, (wanted, &mut outcomes))
            .await;
        let note = cosigned.as_ref().unwrap_or(checkpoint).note.clone();
        let tree = (checkpoint.size, checkpoint.root);
        let anchor = Anchor {
            org,
            at: clock::now(),
            note,
            accepted_rollback: None,
        };
        let is_wanted = |name: &str| wanted.iter().find(|place| ***place == *name);
        if let (Some(file), Some(place)) = (&self.file, is_wanted(FILE)) {
            let outcome = file.append(&anchor, tree).await;
            outcomes.push((Arc::clone(place), outcome.map_err(Trouble::Outage)));
        }
        if let (Some(webhook), Some(place)) = (&self.webhook, is_wanted(WEBHOOK)) {
            // A history that takes the place of another says so, until it was taken.
            let given_up = known.taken(place).is_given_up;
            let (size, root) = (None, None);
            let anchor = Anchor {
                accepted_rollback: given_up.then_some(GivenUp { size, root }),
                ..anchor
            };
            outcomes.push((Arc::clone(place), webhook.take(&anchor).await));
        }
        let round = judge(store, org, known, outcomes).await?;
        let rows = round.taken.iter().map(|place| Anchored {
            place: place.to_string(),
            size: checkpoint.size,
            at: clock::now(),
            is_given_up: false,
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            store.keep_anchors(org, rows, cosigned).await?;
        }
        for place in &round.taken {
            let taken = known.places.entry(Arc::clone(place)).or_default();
            (taken.size, taken.is_given_up) = (checkpoint.size, false);
        }
        Ok(round)
    }

    /// Asks all witnesses at once. Gives the checkpoint with their signatures, if there are any.
    async fn ask_witnesses(
        &self,
        store: &dyn Store,
        (org, checkpoint): (OrgId, &Checkpoint),
        known: &OrgState,
        (wanted, outcomes): (&[Arc<str>], &mut Vec<Outcome>),
    ) -> Option<Checkpoint> {
        let asked = self
            .witnesses
            .iter()
            .filter(|witness| wanted.contains(&witness.name));
        let asks = asked.map(|witness| async move {
            let old = known.taken(&witness.name).size;
            let signed = witness.cosign(store, (org, checkpoint), old).await;
            (Arc::clone(&witness.name), signed)
        });
        let mut signatures: Vec<Signature> = Vec::new();
        for (name, signed) in join_all(asks).await {
            let outcome = signed.map(|signature| signatures.push(signature));
            outcomes.push((name, outcome));
        }
        if signatures.is_empty() {
            return None;
        }
        let mut note = Note::parse(checkpoint.note.as_bytes()).ok()?;
        for signature in signatures {
            if let Err(error) = note.add(signature) {
                tracing::warn!(%org, %error, "a signature of a witness cannot be kept");
            }
        }
        Some(Checkpoint {
            note: note.to_string(),
            ..checkpoint.clone()
        })
    }
}

/// What came of a place.
type Outcome = (Arc<str>, std::result::Result<(), Trouble>);

/// Tells those that took it from those that did not, and those from what shows a rollback.
async fn judge(
    store: &dyn Store,
    org: OrgId,
    known: &OrgState,
    outcomes: Vec<Outcome>,
) -> Result<Round> {
    let mut round = Round::default();
    for (place, outcome) in outcomes {
        let taken = known.taken(&place);
        match outcome {
            Ok(()) => round.taken.push(place),
            Err(Trouble::Ahead { size })
                if !taken.is_given_up || size.is_some_and(|size| size != taken.size) =>
            {
                round.found.push(Rollback {
                    org,
                    place,
                    size,
                    root: None,
                    at: None,
                    there: there(store, org, None).await?,
                });
            }
            Err(trouble) => round.failed.push((place, trouble)),
        }
    }
    Ok(round)
}
