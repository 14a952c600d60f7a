//! The living orgs in memory: `X-Org-Id` and whoami need no look-up.

use std::collections::HashMap;

use claviger_core::id::OrgId;
use claviger_store::{Org, Page, Store};
use parking_lot::RwLock;

/// How many orgs are fetched at a time.
const PAGE: u32 = 500;

/// Names of the living orgs.
#[derive(Debug, Default)]
pub struct Orgs {
    names: RwLock<HashMap<OrgId, std::sync::Arc<str>>>,
}

impl Orgs {
    /// Fetches all of them.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn load(store: &dyn Store) -> claviger_store::Result<Self> {
        let orgs = Self::default();
        let mut after = None;
        loop {
            let page = store.list_orgs(Page { after, limit: PAGE }).await?;
            let Some(last) = page.last() else {
                return Ok(orgs);
            };
            after = Some(last.id);
            page.iter().for_each(|org| orgs.insert(org));
        }
    }

    /// Adds an org.
    pub fn insert(&self, org: &Org) {
        self.names.write().insert(org.id, org.name.as_str().into());
    }

    /// Forgets an org.
    pub fn remove(&self, id: OrgId) {
        self.names.write().remove(&id);
    }

    /// All of them.
    #[must_use]
    pub fn ids(&self) -> Vec<OrgId> {
        self.names.read().keys().copied().collect()
    }

    /// The name of an org.
    #[must_use]
    pub fn name(&self, id: OrgId) -> Option<std::sync::Arc<str>> {
        self.names.read().get(&id).cloned()
    }

    /// An org by its id or its name.
    #[must_use]
    pub fn find(&self, name_or_id: &str) -> Option<OrgId> {
        let names = self.names.read();
        match name_or_id.parse::<OrgId>() {
            Ok(id) => names.contains_key(&id).then_some(id),
            Err(_) => names
                .iter()
                .find(|(_, name)| &***name == name_or_id)
                .map(|(id, _)| *id),
        }
    }
}
