//! What the org's policy asks to be forgotten: the bodies of old records of the audit trail, and the addresses
//! from which keys were used. Each drop leaves a record of the trail that says what is gone, and by which setting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{
        entry::{Draft, Entry, Kind},
        record::Record,
        retention::Decision,
    },
    tier::Actor,
    time::{Timestamp, parse_duration},
};
use claviger_store::{AuditFilter, Dropping, Page, Recorder, StoreError};

use serde_json::Value;

use crate::{app::App, checkpoints, entropy, failure::Failure, ops::retention::decision, trace};

/// How many drops one sweep makes of a trail at most: the rest is of the next ones.
const DROPS_MAX: usize = 1024;
/// How many trails that cannot be read are passed over before a sweep gives up.
const CORRUPT_MAX: usize = 64;
/// How many addresses are forgotten in one commit.
const ADDRESSES_AT_ONCE: u32 = 1000;
/// By which routes a policy is set.
const ROUTES: [(&str, &str); 2] = [("PUT", "/org/policy"), ("POST", "/canvas/policy")];
/// How many parts of the trail are looked through for the record of the policy.
const PARTS_MAX: usize = 64;

impl App {
    /// Drops what the policies ask to be dropped. What goes wrong with one org does not stop the others.
    ///
    /// # Errors
    /// The last failure, once every org was tried: what was not done is done the next time.
    pub async fn drop_by_policy(self: &Arc<Self>, now: Timestamp) -> claviger_store::Result<()> {
        let mut outcome = Ok(());
        for (org, _) in self.policies.all() {
            // As it is when its turn comes: somebody may have changed it meanwhile.
            if let Some(keep) = self.keep_of(org) {
                outcome = self.drop_old(org, keep, now).await.and(outcome);
            }
        }
        outcome
    }

    /// For how long the policy in force keeps the trail of an org.
    fn keep_of(&self, org: OrgId) -> Option<Duration> {
        self.policies.of(org)?.policy.keep_audit_for
    }

    async fn drop_old(
        self: &Arc<Self>,
        org: OrgId,
        keep: Duration,
        now: Timestamp,
    ) -> claviger_store::Result<()> {
        let before = now.minus(keep);
        let limit = ADDRESSES_AT_ONCE;
        while self.store.forget_addresses(org, before, limit).await? >= u64::from(limit) {}
        if self.store.count_older(org, before).await? == 0 {
            return Ok(());
        }
        // Whoever verifies the trail reads it from its beginning: the next sweep is soon enough.
        let Ok(running) = self.verifications.begin(org) else {
            return Ok(());
        };
        self.expect_signed(org).await?;
        for _ in 0..DROPS_MAX {
            let begun = Instant::now();
            // The setting that a decision names must say what is done, and still be in force.
            let (setting, said) = self.setting_of(org).await?.unzip();
            if said.is_some_and(|said| said != Some(keep)) || self.keep_of(org) != Some(keep) {
                tracing::info!(%org, "the policy is being changed: old audit records are dropped later");
                break;
            }
            let id = entropy::new_id();
            let record: Recorder<Dropping> =
                Box::new(move |dropping| entry((org, id, now), dropping, (keep, setting)));
            let Some(written) = self.store.drop_bodies(org, before, id, record).await? else {
                break;
            };
            self.ledger.note_change();
            let (first, last) = (written.value.first, written.value.last);
            tracing::info!(%org, first, last, decision = %id, "dropped the bodies of old audit records, as the org's policy asks");
            // Others want to write too.
            tokio::time::sleep(begun.elapsed()).await;
        }
        drop(running);
        Ok(())
    }

    /// Makes the tiles of the trails, and a checkpoint over all of this one: what was not signed is not
    /// dropped.
    async fn expect_signed(&self, org: OrgId) -> claviger_store::Result<()> {
        let mut corrupt = 0;
        loop {
            match self.store.derive_tiles().await {
                Ok(true) => {}
                Ok(false) => break,
                // A trail in which records are missing may be another one.
                Err(StoreError::Corrupt { .. }) if corrupt < CORRUPT_MAX => corrupt += 1,
                Err(error) => return Err(error),
            }
        }
        match checkpoints::fresh(self, org).await {
            Ok(_) => Ok(()),
            Err(Failure::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Unavailable {
                doing: "sign the audit trail before old records are dropped",
                source: other.to_string().into(),
            }),
        }
    }

    /// The record by which the policy in force was set, and for how long it says that the trail is kept:
    /// if it was dropped itself, the one that the last decision names.
    async fn setting_of(&self, org: OrgId) -> claviger_store::Result<Option<Setting>> {
        let mut last: Option<(u64, Setting)> = None;
        for route in ROUTES {
            last = last.max(self.last_policy(org, route).await?);
        }
        if let Some((_, setting)) = last {
            return Ok(Some(setting));
        }
        let Some(dropped) = self.store.dropped(org).await? else {
            return Ok(None);
        };
        let found = decision(self, org, dropped).await?;
        let named = |decision: Decision| Some((decision.setting?, Some(decision.keep)));
        Ok(found.and_then(|found| named(found.decision)))
    }

    /// The last record of a policy that was set by a route, with its number.
    async fn last_policy(
        &self,
        org: OrgId,
        (method, route): (&str, &str),
    ) -> claviger_store::Result<Option<(u64, Setting)>> {
        let mut after = None;
        for _ in 0..PARTS_MAX {
            let filter = AuditFilter {
                method: Some(method.to_owned()),
                route: Some(route.to_owned()),
                ..AuditFilter::default()
            };
            let page = Page { after, limit: 100 };
            let part = self.store.query_audit(org, filter, page).await?;
            for row in &part.rows {
                if let Some(setting) = Record::read(&row.bytes).and_then(|record| set_by(&record)) {
                    return Ok(Some((row.seq, setting)));
                }
            }
            match part.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(None)
    }
}

/// The id of the record by which a policy was set, and for how long that says that the trail is kept.
type Setting = (EventId, Option<Duration>);

fn set_by(record: &Record) -> Option<Setting> {
    let set = record.change.as_ref()?.get("policy")?.get("to")?;
    let keep = set.get("keep_audit_for").and_then(Value::as_str);
    Some((record.id, keep.and_then(|text| parse_duration(text).ok())))
}

/// The record of a decision.
fn entry(
    (org, id, now): (OrgId, EventId, Timestamp),
    dropping: &Dropping,
    (keep, setting): (Duration, Option<EventId>),
) -> Entry {
    let decision = Decision {
        first: dropping.first,
        last: dropping.last,
        keep,
        setting,
        size: dropping.size,
        root: dropping.root,
    };
    let change = trace::ascii_json(&decision.change());
    Draft {
        kind: Kind::Retention,
        change: Some(&change),
        ..Draft::of_operation(id, entropy::bits(), now, org, &Actor::Policy)
    }
    .write()
}
