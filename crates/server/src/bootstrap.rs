//! Tier 0: open until the first key, and never again.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
};

use claviger_core::evidence::{Arrival, BootstrapPolicy};

/// The file beside the database that says that a key was minted here once. An emptied database
/// does not reopen what it closed.
const MARK: &str = "bootstrap-closed";

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
/// Whether a key was minted is not known yet.
const SUSPENDED: u8 = 2;

/// Whether tier 0 is open. Closed is final.
#[derive(Debug)]
pub struct Bootstrap {
    state: AtomicU8,
    policy: BootstrapPolicy,
    mark: PathBuf,
}

impl Bootstrap {
    /// Open only if the store says so and there is no mark.
    #[must_use]
    pub fn new(is_open_in_store: bool, policy: BootstrapPolicy, data_dir: &Path) -> Self {
        let mark = data_dir.join(MARK);
        let is_marked = mark.exists();
        if is_open_in_store && is_marked {
            tracing::warn!(
                mark = %mark.display(),
                "the database holds no key, but a key was minted here once: tier 0 stays closed; use ADMIN_TOKEN to mint"
            );
        }
        let bootstrap = Self {
            state: AtomicU8::new(if is_open_in_store && !is_marked {
                OPEN
            } else {
                CLOSED
            }),
            policy,
            mark,
        };
        if !is_open_in_store {
            bootstrap.close();
        }
        bootstrap
    }

    /// Whether some request could still use it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.policy != BootstrapPolicy::Off && self.state.load(Ordering::Acquire) == OPEN
    }

    /// Whether this request may use it.
    #[must_use]
    pub fn admits(&self, arrival: &Arrival<'_>) -> bool {
        self.is_open() && arrival.may_bootstrap(self.policy)
    }

    /// Shuts it until [`Bootstrap::reopen`] or [`Bootstrap::close`]: whether a key was minted is
    /// not known. False when it was not open.
    pub(crate) fn suspend(&self) -> bool {
        self.step(OPEN, SUSPENDED)
    }

    /// Opens it again: the store says that no key was minted. Closed stays closed.
    pub(crate) fn reopen(&self) {
        self.step(SUSPENDED, OPEN);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        let stepped = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        stepped.is_ok()
    }

    /// Closes it for good. The store has the last word; this is what the next request sees.
    pub fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        if !self.mark.exists()
            && let Err(error) = std::fs::write(
                &self.mark,
                "a key was minted here: tier 0 is closed for good\n",
            )
        {
            tracing::warn!(mark = %self.mark.display(), %error, "cannot note that tier 0 is closed; the database has it");
        }
    }
}
