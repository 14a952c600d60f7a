//! What is written behind: last uses, counts of use, counted refusals.

use std::sync::Arc;

use claviger_core::id::KeyId;
use claviger_store::SecretUse;

use crate::{app::App, clock, entropy, index::Noted, usage};

/// How many last uses are written at a time: other writers are let in between.
const TOUCH_BATCH: usize = 500;

impl App {
    /// Writes when credentials were last used, and which clocks of rotations have started. What
    /// cannot be written now is written the next time.
    pub async fn flush_uses(&self) {
        // Taken first: a use that is among them has started its clock before.
        let mut keys: Vec<_> = self.keys.take_used().iter().map(secret_use).collect();
        let in_sessions = self.other_uses.take_unwritten();
        keys.extend(&in_sessions);
        // A use is not kept without the clock that it has started.
        let mut is_written = self.flush_overlaps().await.is_ok();
        let keys = if is_written { keys } else { Vec::new() };
        for part in keys.chunks(TOUCH_BATCH) {
            if let Err(error) = self.store.touch_keys(part.to_vec()).await {
                tracing::warn!(%error, "cannot note when keys were last used");
                is_written = false;
            }
        }
        if is_written {
            self.keys.written();
        } else {
            self.other_uses.put_back(&in_sessions);
        }
        let tokens = self.workspace_tokens.take_used();
        let tokens: Vec<_> = tokens.iter().map(|used| (used.id, used.last.at)).collect();
        let mut is_written = true;
        for part in tokens.chunks(TOUCH_BATCH) {
            if let Err(error) = self.store.touch_workspace_tokens(part.to_vec()).await {
                tracing::warn!(%error, "cannot note when workspace tokens were last used");
                is_written = false;
            }
        }
        if is_written {
            self.workspace_tokens.written();
        }
        let seen = self.sessions.take_used();
        if !seen.is_empty()
            && let Err(error) = self.store.touch_sessions(seen).await
        {
            tracing::warn!(%error, "cannot note when sessions were last used");
        }
        if let Err(error) = self.flush_usage().await {
            tracing::warn!(%error, "cannot note what keys were used for; trying again");
        }
    }

    /// Writes the ends that overlaps have got: by a first use, or by quiet.
    ///
    /// # Errors
    /// That of the store; what was not written is written the next time.
    pub(crate) async fn flush_overlaps(&self) -> claviger_store::Result<()> {
        self.old_secrets
            .settle_quiet(&self.keys, clock::now(), self.started_at);
        let mut outcome = Ok(());
        for settled in self.old_secrets.take_started() {
            let (old, ends_at) = settled;
            if let Err(error) = self.store.start_overlap(old, ends_at).await {
                tracing::warn!(%error, "cannot note that a rotation has got its end");
                self.old_secrets.put_back_started(settled);
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Writes what keys were used for: what is read from the store after this has it.
    ///
    /// # Errors
    /// That of the store.
    pub(crate) async fn flush_usage(&self) -> claviger_store::Result<()> {
        let (usage, store) = (Arc::clone(&self.usage), self.store.clone());
        let metrics = Arc::clone(&self.metrics);
        // A task of its own: a caller who hangs up takes no counts with it.
        let flush = async move { usage.flush(&*store.0, &metrics).await };
        match tokio::spawn(flush).await {
            Ok(outcome) => outcome,
            Err(error) => Err(claviger_store::StoreError::Unavailable {
                doing: "keep what keys were used for",
                source: error.into(),
            }),
        }
    }

    /// Forgets what keys were used for long ago.
    pub async fn purge_usage(&self) {
        usage::purge(&*self.store.0, clock::now()).await;
    }

    /// Records the refusals that were counted.
    pub fn flush_repeats(&self) {
        for repeats in self.refusals.take() {
            let ending = crate::trace::Ending {
                status: repeats.status,
                code: repeats.code,
                change: None,
                count: repeats.count,
            };
            let mut draft = repeats.trace.draft(ending);
            draft.id = entropy::new_id();
            if repeats.code.is_some() {
                draft.kind = claviger_core::ledger::entry::Kind::Refusals;
            }
            draft.duration_us = repeats.duration_us;
            self.lines.push(|line| draft.push_line(line));
            self.ledger.record_behind(draft.write());
        }
    }
}

fn secret_use(noted: &Noted<KeyId>) -> SecretUse {
    SecretUse {
        key: noted.id,
        prefix: Some(noted.prefix),
        at: noted.last.at,
        from: noted.last.from,
    }
}
