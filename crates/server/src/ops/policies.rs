//! The org's policy: read it, see what another one would do, set it.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use claviger_core::{
    action::{ReadPolicy, WritePolicy},
    authorize::Permit,
    id::KeyId,
    key::OrgKey,
    permission::Permission,
    policy::Policy,
};
use claviger_store::{Recorder, Selection, Written};

use super::keys::refresh_last_used;
use crate::{
    app::App,
    clock,
    failure::Failure,
    policies::{InForce, block_of, each_living},
    sweeper::{is_overdue, would_suspend},
};

/// The policy in force.
#[must_use]
pub fn get(app: &App, permit: &Permit<ReadPolicy>) -> Policy {
    let in_force = app.policies.of(permit.org());
    in_force.map_or_else(Policy::default, |in_force| in_force.policy.clone())
}

/// How many keys of each kind an effect tells of.
const KEYS_TOLD_MAX: usize = 1000;

/// Some keys, with why they are among them, and how many there are.
#[derive(Debug, Default)]
pub struct Told {
    /// The first of them.
    pub first: Vec<(OrgKey, String)>,
    /// How many there are.
    pub count: usize,
}

impl Told {
    fn add(&mut self, key: &OrgKey, why: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < KEYS_TOLD_MAX {
            self.first.push((key.clone(), why()));
        }
    }
}

/// What a policy does to the keys that live.
#[derive(Debug, Default)]
pub struct Effect {
    /// Those that it blocks.
    pub blocked: Told,
    /// Those that stop because a key above them is blocked.
    pub below: Told,
    /// Those that hold permissions which it takes from them.
    pub cut: Told,
    /// Those that were last used from where it allows no key to be used.
    pub outside: Told,
    /// Those that it suspends by the clock.
    pub suspended: Told,
    /// How many keys live.
    pub living: usize,
    /// How many records of the audit trail lose their bodies.
    pub dropped: u64,
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
    let next = Arc::new(InForce::new(policy.clone()));
    let place = app.scan_place().await?;
    let effect = walk(app, permit, &next).await?;
    drop(place);
    Ok(effect)
}

/// The first of these keys that a policy would block: a session that hangs on them would be refused
/// with it.
///
/// # Errors
/// 503.
pub async fn blocked_of(
    app: &App,
    permit: &Permit<WritePolicy>,
    keys: &[KeyId],
    policy: &Policy,
) -> Result<Option<OrgKey>, Failure> {
    let keys = app.store.find_keys(permit.org(), keys).await?;
    let mut keys = keys.into_iter();
    Ok(keys.find(|key| block_of(policy, key).is_some()))
}

/// Looks at every living key with the eyes of a policy.
async fn walk(
    app: &App,
    permit: &Permit<WritePolicy>,
    next: &Arc<InForce>,
) -> Result<Effect, Failure> {
    let policy = &next.policy;
    let ceiling = policy.ceiling();
    let now = clock::now();
    let (mut effect, mut blocked) = (Effect::default(), HashSet::new());
    let mut idle = Vec::new();
    each_living(&*app.store.0, permit.org(), |mut key| {
        next.walk_over(&key);
        effect.living += 1;
        refresh_last_used(app, &mut key);
        if let Some(block) = block_of(policy, &key) {
            blocked.insert(key.id);
            effect.blocked.add(&key, || block.to_string());
        }
        if !policy.ceiling.covers(key.grant.permissions) {
            effect.cut.add(&key, || {
                let patterns = key.grant.permissions.patterns().join(", ");
                format!("holds `{patterns}`, which is more than the policy allows")
            });
        }
        let from = key.last_use.and_then(|last| last.from);
        if let (Some(ceiling), Some(from)) = (&ceiling, from)
            && !ceiling.reaches_address(from)
        {
            effect
                .outside
                .add(&key, || format!("was last used from {from}"));
        }
        if let Some(reason) = would_suspend(policy, &key, now) {
            idle.push((key, reason));
        }
    })
    .await?;
    for (key, reason) in idle {
        let before = policy.idle_max.map(|span| now.minus(span));
        let is_busy = match before {
            Some(before) if !is_overdue(&key, now) => app.was_used_since(&key, before).await?,
            Some(_) | None => false,
        };
        if !is_busy {
            effect.suspended.add(&key, || reason);
        }
    }
    if let Some(keep) = policy.keep_audit_for {
        effect.dropped = app.store.count_older(permit.org(), now.minus(keep)).await?;
    }
    if !blocked.is_empty() {
        let under = Selection {
            under: blocked.iter().copied().collect(),
            ..Selection::default()
        };
        let line = app.store.select_keys(permit.org(), under).await?;
        for key in line.iter().filter(|key| !blocked.contains(&key.id)) {
            effect
                .below
                .add(key, || "a key above it is blocked".to_owned());
        }
    }
    Ok(effect)
}

/// Sets the policy: when this returns, every request is held against it, and so is every mint. Gives
/// what it does to the keys that live, too.
///
/// # Errors
/// 409 for a policy that would shut out whoever sets it.
pub async fn put(
    app: &Arc<App>,
    permit: &Permit<WritePolicy>,
    (policy, client): (Policy, IpAddr),
    record: impl FnOnce(&Effect) -> Recorder<Policy>,
) -> Result<(Written<Policy>, Effect), Failure> {
    let next = Arc::new(InForce::new(policy));
    refuse_lockout(app, permit, &next, client)?;
    let place = app.scan_place().await?;
    // Told of every mint and change from here on, so that the walk can take its time.
    app.policies.announce(permit.org(), &next);
    let outcome = announced(app, permit, &next, record).await;
    app.policies.withdraw(&next);
    drop(place);
    outcome
}

async fn announced(
    app: &Arc<App>,
    permit: &Permit<WritePolicy>,
    next: &Arc<InForce>,
    record: impl FnOnce(&Effect) -> Recorder<Policy>,
) -> Result<(Written<Policy>, Effect), Failure> {
    let effect = walk(app, permit, next).await?;
    let acting = super::acting(permit.principal());
    let record = record(&effect);
    // Alone: no mint is under way that was held against the policy of before.
    let alone = app.births.write().await;
    let policy = next.policy.clone();
    let written = app
        .store
        .put_policy(permit.org(), policy, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    app.policies.set(permit.org(), Arc::clone(next));
    drop(alone);
    Ok((written, effect))
}

/// Whoever sets a policy must be able to set another.
fn refuse_lockout(
    app: &App,
    permit: &Permit<WritePolicy>,
    next: &InForce,
    client: IpAddr,
) -> Result<(), Failure> {
    let principal = permit.principal();
    let Some(id) = principal.key else {
        return Ok(());
    };
    let above = principal
        .minter
        .as_ref()
        .map_or(&[][..], |minter| &minter.chain);
    let line = std::iter::once(&id).chain(above);
    let mut slots = line.filter_map(|id| app.keys.find_by_id(*id));
    let is_out = slots.any(|slot| next.block(&slot.credential).is_some());
    let is_away = next
        .ceiling()
        .is_some_and(|ceiling| !ceiling.reaches_address(client));
    if is_out || is_away || !next.policy.ceiling.has(Permission::OrgAdmin) {
        return Err(Failure::Refused(
            "this policy would shut out the key that you set it with: by its end, its metadata, its address or `org:admin`; change that first, or use `ADMIN_TOKEN`",
        ));
    }
    Ok(())
}
