//! Signals: what keys do for the first time, or should not do at all, becomes records, and by the
//! org's policy a suspension.
//!
//! No request pays for it. Where keys call from and what they call is taken from the counts of their
//! uses when these are written, every two seconds; refusals are noted on their way out. What was met
//! today is known by a number of eight bytes; of the rest the database knows what the key has done
//! before. People and `ADMIN_TOKEN` raise no signals.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use claviger_core::{
    id::{KeyId, OrgId},
    ledger::entry::{Draft, Entry, Kind},
    signal::{self, Allowance, DeadUses, Network, Refusals, SignalType, day_of},
    tier::{Actor, Minter, Tier},
    time::{Timestamp, format_duration},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    entropy,
    trace::{Trace, ascii_json},
};

mod tell;

/// Of how many keys refusals are watched at a time, and how many signals wait to be recorded.
const REFUSED_MAX: usize = 10_000;
const RAISED_MAX: usize = 10_000;
/// How many sightings of today are known without asking the database: in each of two generations, so
/// that what is used goes on being known. A hash table of this size is full.
const MET_MAX: usize = 229_376;
/// Of how many keys the signals of an hour are counted one by one. Those of more keys are withheld.
const ALLOWANCES_MAX: usize = 10_000;

/// Why a use of a secret that has ended was refused: the code of the refusal, and the word in records.
const ENDED: &[(&str, &str)] = &[
    ("token_revoked", "revoked"),
    ("token_rotated_out", "rotated_out"),
    ("token_expired", "expired"),
];

/// Refusals that say how the key itself stands, and nothing of what its holder does: whoever suspends a
/// key makes them, also for the keys below it. They are no burst.
const STANDING: &[&str] = &[
    "token_suspended",
    "token_not_yet_valid",
    "minter_inactive",
    "policy_blocked",
];

/// What a key was let in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// A call from this address.
    From(Network, IpAddr),
    /// Calls with this method on this route.
    Calls(&'static str, &'static str),
}

/// That a key was seen to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The key.
    pub(crate) key: KeyId,
    /// When, or shortly after.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) what: Seen,
}

/// A signal about a key.
#[derive(Debug, Clone)]
struct Signal {
    kind: SignalType,
    at: Timestamp,
    org: OrgId,
    key: KeyId,
    actor: Actor,
    minter: Option<Arc<Minter>>,
    client: Option<IpAddr>,
    user_agent: Option<String>,
    /// What it says beside its type.
    said: Value,
}

impl Signal {
    /// The change of its record. `withheld` is how many signals of the key were left out before it.
    fn change(&self, withheld: u64) -> Value {
        let mut said = self.said.clone();
        if let Some(said) = said.as_object_mut() {
            said.insert("type".to_owned(), json!(self.kind.as_str()));
            if withheld > 0 {
                said.insert("withheld".to_owned(), json!(withheld));
            }
        }
        json!({"signal": said})
    }

    fn words(&self) -> String {
        signal::words(&self.change(0)).unwrap_or_default()
    }

    fn entry(&self, withheld: u64) -> Entry {
        let change = ascii_json(&self.change(withheld));
        let chain = self.minter.as_ref().map_or(&[][..], |minter| &minter.chain);
        let root = self.minter.as_ref().map_or(&self.actor, |one| &one.root);
        let (id, nonce) = (entropy::new_id(), entropy::bits());
        Draft {
            kind: Kind::Signal,
            tier: Tier::OrgKey,
            key: Some(self.key),
            chain,
            root,
            code: Some(self.kind.as_str()),
            client: self.client,
            user_agent: self.user_agent.as_deref(),
            change: Some(&change),
            ..Draft::of_operation(id, nonce, self.at, self.org, &self.actor)
        }
        .write()
    }
}

/// A key that is to be suspended, since when and why.
#[derive(Debug, Clone)]
struct Owed {
    org: OrgId,
    key: KeyId,
    since: Timestamp,
    reason: String,
}

/// What was met today, in two generations.
#[derive(Debug, Default)]
struct Met {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Met {
    fn has(&mut self, mark: u64) -> bool {
        if self.young.contains(&mark) {
            return true;
        }
        let is_old = self.old.contains(&mark);
        if is_old {
            self.add(mark);
        }
        is_old
    }

    fn add(&mut self, mark: u64) {
        if self.young.len() >= MET_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(mark);
    }
}

#[derive(Debug, Default)]
struct Refused {
    refusals: Refusals,
    dead: DeadUses,
}

/// A span as it is written, in whole seconds: one of less is one second.
fn whole_seconds(span: Duration) -> String {
    let seconds = span.as_millis().div_ceil(1000).max(1);
    format_duration(Duration::from_secs(
        u64::try_from(seconds).unwrap_or(u64::MAX),
    ))
}

/// What is known of keys in memory, and what is to be recorded.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    refused: Mutex<HashMap<KeyId, Refused>>,
    raised: Mutex<Vec<Signal>>,
    owed: Mutex<Vec<Owed>>,
    met: Mutex<Met>,
    allowances: Mutex<HashMap<KeyId, Allowance>>,
    /// One at a time decides what is new.
    turn: tokio::sync::Mutex<()>,
    marks: RandomState,
}

impl Signals {
    /// Notes that a request was refused, with its status and code.
    pub(crate) fn note_refusal(&self, trace: &Trace, (status, code): (u16, &'static str)) {
        let principal = &*trace.principal;
        let Some(key) = principal.key else { return };
        let is_of_call = matches!(status, 401 | 403 | 429) && !STANDING.contains(&code);
        if principal.tier != Tier::OrgKey || !is_of_call {
            return;
        }
        let ended = ENDED.iter().find(|(known, _)| *known == code);
        let told = {
            let mut refused = self.refused.lock();
            if refused.len() >= REFUSED_MAX && !refused.contains_key(&key) {
                return;
            }
            let known = refused.entry(key).or_default();
            match ended {
                Some((_, because)) => known.dead.note(trace.at).map(|uses| {
                    let said = json!({"because": because, "uses": uses});
                    (SignalType::RevokedSecretUsed, said)
                }),
                None => known.refusals.note(trace.at).map(|within| {
                    let said = json!({
                        "refusals": signal::BURST_REFUSALS,
                        "within": whole_seconds(within),
                        "status": status,
                        "code": code,
                    });
                    (SignalType::RefusalBurst, said)
                }),
            }
        };
        let Some((kind, said)) = told else { return };
        self.raise([Signal {
            kind,
            at: trace.at,
            org: principal.org,
            key,
            actor: principal.actor.clone(),
            minter: principal.minter.clone(),
            client: Some(trace.client),
            user_agent: trace.user_agent.clone(),
            said,
        }]);
    }

    /// Keeps signals until they are recorded.
    fn raise(&self, signals: impl IntoIterator<Item = Signal>) {
        let mut raised = self.raised.lock();
        let room = RAISED_MAX.saturating_sub(raised.len());
        raised.extend(signals.into_iter().take(room));
    }

    fn mark(&self, seen: &Sighting) -> u64 {
        let day = day_of(seen.key, seen.at);
        let what = match &seen.what {
            Seen::From(network, _) => (Some(network), None),
            Seen::Calls(method, route) => (None, Some((method, route))),
        };
        self.marks.hash_one((seen.key, day, what))
    }

    /// What was not met today, by key, each once.
    fn unmet(&self, sightings: Vec<Sighting>) -> Vec<(KeyId, Vec<Sighting>)> {
        let mut unmet: BTreeMap<KeyId, Vec<Sighting>> = BTreeMap::new();
        let mut met = self.met.lock();
        for seen in sightings {
            if !met.has(self.mark(&seen)) {
                unmet.entry(seen.key).or_default().push(seen);
            }
        }
        unmet.into_iter().collect()
    }

    /// These were met: until the key's day is over nobody is asked about them.
    fn remember<'a>(&self, sightings: impl IntoIterator<Item = &'a Sighting>) {
        let mut met = self.met.lock();
        for seen in sightings {
            met.add(self.mark(seen));
        }
    }

    /// Whether a signal of a key may be recorded: how many were withheld before it, or `None`.
    fn allow(&self, key: KeyId, now: Timestamp) -> Option<u64> {
        let mut allowances = self.allowances.lock();
        if allowances.len() >= ALLOWANCES_MAX && !allowances.contains_key(&key) {
            return None;
        }
        allowances.entry(key).or_default().take(now)
    }

    /// Forgets what matters no more.
    fn forget_old(&self, now: Timestamp) {
        self.refused
            .lock()
            .retain(|_, known| !known.refusals.is_over(now) || !known.dead.is_over(now));
        self.allowances.lock().retain(|_, one| !one.is_over(now));
    }
}

#[cfg(test)]
mod tests;
