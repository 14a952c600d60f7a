//! How many requests for keys wait for a decision, in memory: every page shows it to those who decide.

use std::collections::HashMap;

use claviger_core::{
    id::{OrgId, RequestId},
    request::{KeyRequest, Status},
    time::Timestamp,
};
use claviger_store::{Page, RequestFilter, Store};
use parking_lot::RwLock;

/// How many are fetched at a time.
const PART: u32 = 200;

/// The pending requests of each org, with the instant from which each waits no longer. The store
/// bounds how many there can be.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_org: RwLock<HashMap<OrgId, HashMap<RequestId, Timestamp>>>,
}

impl Waiting {
    /// Fetches them for these orgs.
    ///
    /// # Errors
    /// That of the store.
    pub(crate) async fn load(
        store: &dyn Store,
        orgs: Vec<OrgId>,
        now: Timestamp,
    ) -> claviger_store::Result<Self> {
        let waiting = Self::default();
        for org in orgs {
            let mut after = None;
            loop {
                let filter = RequestFilter {
                    statuses: vec![Status::Pending],
                    now,
                    asker: None,
                };
                let page = Page { after, limit: PART };
                let found = store.list_requests(org, filter, page).await?;
                let Some(last) = found.last() else { break };
                after = Some(last.id);
                found.iter().for_each(|request| waiting.follow(request));
            }
        }
        Ok(waiting)
    }

    /// A request is now what this says.
    pub(crate) fn follow(&self, request: &KeyRequest) {
        let mut by_org = self.by_org.write();
        let of_org = by_org.entry(request.org).or_default();
        if request.stage == Status::Pending {
            of_org.insert(request.id, request.expires_at);
        } else {
            of_org.remove(&request.id);
        }
    }

    /// How many wait in an org. What waits no longer is forgotten.
    pub(crate) fn count(&self, org: OrgId, now: Timestamp) -> u64 {
        let is_over = |ends: &Timestamp| *ends <= now;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match self.by_org.read().get(&org) {
            None => return 0,
            Some(of_org) if !of_org.values().any(is_over) => return count(of_org.len()),
            Some(_) => {}
        }
        let mut by_org = self.by_org.write();
        let of_org = by_org.entry(org).or_default();
        of_org.retain(|_, ends| !is_over(ends));
        count(of_org.len())
    }

    /// Forgets those of an org that is gone.
    pub(crate) fn forget_org(&self, org: OrgId) {
        self.by_org.write().remove(&org);
    }
}
