//! What is done to keys by the clock: notices before they end and before their secret is due for
//! replacement, and what the org's policy asks to be suspended.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    id::{KeyId, OrgId},
    key::{KeyStatus, OrgKey, Suspension},
    ledger::entry::{Draft, Entry, Kind},
    policy::Policy,
    tier::Actor,
    time::{Timestamp, format_duration},
};
use claviger_store::{KeyChange, Notice, NoticeKind, Page, Recorder, Turn};
use serde_json::json;

use crate::{app::App, entropy, ops::keys::follow, policies::PAGE, trace};

/// How many days ahead something is said, nearest last.
const NOTICE_DAYS: [u16; 3] = [14, 3, 1];
const DAY: Duration = Duration::from_hours(24);
/// For how long after a key has ended its end is still told.
const TOLD_AFTER: Duration = Duration::from_hours(24 * 7);

impl App {
    /// Does what is due at this instant. Gives how many keys were told of something or suspended.
    ///
    /// # Errors
    /// When the store cannot be asked: what was not done is done the next time.
    pub async fn sweep(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<usize> {
        let mut done = self.sweep_due(now).await?;
        for (org, in_force) in self.policies.all() {
            if let Some(span) = in_force.policy.idle_max {
                done += self.sweep_idle(org, span, now).await?;
            }
        }
        Ok(done)
    }

    async fn sweep_due(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<usize> {
        let between = (
            now.minus(TOLD_AFTER),
            now.plus(DAY * u32::from(NOTICE_DAYS[0])),
        );
        let (mut done, mut after) = (0, None);
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.store.list_due(between, page).await?;
            let Some(last) = found.last() else {
                return Ok(done);
            };
            after = Some(last.id);
            for key in &found {
                for kind in due(key, now) {
                    done += usize::from(self.say(key, kind, now).await?);
                }
                done += usize::from(self.suspend_overdue(key, now).await?);
            }
        }
    }

    /// Says something of a key, once.
    async fn say(
        self: &Arc<Self>,
        key: &OrgKey,
        (kind, of): (NoticeKind, Timestamp),
        now: Timestamp,
    ) -> claviger_store::Result<bool> {
        let notice = Notice {
            key: key.id,
            kind,
            of,
            at: now,
        };
        let (word, days) = match kind {
            NoticeKind::Expiry(0) => ("expired", None),
            NoticeKind::Expiry(days) => ("expires_soon", Some(days)),
            NoticeKind::Rotation(0) => ("rotation_due", None),
            NoticeKind::Rotation(days) => ("rotation_due_soon", Some(days)),
        };
        let said = json!({word: {
            "id": key.id.to_string(),
            "name": key.name,
            "prefix": key.prefix.as_str(),
            "at": of.to_string(),
            "within_days": days,
        }});
        let org = key.org;
        let record: Recorder<Notice> =
            Box::new(move |_| entry_of_clock(org, Kind::Notice, now, &said));
        let written = self.store.keep_notice(org, notice, record).await?;
        if written.is_some() {
            tracing::warn!(key = %key.prefix, name = %key.name, at = %of, "{}", word.replace('_', " "));
        }
        Ok(written.is_some())
    }

    async fn suspend_overdue(
        self: &Arc<Self>,
        key: &OrgKey,
        now: Timestamp,
    ) -> claviger_store::Result<bool> {
        let policy = self.policies.of(key.org);
        if !policy.is_some_and(|in_force| is_overdue(&in_force.policy, key, now)) {
            return Ok(false);
        }
        let is_still = move |key: &OrgKey| {
            key.suspension.is_none() && key.rotation_due_at().is_some_and(|due| due <= now)
        };
        let reason = "its rotation is overdue".to_owned();
        self.stop((key.org, key.id), reason, Box::new(is_still), now)
            .await
    }

    async fn sweep_idle(
        self: &Arc<Self>,
        org: OrgId,
        span: Duration,
        now: Timestamp,
    ) -> claviger_store::Result<usize> {
        // What was used since is written first, or it would look idle.
        self.flush_uses().await;
        let before = now.minus(span);
        let (mut done, mut after) = (0, None);
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.store.list_idle(org, before, page).await?;
            let Some(last) = found.last() else {
                return Ok(done);
            };
            after = Some(last.id);
            for key in &found {
                let slot = self.keys.find_by_id(key.id);
                let used = slot.and_then(|slot| slot.last_used());
                if used.is_some_and(|used| used >= before) {
                    continue;
                }
                let is_still =
                    move |key: &OrgKey| key.suspension.is_none() && key.idle_since() < before;
                let reason = format!("not used for {}", format_duration(span));
                let stopped = self.stop((org, key.id), reason, Box::new(is_still), now);
                done += usize::from(stopped.await?);
            }
        }
    }

    /// Suspends a key on behalf of the policy, if it still is as it was found.
    async fn stop(
        self: &Arc<Self>,
        (org, id): (OrgId, KeyId),
        reason: String,
        check: claviger_store::Check,
        now: Timestamp,
    ) -> claviger_store::Result<bool> {
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
            return Ok(false);
        };
        if let Err(error) = follow(self, &written.value) {
            tracing::error!(key = %id, %error, "a suspended key is not so in the index");
        }
        drop((birth, turn));
        tracing::warn!(key = %written.value.prefix, name = %written.value.name, "suspended by the org's policy");
        Ok(true)
    }
}

/// What is to be said of a key at this instant, with the instant that it is about.
fn due(key: &OrgKey, now: Timestamp) -> Vec<(NoticeKind, Timestamp)> {
    let nearest = |at: Timestamp| {
        if at <= now {
            return Some(0);
        }
        let is_within = |days: &&u16| at <= now.plus(DAY * u32::from(**days));
        NOTICE_DAYS.iter().rev().find(is_within).copied()
    };
    let mut all = Vec::new();
    let is_told = matches!(
        key.status(now),
        KeyStatus::Active | KeyStatus::NotYetValid | KeyStatus::Expired
    );
    if !is_told {
        return all;
    }
    if let Some(end) = key.expires_at.filter(|end| *end > now.minus(TOLD_AFTER))
        && let Some(days) = nearest(end)
    {
        all.push((NoticeKind::Expiry(days), end));
    }
    let has_ended = key.expires_at.is_some_and(|end| end <= now);
    if let Some(at) = key.rotation_due_at().filter(|_| !has_ended)
        && let Some(days) = nearest(at)
    {
        all.push((NoticeKind::Rotation(days), at));
    }
    all
}

/// Whether the policy suspends a key because its secret is too old.
fn is_overdue(policy: &Policy, key: &OrgKey, now: Timestamp) -> bool {
    let is_due = key.rotation_due_at().is_some_and(|due| due <= now);
    policy.suspends_overdue && is_due && key.suspension.is_none()
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
