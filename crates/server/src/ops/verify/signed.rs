//! What was signed of a trail: the rows of its checkpoints, held against their notes.

use std::collections::VecDeque;

use claviger_core::ledger::{
    checkpoint::Checkpoint as Text,
    columns::Difference,
    note::{Note, OpenError, VerifierKey},
    verify::{Source, Trusted},
};
use claviger_store::{Checkpoint, Page};

use super::walk::{Context, Stop};
use crate::log_key::{self, verifies};

/// How many rows are read at a time.
const PAGE: u32 = 500;
/// As many checkpoints, the newest, are held against the tree.
const CHECKPOINTS_MAX: usize = 10_000;

/// Checkpoints that our keys signed.
pub(super) struct Signed {
    keys: Vec<VerifierKey>,
    vouched: VecDeque<(Trusted, Vec<String>)>,
}

impl Signed {
    /// Reads them all.
    pub(super) fn read(context: &Context<'_>) -> Result<Self, Stop> {
        let mut signed = Self {
            keys: context.app.checkpoints.verifier_keys(context.org),
            vouched: VecDeque::new(),
        };
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let rows = context.ask(context.app.store.list_checkpoints(context.org, page))?;
            let Some(last) = rows.last() else {
                return Ok(signed);
            };
            after = Some(last.size);
            for row in &rows {
                if let Some(difference) = signed.take(context, row) {
                    context.found(difference.into())?;
                }
            }
        }
    }

    /// One more: what its columns say otherwise than its note. What a key signed that is not in use any
    /// more cannot be verified here, and counts for nothing.
    fn take(&mut self, context: &Context<'_>, row: &Checkpoint) -> Option<Difference> {
        let differs = |column, what: String| Some(Difference::new(column, row.size.max(1), what));
        let read = || {
            let note = Note::parse(row.note.as_bytes()).ok()?;
            let text = Text::parse(note.text()).ok()?;
            Some((note, text)).filter(|(_, text)| text.origin() == log_key::origin(context.org))
        };
        let Some((note, text)) = read() else {
            let what = "the checkpoint of this size is no checkpoint of this trail".to_owned();
            return differs("audit_checkpoints.note", what);
        };
        let signers = match note.open(&self.keys, &verifies) {
            Ok(signers) => signers,
            Err(OpenError::Unknown) => Vec::new(),
            Err(OpenError::Invalid { .. } | OpenError::Ambiguous { .. }) => {
                let what = "the checkpoint of this size is not what its key signed".to_owned();
                return differs("audit_checkpoints.note", what);
            }
        };
        if !signers.is_empty() {
            let trusted = Trusted {
                size: text.size(),
                root: text.root(),
                at: None,
                source: Source::Export,
            };
            let labels = signers.iter().map(|signer| {
                let id = log_key::id_text(signer.key.id());
                format!("{}+{id}", signer.key.name())
            });
            self.vouched.push_back((trusted, labels.collect()));
            if self.vouched.len() > CHECKPOINTS_MAX {
                self.vouched.pop_front();
            }
        }
        if text.size() != row.size {
            let what = format!("its checkpoint is one of {} records", text.size());
            return differs("audit_checkpoints.size", what);
        }
        if text.root() != row.root {
            let what = "its checkpoint has another root".to_owned();
            return differs("audit_checkpoints.root", what);
        }
        None
    }

    /// What the verifier is to compare.
    pub(super) fn trusted(&self) -> Vec<Trusted> {
        self.vouched.iter().map(|(trusted, _)| *trusted).collect()
    }

    /// Whether one of so many records is among them.
    pub(super) fn has(&self, size: u64) -> bool {
        self.vouched.iter().any(|(trusted, _)| trusted.size == size)
    }

    /// By which keys a checkpoint was signed: name and id.
    pub(super) fn signers(&self, of: &Trusted) -> Vec<String> {
        let found = self.vouched.iter().find(|(trusted, _)| trusted == of);
        found
            .map(|(_, signers)| signers.clone())
            .unwrap_or_default()
    }
}
