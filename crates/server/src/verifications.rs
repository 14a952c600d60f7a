//! Verifications of the trails: one of each org at a time, and how often a failed one is recorded.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use claviger_core::{id::OrgId, time::Timestamp};
use parking_lot::Mutex;

use crate::failure::Failure;

/// A failed verification leaves a record at most this often.
const RECORDED_EVERY: Duration = Duration::from_hours(1);

/// What is under way, and what was recorded.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    running: Mutex<HashSet<OrgId>>,
    recorded: Mutex<HashMap<OrgId, Timestamp>>,
}

/// A verification under way; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    all: Arc<Verifications>,
    org: OrgId,
}

impl Verifications {
    /// Begins one.
    ///
    /// # Errors
    /// 409 while another one of the org is under way.
    pub(crate) fn begin(self: &Arc<Self>, org: OrgId) -> Result<Running, Failure> {
        if !self.running.lock().insert(org) {
            return Err(Failure::Refused(
                "the trail of your org is being verified already: wait until that ends",
            ));
        }
        let all = Arc::clone(self);
        Ok(Running { all, org })
    }

    /// Whether a failed one is to be recorded.
    pub(crate) fn is_due(&self, org: OrgId, now: Timestamp) -> bool {
        let mut recorded = self.recorded.lock();
        let last = recorded.get(&org);
        if last.is_some_and(|last| *last > now.minus(RECORDED_EVERY)) {
            return false;
        }
        recorded.insert(org, now);
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.running.lock().remove(&self.org);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use claviger_core::{id::OrgId, time::Timestamp};

    use super::Verifications;

    #[test]
    fn one_of_each_org_runs_and_a_failed_one_is_recorded_once_an_hour() {
        let all = Arc::new(Verifications::default());
        let (one, other) = (OrgId::from_u128(1), OrgId::from_u128(2));
        let running = all.begin(one).expect("the first");
        let _other = all.begin(other).expect("of another org");
        all.begin(one).expect_err("it is under way");
        drop(running);
        drop(all.begin(one).expect("the first is over"));

        let now = Timestamp::from_millis(1_800_000_000_000);
        assert!(all.is_due(one, now) && all.is_due(other, now));
        assert!(!all.is_due(one, now.plus(Duration::from_secs(3599))));
        assert!(all.is_due(one, now.plus(Duration::from_secs(3601))));
    }
}
