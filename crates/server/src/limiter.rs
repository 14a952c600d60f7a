//! The mint limit: so many mints a minute for each key or person.

use std::{collections::HashMap, time::Duration};

use claviger_core::{
    id::OrgId,
    limit::{Limit, Verdict},
    tier::{Actor, Tier},
    time::Timestamp,
};
use parking_lot::Mutex;

use crate::failure::Failure;

/// Beyond this number of actors those whose window is over are forgotten.
const ACTORS_MAX: usize = 10_000;

/// Counts mints.
#[derive(Debug)]
pub struct MintLimiter {
    per_minute: u32,
    kept: Mutex<HashMap<(OrgId, Actor), i128>>,
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
    pub fn check(
        &self,
        tier: Tier,
        org: OrgId,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if tier == Tier::AdminToken {
            return Ok(());
        }
        let limit = Limit {
            burst: self.per_minute,
            window: Duration::from_secs(60),
        };
        let mut kept = self.kept.lock();
        if kept.len() > ACTORS_MAX {
            let present = i128::from(now.millis()) * i128::from(self.per_minute);
            kept.retain(|_, arrival| *arrival > present);
        }
        let last = kept.get(&(org, actor.clone())).copied().unwrap_or(0);
        match limit.check(last, now) {
            Verdict::Allowed { next, .. } => {
                kept.insert((org, actor.clone()), next);
                Ok(())
            }
            Verdict::Refused { retry_after } => Err(Failure::TooManyMints {
                per_minute: self.per_minute,
                retry_after,
            }),
        }
    }
}
