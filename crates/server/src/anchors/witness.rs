//! A witness signs that a trail only grew (C2SP tlog-witness), with a cosignature/v1.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    ledger::{
        note::{Note, Signature, VerifierKey},
        tree::{Hash, proof::verify_consistency},
        witness::{SIZE_MEDIA_TYPE, add_checkpoint, cosignature, signed_size},
    },
};
use claviger_store::{Checkpoint, Store};
use http::StatusCode;

use super::{
    Trouble,
    web::{Answer, Web},
};
use crate::{
    config::WitnessConfig,
    log_key::{id_text, verifies},
    ops::log::growth,
};

/// How often a witness is asked for one signature: somebody else may ask it at the same time.
const TRIES_MAX: usize = 3;

/// A witness.
#[derive(Debug)]
pub(super) struct Witness {
    /// As it is called in records, and where it is kept what it signed.
    pub(super) name: Arc<str>,
    key: VerifierKey,
    web: Web,
}

/// How a witness is called.
pub(super) fn name(key: &VerifierKey) -> Arc<str> {
    format!("witness {}+{}", key.name(), id_text(key.id())).into()
}

impl Witness {
    pub(super) fn new(config: &WitnessConfig) -> Result<Self, String> {
        let mut url = config.url.clone();
        let path = format!("{}/add-checkpoint", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self {
            name: name(&config.key),
            key: config.key.clone(),
            web: Web::new(url)?,
        })
    }

    /// Whether anybody answers there.
    pub(super) async fn probe(&self) -> Result<(), String> {
        self.web.probe().await
    }

    /// Its signature over a checkpoint. `old`: what it signed last, as far as is known.
    pub(super) async fn cosign(
        &self,
        store: &dyn Store,
        (org, checkpoint): (OrgId, &Checkpoint),
        old: u64,
    ) -> Result<Signature, Trouble> {
        let refused = |reason: String| Trouble::Refused(reason);
        let note = Note::parse(checkpoint.note.as_bytes());
        let note = note.map_err(|error| refused(error.to_string()))?;
        let mut old = old.min(checkpoint.size);
        for _ in 0..TRIES_MAX {
            let proof = proof(store, org, old, checkpoint).await?;
            let body = add_checkpoint(old, &proof, &note);
            let body = body.ok_or_else(|| refused("the proof is too long".to_owned()))?;
            let sent = self.web.post(("text/plain; charset=utf-8", body), None);
            let answer = sent.await.map_err(Trouble::Outage)?;
            old = match answer.status {
                StatusCode::OK => {
                    let signature = cosignature(&note, &answer.body, &self.key, &verifies);
                    return signature.map_err(|error| refused(error.to_string()));
                }
                StatusCode::CONFLICT => other_size(&answer, old, checkpoint.size)?,
                // The proof holds for the tree that we have: what it signed is another one.
                StatusCode::UNPROCESSABLE_ENTITY if old > 0 => {
                    return Err(Trouble::Ahead { size: Some(old) });
                }
                status => return Err(refusal(status)),
            };
        }
        Err(refused("it signs for somebody else meanwhile".to_owned()))
    }
}

/// What else than a signature is answered.
fn refusal(status: StatusCode) -> Trouble {
    let is_passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    if is_passing {
        return Trouble::Outage(format!("the answer is {status}"));
    }
    Trouble::Refused(match status {
        StatusCode::NOT_FOUND => "it does not know the log (404)".to_owned(),
        StatusCode::FORBIDDEN => "it does not know the key of the log (403)".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY => "it does not take the proof (422)".to_owned(),
        other => format!("the answer is {other}"),
    })
}

/// What it signed last, from its answer that it was not `old`.
fn other_size(answer: &Answer, old: u64, size: u64) -> Result<u64, Trouble> {
    let is_size = answer.media_type.split(';').next() == Some(SIZE_MEDIA_TYPE);
    let known = signed_size(&answer.body).filter(|_| is_size);
    match known {
        Some(known) if known > size => Err(Trouble::Ahead { size: Some(known) }),
        Some(known) if known != old => Ok(known),
        // It has signed as many records, and another root.
        Some(_) | None if old == size => Err(Trouble::Ahead { size: Some(old) }),
        Some(_) | None => {
            let reason = "it has signed another tree, and does not say how large it was (409)";
            Err(Trouble::Refused(reason.to_owned()))
        }
    }
}

/// The proof that the checkpoint continues the tree of `old` records, which is verified here too: so
/// if a witness does not take it, the tree that the witness knows is another.
async fn proof(
    store: &dyn Store,
    org: OrgId,
    old: u64,
    checkpoint: &Checkpoint,
) -> Result<Vec<Hash>, Trouble> {
    let own = |reason: String| Trouble::Refused(format!("there is no proof for it: {reason}"));
    if old == 0 || old == checkpoint.size {
        return Ok(Vec::new());
    }
    let growth = growth(store, org, (old, checkpoint.size)).await;
    let growth = growth.map_err(|failure| own(failure.to_string()))?;
    let (from, to) = (
        (old, &growth.from_root),
        (checkpoint.size, &checkpoint.root),
    );
    verify_consistency(from, to, &growth.proof).map_err(|error| own(error.to_string()))?;
    Ok(growth.proof)
}
