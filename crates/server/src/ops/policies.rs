//! The org's policy: read it, see what another one would do, set it.

use std::{collections::HashSet, sync::Arc};

use claviger_core::{
    action::{ReadPolicy, WritePolicy},
    authorize::Permit,
    key::OrgKey,
    permission::Permission,
    policy::{Block, Policy},
};
use claviger_store::{Recorder, Written};

use crate::{
    app::App,
    failure::Failure,
    policies::{InForce, block_of, each_living},
};

/// The policy in force.
#[must_use]
pub fn get(app: &App, permit: &Permit<ReadPolicy>) -> Policy {
    let in_force = app.policies.of(permit.org());
    in_force.map_or_else(Policy::default, |in_force| in_force.policy.clone())
}

/// What a policy does to the keys that live.
#[derive(Debug, Default)]
pub struct Effect {
    /// Those that it blocks, and why.
    pub blocked: Vec<(OrgKey, Block)>,
    /// Those that hold permissions which it takes from them.
    pub cut: Vec<OrgKey>,
}

/// What a policy would do. Nothing is changed.
///
/// # Errors
/// 503.
pub async fn preview(
    app: &App,
    permit: &Permit<WritePolicy>,
    policy: &Policy,
) -> Result<Effect, Failure> {
    let place = app.scan_place().await?;
    let mut effect = Effect::default();
    each_living(&*app.store.0, permit.org(), |key| {
        match block_of(policy, &key) {
            Some(block) => effect.blocked.push((key, block)),
            None if !policy.ceiling.covers(key.grant.permissions) => effect.cut.push(key),
            None => {}
        }
    })
    .await?;
    drop(place);
    Ok(effect)
}

/// Sets the policy: when this returns, every request is held against it, and so is every mint.
///
/// # Errors
/// 409 for a policy that would shut out the key that sets it.
pub async fn put(
    app: &Arc<App>,
    permit: &Permit<WritePolicy>,
    policy: Policy,
    record: Recorder<Policy>,
) -> Result<Written<Policy>, Failure> {
    let principal = permit.principal();
    // Alone: no mint is under way that was held against the policy of before.
    let alone = app.births.write().await;
    let mut lacking = HashSet::new();
    if !policy.required_metadata.is_empty() {
        each_living(&*app.store.0, permit.org(), |key| {
            if policy.missing_metadata(&key.metadata).is_some() {
                lacking.insert(key.id);
            }
        })
        .await?;
    }
    let next = InForce::new(policy.clone(), lacking);
    if let Some(id) = principal.key {
        let above = principal
            .minter
            .as_ref()
            .map_or(&[][..], |minter| &minter.chain);
        let line = std::iter::once(&id).chain(above);
        let mut slots = line.filter_map(|id| app.keys.find_by_id(*id));
        let is_out = slots.any(|slot| next.block(&slot.credential).is_some());
        if is_out || !policy.ceiling.has(Permission::OrgAdmin) {
            return Err(Failure::Refused(
                "this policy would shut out the key that you set it with; change that first, or use `ADMIN_TOKEN`",
            ));
        }
    }
    let acting = super::acting(principal);
    let store = &app.store;
    let written = store
        .put_policy(permit.org(), policy, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    app.policies.set(permit.org(), next);
    drop(alone);
    Ok(written)
}
