//! The mint limit: so many mints a minute for each key or person.

use std::{collections::HashMap, time::Duration};

use claviger_core::{
    id::{KeyId, OrgId},
    limit::{Limit, Verdict},
    tier::{Actor, Principal, Tier},
    time::Timestamp,
};
use parking_lot::Mutex;

use crate::failure::Failure;

/// Beyond this number of actors those whose window is over are forgotten.
const ACTORS_MAX: usize = 10_000;

/// Who mints: a key by its id, for its label changes with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Minter {
    Key(KeyId),
    Other(Actor),
}

/// Counts mints.
#[derive(Debug)]
pub struct MintLimiter {
    per_minute: u32,
    kept: Mutex<HashMap<(OrgId, Minter), i128>>,
}

impl MintLimiter {
    /// A limit of so many mints a minute.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            kept: Mutex::new(HashMap::new()),
        }
    }

    /// Counts a mint; `ADMIN_TOKEN` is exempt.
    ///
    /// # Errors
    /// [`Failure::TooManyMints`].
    pub fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), Failure> {
        if principal.tier == Tier::AdminToken {
            return Ok(());
        }
        let minter = match principal.key {
            Some(id) => Minter::Key(id),
            None => Minter::Other(principal.actor.clone()),
        };
        let minter = (principal.org, minter);
        let limit = Limit {
            burst: self.per_minute,
            window: Duration::from_secs(60),
        };
        let mut kept = self.kept.lock();
        if kept.len() > ACTORS_MAX {
            let present = i128::from(now.millis()) * i128::from(self.per_minute);
            kept.retain(|_, arrival| *arrival > present);
        }
        let last = kept.get(&minter).copied().unwrap_or(0);
        match limit.check(last, now) {
            Verdict::Allowed { next, .. } => {
                kept.insert(minter, next);
                Ok(())
            }
            Verdict::Refused { retry_after } => Err(Failure::TooManyMints {
                per_minute: self.per_minute,
                retry_after,
            }),
        }
    }
}
