//! The policies of the orgs, in memory: every request of an org that has one is held against it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use claviger_core::{
    grant::Grant,
    id::{Key, KeyId, OrgId},
    key::{Credential, KeyStatus, OrgKey},
    policy::{Block, Policy},
};
use claviger_store::{KeyFilter, Page, Store};
use parking_lot::RwLock;

use crate::clock;

/// How many keys are fetched at a time.
pub(crate) const PAGE: u32 = 1000;

/// A policy in force, or one that is about to be.
#[derive(Debug)]
pub(crate) struct InForce {
    /// What it says.
    pub(crate) policy: Policy,
    ceiling: Option<Arc<Grant>>,
    lacking: RwLock<Lacking>,
}

/// Keys that lack required metadata.
#[derive(Debug, Default)]
struct Lacking {
    ids: HashSet<KeyId>,
    /// Keys that were looked at since the walk over all of them began: what the walk read of them may
    /// be old.
    newer: HashSet<KeyId>,
}

impl InForce {
    /// A policy; which keys lack metadata is to be told.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            ceiling: policy.ceiling().map(Arc::new),
            policy,
            lacking: RwLock::default(),
        }
    }

    /// Its ceiling.
    pub(crate) fn ceiling(&self) -> Option<Arc<Grant>> {
        self.ceiling.clone()
    }

    /// Why it blocks a key.
    pub(crate) fn block(&self, key: &Credential<Key>) -> Option<Block> {
        let block = self.policy.block(key.id.created_at(), key.expires());
        block.or_else(|| {
            let asks = !self.policy.required_metadata.is_empty();
            (asks && self.lacking.read().ids.contains(&key.id)).then_some(Block::Metadata)
        })
    }

    /// Looks at a key that was minted or changed.
    pub(crate) fn look_again(&self, key: &OrgKey) {
        if self.policy.required_metadata.is_empty() {
            return;
        }
        let is_lacking = self.policy.missing_metadata(&key.metadata).is_some();
        let mut lacking = self.lacking.write();
        lacking.newer.insert(key.id);
        if is_lacking {
            lacking.ids.insert(key.id);
        } else {
            lacking.ids.remove(&key.id);
        }
    }

    /// Takes in what a walk over all keys has read of one.
    pub(crate) fn walk_over(&self, key: &OrgKey) {
        if self.policy.missing_metadata(&key.metadata).is_some() {
            let mut lacking = self.lacking.write();
            if !lacking.newer.contains(&key.id) {
                lacking.ids.insert(key.id);
            }
        }
    }

    /// The walk is over.
    pub(crate) fn walked(&self) {
        self.lacking.write().newer = HashSet::new();
    }
}

/// Why a policy would block a key.
pub(crate) fn block_of(policy: &Policy, key: &OrgKey) -> Option<Block> {
    let block = policy.block(key.created_at, key.expires_at);
    block.or_else(|| {
        policy
            .missing_metadata(&key.metadata)
            .map(|_| Block::Metadata)
    })
}

/// The policies in force.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    by_org: RwLock<HashMap<OrgId, Arc<InForce>>>,
    /// Whether there is any: most deployments have none.
    is_any: AtomicBool,
    /// Those that are about to come into force: they are told of every mint and change meanwhile.
    coming: RwLock<Vec<(OrgId, Arc<InForce>)>>,
}

impl Policies {
    /// Fetches all of them.
    pub(crate) async fn load(store: &dyn Store) -> claviger_store::Result<Self> {
        let policies = Self::default();
        for (org, policy) in store.load_policies().await? {
            let in_force = Arc::new(InForce::new(policy));
            if !in_force.policy.required_metadata.is_empty() {
                each_living(store, org, |key| in_force.walk_over(&key)).await?;
            }
            policies.set(org, in_force);
        }
        Ok(policies)
    }

    /// Makes them say what the store says.
    pub(crate) async fn follow(&self, store: &dyn Store) -> claviger_store::Result<()> {
        let loaded = Self::load(store).await?;
        *self.by_org.write() = std::mem::take(&mut *loaded.by_org.write());
        let is_any = !self.by_org.read().is_empty();
        self.is_any.store(is_any, Ordering::Release);
        Ok(())
    }

    /// From here on the policy is in force.
    pub(crate) fn set(&self, org: OrgId, policy: Arc<InForce>) {
        let mut by_org = self.by_org.write();
        if policy.policy.is_empty() {
            by_org.remove(&org);
        } else {
            by_org.insert(org, policy);
        }
        self.is_any.store(!by_org.is_empty(), Ordering::Release);
    }

    /// A key was minted or changed: every policy of its org, also one that is about to come into
    /// force, looks at it.
    pub(crate) fn look_again(&self, key: &OrgKey) {
        let coming = self.coming.read();
        let of_org = coming.iter().filter(|(org, _)| *org == key.org);
        let in_force = self.of(key.org);
        for policy in of_org.map(|(_, policy)| policy).chain(&in_force) {
            policy.look_again(key);
        }
    }

    /// From here on the policy is told of every mint and change.
    pub(crate) fn announce(&self, org: OrgId, policy: &Arc<InForce>) {
        self.coming.write().push((org, Arc::clone(policy)));
    }

    /// The policy is in force, or did not come into force.
    pub(crate) fn withdraw(&self, policy: &Arc<InForce>) {
        let mut coming = self.coming.write();
        coming.retain(|(_, other)| !Arc::ptr_eq(other, policy));
        policy.walked();
    }

    /// The policy of an org.
    pub(crate) fn of(&self, org: OrgId) -> Option<Arc<InForce>> {
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        self.by_org.read().get(&org).cloned()
    }

    /// Every org that has one.
    pub(crate) fn all(&self) -> Vec<(OrgId, Arc<InForce>)> {
        let by_org = self.by_org.read();
        let pairs = by_org
            .iter()
            .map(|(org, policy)| (*org, Arc::clone(policy)));
        pairs.collect()
    }
}

/// Calls `each` for every key of an org that is neither revoked nor expired.
pub(crate) async fn each_living(
    store: &dyn Store,
    org: OrgId,
    mut each: impl FnMut(OrgKey) + Send,
) -> claviger_store::Result<()> {
    let mut after = None;
    loop {
        let filter = KeyFilter {
            statuses: vec![
                KeyStatus::Active,
                KeyStatus::NotYetValid,
                KeyStatus::Suspended,
            ],
            now: clock::now(),
            text: None,
            created_by: None,
            workspace: None,
            expires_before: None,
        };
        let page = Page { after, limit: PAGE };
        let found = store.list_keys(org, filter, page).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = Some(last.id);
        found.into_iter().for_each(&mut each);
    }
}
