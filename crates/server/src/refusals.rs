//! Refusals that come in floods: the first is recorded, the rest of its second are counted.
//!
//! Without this, whoever may not come in could fill the audit trail.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::trace::Trace;

/// The most kinds of refusal that are told apart within a second.
const WINDOWS_MAX: usize = 10_000;

/// Refusals that count as the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sameness {
    /// The actor, or `None` for everybody without a known key.
    actor: Option<String>,
    method: http::Method,
    route: &'static str,
    code: &'static str,
}

struct Window {
    trace: Arc<Trace>,
    status: u16,
    code: &'static str,
    repeats: u64,
}

/// Repeated refusals that are due for one record.
#[derive(Debug)]
pub struct Repeats {
    /// The first of them.
    pub trace: Arc<Trace>,
    /// The status that was answered.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// How many there were after the first.
    pub count: u64,
}

/// Tells first refusals from repeated ones.
#[derive(Default)]
pub struct Refusals {
    windows: Mutex<HashMap<Sameness, Window>>,
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

impl Refusals {
    /// Notes a refusal. True when it is the first of its kind in this second, and so wants a
    /// record of its own.
    pub fn note(&self, trace: &Arc<Trace>, status: u16, code: &'static str) -> bool {
        let actor = trace
            .is_attributed()
            .then(|| trace.principal.actor.to_string());
        let sameness = Sameness {
            // Strangers are told apart by the reason alone: they choose everything else.
            method: if actor.is_some() {
                trace.method.clone()
            } else {
                http::Method::GET
            },
            route: if actor.is_some() { trace.route } else { "" },
            actor,
            code,
        };
        let mut windows = self.windows.lock();
        let is_full = windows.len() >= WINDOWS_MAX;
        match windows.entry(sameness) {
            std::collections::hash_map::Entry::Occupied(mut known) => {
                known.get_mut().repeats += 1;
                false
            }
            std::collections::hash_map::Entry::Vacant(_) if is_full => false,
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(Window {
                    trace: Arc::clone(trace),
                    status,
                    code,
                    repeats: 0,
                });
                true
            }
        }
    }

    /// Ends the second: gives what was counted.
    #[must_use]
    pub fn take(&self) -> Vec<Repeats> {
        let windows = std::mem::take(&mut *self.windows.lock());
        windows
            .into_values()
            .filter(|window| window.repeats > 0)
            .map(|window| Repeats {
                trace: window.trace,
                status: window.status,
                code: window.code,
                count: window.repeats,
            })
            .collect()
    }
}
