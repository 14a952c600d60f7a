//! Refusals that come in floods: the first is recorded, the rest of its second are counted.
//!
//! Without this, whoever may not come in could fill the audit trail. What strangers are answered on
//! the routes that need no credential is counted in the same way, without a code.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use http::Method;
use parking_lot::Mutex;

use crate::trace::Trace;

/// The most kinds of refusal that are told apart within a second.
const WINDOWS_MAX: usize = 10_000;
/// The most kinds of refusal that are told apart for one actor within a second. Who probes more
/// paths than that is still counted, under the first of the others.
const KINDS_PER_ACTOR_MAX: u32 = 20;

/// Refusals that count as the same. Strangers are told apart by the reason alone: they choose
/// everything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sameness {
    /// The actor, or `None` for everybody without a known key.
    actor: Option<String>,
    /// Method and path; `None` once the actor has had too many.
    request: Option<(Method, String)>,
    code: Option<&'static str>,
}

#[derive(Default)]
struct Second {
    windows: HashMap<Sameness, Window>,
    kinds: HashMap<String, u32>,
}

struct Window {
    trace: Arc<Trace>,
    status: u16,
    code: Option<&'static str>,
    duration_us: u64,
    repeats: u64,
}

/// Repeated refusals that are due for one record.
#[derive(Debug)]
pub struct Repeats {
    /// The first of them.
    pub trace: Arc<Trace>,
    /// The status that was answered.
    pub status: u16,
    /// The stable code; `None` for answers that were no refusals.
    pub code: Option<&'static str>,
    /// How long the first took, in microseconds.
    pub duration_us: u64,
    /// How many there were after the first.
    pub count: u64,
}

/// Tells first refusals from repeated ones.
#[derive(Default)]
pub struct Refusals {
    second: Mutex<Second>,
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

impl Refusals {
    /// Notes a refusal. True when it is the first of its kind in this second, and so wants a
    /// record of its own.
    pub fn note(&self, trace: &Arc<Trace>, status: u16, code: Option<&'static str>) -> bool {
        let mut second = self.second.lock();
        let second = &mut *second;
        let sameness = second.sameness(trace, code);
        match second.windows.entry(sameness) {
            Entry::Occupied(mut known) => {
                known.get_mut().repeats += 1;
                false
            }
            Entry::Vacant(new) => {
                new.insert(Window {
                    trace: Arc::clone(trace),
                    status,
                    code,
                    duration_us: trace.duration_us(),
                    repeats: 0,
                });
                true
            }
        }
    }

    /// Ends the second: gives what was counted.
    #[must_use]
    pub fn take(&self) -> Vec<Repeats> {
        let second = std::mem::take(&mut *self.second.lock());
        second
            .windows
            .into_values()
            .filter(|window| window.repeats > 0)
            .map(|window| Repeats {
                trace: window.trace,
                status: window.status,
                code: window.code,
                duration_us: window.duration_us,
                count: window.repeats,
            })
            .collect()
    }
}

impl Second {
    fn sameness(&mut self, trace: &Trace, code: Option<&'static str>) -> Sameness {
        let stranger = Sameness {
            actor: None,
            request: None,
            code,
        };
        if !trace.is_attributed() {
            return stranger;
        }
        // A key by its id: its label changes with its secret.
        let actor = match trace.principal.key {
            Some(key) => key.to_string(),
            None => trace.principal.actor.to_string(),
        };
        let whole = Sameness {
            actor: Some(actor.clone()),
            request: Some((trace.method.clone(), trace.path.clone())),
            code,
        };
        if self.windows.contains_key(&whole) {
            return whole;
        }
        // Beyond all bounds even known actors are counted together.
        if self.windows.len() >= WINDOWS_MAX {
            return stranger;
        }
        let kinds = self.kinds.entry(actor).or_default();
        if *kinds >= KINDS_PER_ACTOR_MAX {
            return Sameness {
                request: None,
                ..whole
            };
        }
        *kinds += 1;
        whole
    }
}
