//! What is done to keys by the clock: notices before they end and before their secret is due for
//! replacement, and what the org's policy asks to be suspended.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    id::{KeyId, OrgId},
    key::{OrgKey, Suspension},
    ledger::entry::{Draft, Entry, Kind},
    policy::Policy,
    tier::Actor,
    time::{Timestamp, format_duration},
};
use claviger_store::{DueFilter, KeyChange, Notice, NoticeKind, Page, Recorder, Selection, Turn};
use serde_json::json;

use crate::{
    app::App,
    entropy,
    ops::keys::{follow, last_used},
    policies::PAGE,
    trace,
};

/// How many days ahead something is said; 0 for when it has come. Each is about the time up to the
/// one before it.
const NOTICE_DAYS: [u16; 4] = [0, 1, 3, 14];
const DAY: Duration = Duration::from_hours(24);
/// For how long after something has come it is still told.
const TOLD_AFTER: Duration = Duration::from_hours(24 * 7);
/// A session may have been used this much later than is kept: uses are written behind.
const USES_LAG_MAX: Duration = Duration::from_hours(1);
/// For how long notices are kept, so that none is said twice.
const NOTICES_KEPT: Duration = Duration::from_hours(24 * 30);
/// How many notices share one commit.
const NOTICES_AT_ONCE: u32 = 200;
/// How long a key that somebody resumed may stay overdue.
const GRACE: Duration = Duration::from_hours(24);

impl App {
    /// Does all that is due at this instant.
    ///
    /// # Errors
    /// When the store cannot be asked: what was not done is done the next time.
    pub async fn sweep(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<()> {
        self.tell_what_is_due(now).await?;
        self.suspend_by_policy(now).await?;
        self.drop_by_policy(now).await?;
        self.purge_sessions(now).await
    }

    /// Forgets sessions that are over, and sign-ins that nobody ended.
    ///
    /// # Errors
    /// As [`App::sweep`].
    pub async fn purge_sessions(&self, now: Timestamp) -> claviger_store::Result<()> {
        self.sessions.forget_over(now);
        let unused_since = now.minus(self.sessions.idle + USES_LAG_MAX);
        let purged = self.store.purge_sessions(now, unused_since).await?;
        tracing::debug!(purged, "cleared sessions away that were over");
        Ok(())
    }

    /// Says what is to be said of keys, each thing once.
    ///
    /// # Errors
    /// As [`App::sweep`].
    pub async fn tell_what_is_due(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<()> {
        let mut nearest = now.minus(TOLD_AFTER);
        for days in NOTICE_DAYS {
            let until = now.plus(DAY * u32::from(days));
            for kind in [NoticeKind::Expiry(days), NoticeKind::Rotation(days)] {
                let due = DueFilter {
                    kind,
                    after: nearest,
                    until,
                    // A key of an hour needs no word a day ahead, nor one that it has ended.
                    longer_than: DAY * u32::from(days.max(1)),
                    now,
                };
                self.tell(due).await?;
            }
            nearest = until;
        }
        self.store.purge_notices(now.minus(NOTICES_KEPT)).await?;
        Ok(())
    }

    async fn tell(self: &Arc<Self>, due: DueFilter) -> claviger_store::Result<()> {
        let mut after = None;
        loop {
            let page = Page {
                after,
                limit: NOTICES_AT_ONCE,
            };
            let found = self.store.list_due(due, page).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = Some(last.id);
            let of = |key: &OrgKey| match due.kind {
                NoticeKind::Expiry(_) => key.expires_at,
                NoticeKind::Rotation(_) => key.rotation_due_at(),
            };
            let notices = found.iter().filter_map(|key| {
                Some(Notice {
                    org: key.org,
                    key: key.id,
                    kind: due.kind,
                    of: of(key)?,
                    at: due.now,
                })
            });
            let notices = notices.collect();
            let keys: Vec<_> = found
                .iter()
                .map(|key| (key.id, key.name.clone(), key.prefix))
                .collect();
            let record: Recorder<Vec<Notice>, Vec<Entry>> = Box::new(move |kept| {
                let entry = |notice: &Notice| {
                    let key = keys.iter().find(|key| key.0 == notice.key)?;
                    let said = json!({word(notice.kind): {
                        "id": key.0.to_string(),
                        "name": key.1,
                        "prefix": key.2.as_str(),
                        "at": notice.of.to_string(),
                        "within_days": Some(notice.kind.days()).filter(|days| *days > 0),
                    }});
                    Some(entry_of_clock(notice.org, Kind::Notice, notice.at, &said))
                };
                kept.iter().filter_map(entry).collect()
            });
            for notice in self.store.keep_notices(notices, record).await? {
                let what = word(notice.kind).replace('_', " ");
                tracing::warn!(key = %notice.key, at = %notice.of, "{what}");
            }
        }
    }

    /// Suspends what the policies ask for. What goes wrong with one org does not stop the others.
    ///
    /// # Errors
    /// The last failure, once every org was tried.
    pub async fn suspend_by_policy(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<()> {
        let mut outcome = Ok(());
        for (org, in_force) in self.policies.all() {
            if let Some(span) = in_force.policy.idle_max {
                outcome = self.suspend_idle(org, span, now).await.and(outcome);
            }
            if in_force.policy.suspends_overdue {
                outcome = self.suspend_overdue(org, now).await.and(outcome);
            }
        }
        outcome
    }

    async fn suspend_overdue(
        self: &Arc<Self>,
        org: OrgId,
        now: Timestamp,
    ) -> claviger_store::Result<()> {
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.store.list_overdue(org, now, page).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for key in found.iter().filter(|key| is_overdue(key, now)) {
                let reason = "its rotation is overdue: rotate it, then resume it".to_owned();
                let check = Box::new(move |key: &OrgKey| is_overdue(key, now));
                self.stop((org, key.id), reason, check, now).await?;
            }
        }
    }

    async fn suspend_idle(
        self: &Arc<Self>,
        org: OrgId,
        span: Duration,
        now: Timestamp,
    ) -> claviger_store::Result<()> {
        // What was used since is written first, or it would look idle.
        self.flush_uses().await;
        let before = now.minus(span);
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.store.list_idle(org, (before, now), page).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for key in &found {
                if self.was_used_since(key, before).await? {
                    continue;
                }
                let check = Box::new(move |key: &OrgKey| is_idle(key, before));
                let reason = format!("not used for {}", format_duration(span));
                self.stop((org, key.id), reason, check, now).await?;
            }
        }
    }

    /// Whether a key, or one below it, was used since: who only hands work on is not idle.
    pub(crate) async fn was_used_since(
        &self,
        key: &OrgKey,
        before: Timestamp,
    ) -> claviger_store::Result<bool> {
        let used = |id: KeyId| {
            let slot = self.keys.find_by_id(id);
            slot.and_then(|slot| last_used(self, &slot))
        };
        if used(key.id).is_some_and(|used| used >= before) {
            return Ok(true);
        }
        let under = Selection {
            under: vec![key.id],
            ..Selection::default()
        };
        let line = self.store.select_keys(key.org, under).await?;
        let mut below = line.iter().filter(|below| below.id != key.id);
        Ok(below.any(|below| {
            !is_idle(below, before) || used(below.id).is_some_and(|used| used >= before)
        }))
    }

    /// Suspends a key on behalf of the policy, if it still is as it was found.
    pub(crate) async fn stop(
        self: &Arc<Self>,
        (org, id): (OrgId, KeyId),
        reason: String,
        check: claviger_store::Check,
        now: Timestamp,
    ) -> claviger_store::Result<()> {
        let change = KeyChange {
            turn: Some(Turn::Suspend(Suspension {
                at: now,
                by: Actor::Policy,
                reason: Some(reason.clone()),
            })),
            ..KeyChange::default()
        };
        let record: Recorder<OrgKey> = Box::new(move |key: &OrgKey| {
            let said = json!({"suspended": {
                "id": key.id.to_string(),
                "prefix": key.prefix.as_str(),
                "reason": reason,
            }});
            entry_of_clock(org, Kind::Operation, now, &said)
        });
        let turn = self.key_turns.take(id).await;
        let birth = self.births.read().await;
        let written = self
            .store
            .change_key_if((org, id), check, change, record)
            .await;
        if let Err(claviger_store::StoreError::Unavailable { .. }) = &written {
            self.reconcile();
        }
        let Some(written) = written? else {
            return Ok(());
        };
        if let Err(error) = follow(self, &written.value) {
            tracing::error!(key = %id, %error, "a suspended key is not so in the index");
        }
        drop((birth, turn));
        self.ledger.note_change();
        tracing::warn!(key = %written.value.prefix, name = %written.value.name, "suspended by the org's policy");
        Ok(())
    }
}

/// The word for a notice.
const fn word(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Expiry(0) => "expired",
        NoticeKind::Expiry(_) => "expires_soon",
        NoticeKind::Rotation(0) => "rotation_due",
        NoticeKind::Rotation(_) => "rotation_due_soon",
    }
}

/// Whether a key's secret is too old, and nobody has resumed the key a short while ago.
pub(crate) fn is_overdue(key: &OrgKey, now: Timestamp) -> bool {
    let is_due = key.rotation_due_at().is_some_and(|due| due <= now);
    let has_grace = key.resumed_at.is_some_and(|at| now < at.plus(GRACE));
    is_due && !has_grace && key.suspension.is_none()
}

/// Whether a key was neither used nor could be since an instant.
pub(crate) fn is_idle(key: &OrgKey, before: Timestamp) -> bool {
    let began = key.grant.not_before.unwrap_or(key.created_at);
    key.suspension.is_none() && key.idle_since().max(began) < before
}

/// Why a policy would suspend a key by the clock, as far as the key itself tells.
pub(crate) fn would_suspend(policy: &Policy, key: &OrgKey, now: Timestamp) -> Option<String> {
    if policy.suspends_overdue && is_overdue(key, now) {
        return Some("its rotation is overdue".to_owned());
    }
    let span = policy.idle_max?;
    is_idle(key, now.minus(span)).then(|| format!("not used for {}", format_duration(span)))
}

/// The record of something that the clock did.
fn entry_of_clock(org: OrgId, kind: Kind, now: Timestamp, said: &serde_json::Value) -> Entry {
    let change = trace::ascii_json(said);
    let id = entropy::new_id();
    let draft = Draft::of_operation(id, entropy::bits(), now, org, &Actor::Policy);
    Draft {
        kind,
        change: Some(&change),
        ..draft
    }
    .write()
}
