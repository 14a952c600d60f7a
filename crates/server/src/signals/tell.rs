//! The turn that finds what is new, records it, and suspends what the policy says.

use std::{collections::HashMap, sync::Arc};

use claviger_core::{
    id::KeyId,
    key::{KeyStatus, OrgKey},
    signal::{Habits, Meeting, Sighting as Met, SignalType},
    tier::Actor,
    time::Timestamp,
};
use futures_util::future::join_all;
use serde_json::json;

use super::{Owed, Seen, Sighting, Signal};
use crate::{app::App, clock, index::Slot};

/// Of how many keys the database is asked at a time.
const KEYS_AT_ONCE: usize = 500;

/// What was seen of a key and was not met today.
type Unmet = (KeyId, Vec<Sighting>);

/// Why signals have to wait: what they come of is looked at again.
#[derive(Debug, thiserror::Error)]
enum Wait {
    #[error(transparent)]
    Store(#[from] claviger_store::StoreError),
    #[error("they cannot be recorded")]
    NotRecorded,
}

impl App {
    /// Records the signals that the uses and the refusals since the last time come to, and suspends
    /// keys where the policy says so. What cannot be done now is done the next time.
    pub async fn tell_signals(self: &Arc<Self>) {
        if self.anchors.halted().is_some() || self.ledger.is_down() {
            return;
        }
        let turn = self.signals.turn.lock().await;
        let now = clock::now();
        let raised = std::mem::take(&mut *self.signals.raised.lock());
        if let Err(error) = self.record_signals(&raised, now).await {
            tracing::warn!(%error, "signals wait");
            self.signals.raise(raised);
        } else {
            self.tell_what_is_new(now).await;
        }
        self.suspend_what_is_owed(now).await;
        self.signals.forget_old(now);
        drop(turn);
    }

    async fn tell_what_is_new(&self, now: Timestamp) {
        let unmet = self.signals.unmet(self.usage.take_sightings());
        let mut parts = unmet.chunks(KEYS_AT_ONCE);
        while let Some(part) = parts.next() {
            if let Err(error) = self.judge(part, now).await {
                tracing::warn!(%error, "signals wait");
                let left = std::iter::once(part).chain(parts).flatten();
                let left = left.flat_map(|(_, seen)| seen).copied();
                return self.usage.put_back_sightings(left);
            }
        }
    }

    /// Holds what was seen against what the keys have done before. First the signals are recorded,
    /// then the habits are kept: a process that dies in between says the same once more.
    async fn judge(&self, part: &[Unmet], now: Timestamp) -> Result<(), Wait> {
        let keys: Vec<KeyId> = part.iter().map(|(key, _)| *key).collect();
        let kept = self.store.habits_of_keys(&keys).await?;
        let kept: HashMap<KeyId, String> = kept.into_iter().collect();
        let (mut news, mut changed) = (Vec::new(), Vec::new());
        for (key, seen) in part {
            // A key that is gone has no habits any more.
            let Some(slot) = self.keys.find_by_id(*key) else {
                continue;
            };
            let kept = kept.get(key).map(String::as_str);
            let (habits, is_changed) = meet(&slot, (kept, seen), &mut news);
            if is_changed {
                changed.push((*key, habits.to_json()));
            }
        }
        self.record_signals(&news, now).await?;
        if !changed.is_empty() {
            self.store.keep_habits(changed).await?;
        }
        self.signals
            .remember(part.iter().flat_map(|(_, seen)| seen));
        Ok(())
    }

    /// Records signals as far as their keys may have more of them, and notes which keys are to be
    /// suspended: also for what is not recorded.
    async fn record_signals(&self, signals: &[Signal], now: Timestamp) -> Result<(), Wait> {
        let mut records = Vec::new();
        for signal in signals {
            match self.signals.allow(signal.key, now) {
                Some(withheld) => {
                    tracing::warn!(key = %signal.key, actor = %signal.actor, signal = signal.kind.as_str(), "{}", signal.words());
                    records.push(self.ledger.record(signal.entry(withheld), true));
                }
                None => self.metrics.note_signal_withheld(),
            }
            self.metrics.note_signal(signal.kind.as_str());
        }
        let outcomes = join_all(records).await;
        if outcomes.iter().any(Result::is_err) {
            return Err(Wait::NotRecorded);
        }
        let owed = signals.iter().filter_map(|signal| {
            let policy = self.policies.of(signal.org)?;
            let is_owed = policy.policy.suspends_on.contains(&signal.kind);
            is_owed.then(|| Owed {
                org: signal.org,
                key: signal.key,
                since: signal.at,
                reason: signal.words(),
            })
        });
        self.signals.owed.lock().extend(owed);
        Ok(())
    }

    async fn suspend_what_is_owed(self: &Arc<Self>, now: Timestamp) {
        let owed = std::mem::take(&mut *self.signals.owed.lock());
        for one in owed {
            let since = one.since;
            // A key that somebody resumed since was looked at by a person.
            let check = Box::new(move |key: &OrgKey| {
                let status = key.status(now);
                let is_living = matches!(status, KeyStatus::Active | KeyStatus::NotYetValid);
                is_living && key.resumed_at.is_none_or(|at| at <= since)
            });
            let key = (one.org, one.key);
            if let Err(error) = self.stop(key, one.reason.clone(), check, now).await {
                tracing::warn!(key = %one.key, %error, "cannot suspend a key for a signal; trying again");
                self.signals.owed.lock().push(one);
            }
        }
    }
}

/// Takes in what was seen of a key, the earliest first; adds what is new. Gives the habits, and
/// whether they changed.
fn meet(
    slot: &Slot<claviger_core::id::Key>,
    (kept, seen): (Option<&str>, &[Sighting]),
    news: &mut Vec<Signal>,
) -> (Habits, bool) {
    let key = &slot.credential;
    let mut seen = seen.to_vec();
    seen.sort_unstable_by_key(|one| one.at);
    let first = seen.first().map_or(Timestamp::MAX, |one| one.at);
    let known = kept.and_then(|text| {
        let read = Habits::from_json(text);
        if read.is_none() {
            tracing::error!(key = %key.id, "what a key has done before cannot be read: it is learnt anew");
        }
        read
    });
    let mut habits = known.unwrap_or_else(|| Habits::begin(first));
    let mut is_changed = false;
    for one in &seen {
        let what = match one.what {
            Seen::From(network, _) => Met::Network(network),
            Seen::Calls(method, route) => Met::Endpoint { method, route },
        };
        let meeting = habits.meet(what, (key.id, one.at));
        is_changed |= meeting != Meeting::Known;
        if meeting != Meeting::News {
            continue;
        }
        let (kind, client, said) = match one.what {
            Seen::From(network, address) => {
                let said = json!({"network": network.to_string()});
                (SignalType::NewNetwork, Some(address), said)
            }
            Seen::Calls(method, route) => {
                let said = json!({"method": method, "route": route});
                (SignalType::NewEndpoint, None, said)
            }
        };
        news.push(Signal {
            kind,
            at: one.at,
            org: key.org,
            key: key.id,
            actor: Actor::OrgKey(key.prefix),
            minter: Some(Arc::clone(&key.minter)),
            client,
            user_agent: None,
            said,
        });
    }
    (habits, is_changed)
}
