//! Lines of keys: what is above and below a key, and what ends or stops with it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use claviger_core::{
    action::{ReadKeys, ResumeKey, RevokeKey, SuspendKey},
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    id::{KeyId, WorkspaceToken},
    key::{Credential, KeyState, KeyStatus, OrgKey, Revocation, Suspension},
    ledger::entry::Entry,
    permission::Permission,
    tier::Minter,
    time::Timestamp,
};
use claviger_store::{
    Judge, Line, Page, Receipt, Recorder, Revocations, Revoked, Selection, Turn, Verdict, Written,
};

use super::keys::{follow, get, may_act_on, may_empower, refresh_last_used};
use crate::{app::App, clock, failure::Failure, policies::block_of};

/// The end of a key, as it is answered.
#[derive(Debug)]
pub struct Ended {
    /// What died and when.
    pub revoked: Revoked,
    /// From when on every request is refused.
    pub effective_at: Timestamp,
    /// Proof that it is recorded; absent for a repetition.
    pub receipt: Option<Receipt>,
}

/// How a key is to end.
#[derive(Debug, Clone)]
pub struct End {
    /// The key.
    pub id: KeyId,
    /// Why.
    pub reason: Option<String>,
    /// Whether what it minted ends with it.
    pub cascades: bool,
}

/// Revokes a key and its descendants: when this returns, no request with any of them is accepted.
/// Without the cascade its children live on, under the key above it or the org.
///
/// # Errors
/// 403 for a key that is not the caller's own, no descendant, and wider; 404; without the cascade
/// also 403 for a caller that is neither above the key nor beside it with `org:admin`, and 409 for a
/// child that cannot live on without getting wider.
pub async fn revoke(
    app: &Arc<App>,
    permit: &Permit<RevokeKey>,
    end: End,
    record: Recorder<Revoked, Vec<Entry>>,
) -> Result<Ended, Failure> {
    let principal = permit.principal();
    let id = end.id;
    if principal.key != Some(id) {
        if !permit.has(Permission::TokensRevoke) {
            return Err(Denial::MissingPermission(Permission::TokensRevoke).into());
        }
        // The action itself asks for nothing, so that a key can always give itself up.
        if !permit.reaches_endpoint("DELETE", &format!("/org/tokens/{id}")) {
            return Err(Denial::OutsideEndpoints.into());
        }
        may_act_on(permit, &get(app, permit, id).await?)?;
    }
    if !end.cascades {
        may_keep_descendants(app, permit, id).await?;
    }
    let cascades = end.cascades;
    let end = Revocation {
        at: clock::now(),
        by: principal.actor.clone(),
        reason: end.reason,
    };
    let acting = super::acting(principal);
    let outcome = if cascades {
        let store = &app.store;
        store
            .revoke_key(permit.org(), id, end, acting, record)
            .await
    } else {
        // Nobody may be born meanwhile whose chain is another by the time the index follows.
        let alone = app.births.write().await;
        let store = &app.store;
        let outcome = store
            .revoke_key_alone(permit.org(), id, end, acting, record)
            .await;
        if let Ok(Revocations::Now(written)) = &outcome {
            place_heirs(app, &written.value);
        }
        drop(alone);
        outcome
    };
    let outcome = outcome.map_err(|error| super::narrowing_failed(app, error))?;
    match outcome {
        Revocations::Now(Written {
            value: revoked,
            receipt,
        }) => {
            let effective_at = drop_keys(app, &revoked, None).await;
            Ok(Ended {
                revoked,
                effective_at,
                receipt: Some(receipt),
            })
        }
        Revocations::Before(revoked) => {
            // The index has them as revoked already, or is made to: a repetition passes the barrier too.
            let effective_at = drop_keys(app, &revoked, Some(revoked.at)).await;
            Ok(Ended {
                revoked,
                effective_at,
                receipt: None,
            })
        }
    }
}

/// Whether a caller may let live what a key has minted.
async fn may_keep_descendants(
    app: &App,
    permit: &Permit<RevokeKey>,
    id: KeyId,
) -> Result<(), Failure> {
    let principal = permit.principal();
    let key = get(app, permit, id).await?;
    let is_above = principal
        .key
        .is_some_and(|own| key.minter.chain.contains(&own));
    let above = principal
        .minter
        .as_ref()
        .map_or(&[][..], |minter| &minter.chain);
    let is_within = principal.key == Some(id) || above.contains(&id);
    if !is_above && (is_within || !permit.has(Permission::OrgAdmin)) {
        return Err(Denial::NotAbove.into());
    }
    let policy = app.policies.of(key.org);
    let is_blocked = policy.is_some_and(|policy| block_of(&policy.policy, &key).is_some());
    // What it minted does not work now, and is not to work again by its end.
    if key.revocation.is_none() && (is_blocked || key.status(clock::now()) != KeyStatus::Active) {
        return Err(Failure::Refused(
            "the key is not accepted now, so nothing that it minted is: resume it or let it conform first, or revoke it with the cascade",
        ));
    }
    Ok(())
}

/// The keys below one that went stand under what is above it; the index says so from here on. Its
/// own end comes first: for no moment does a key that went count among those above another.
fn place_heirs(app: &App, revoked: &Revoked) {
    end_in_index(app, &Digest::from_bytes(revoked.key.digest));
    for heir in &revoked.heirs {
        if let Some(slot) = app.keys.find_by_id(heir.id) {
            let minter = Arc::new(Minter {
                chain: heir.chain.clone(),
                ..(*slot.credential.minter).clone()
            });
            app.keys.change(&slot.credential.digest, |old| Credential {
                minter,
                ..old.clone()
            });
        }
    }
    let gone = revoked.key.id;
    let mut tokens: Vec<Credential<WorkspaceToken>> = Vec::new();
    app.workspace_tokens.for_each(|token| {
        // Those that the key made itself go with it.
        if token
            .minter
            .chain
            .iter()
            .skip(1)
            .any(|above| *above == gone)
        {
            tokens.push(token.clone());
        }
    });
    for token in tokens {
        let chain = token.minter.chain.iter().copied();
        let minter = Arc::new(Minter {
            chain: chain.filter(|above| *above != gone).collect(),
            ..(*token.minter).clone()
        });
        app.workspace_tokens
            .change(&token.digest, |old| Credential {
                minter,
                ..old.clone()
            });
    }
}

fn end_in_index(app: &App, digest: &Digest) {
    app.keys.change(digest, |old| Credential {
        state: KeyState::Revoked,
        ..old.clone()
    });
}

/// From here on no request with any of them is accepted. Gives the instant of the first time.
pub(super) async fn drop_keys(app: &App, revoked: &Revoked, first: Option<Timestamp>) -> Timestamp {
    let alone = app.births.write().await;
    for key in std::iter::once(&revoked.key).chain(&revoked.descendants) {
        end_in_index(app, &Digest::from_bytes(key.digest));
    }
    drop(alone);
    let mut effective = app.effective.lock();
    if effective.len() > crate::app::EFFECTIVE_KEPT_MAX {
        effective.clear();
    }
    *effective
        .entry(revoked.key.id)
        .or_insert_with(|| first.unwrap_or_else(clock::now))
}

/// A key with what is above it, and a part of what is below it.
///
/// # Errors
/// 404.
pub async fn lineage(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
    page: Page<KeyId>,
) -> Result<Line, Failure> {
    let found = app.store.find_line(permit.org(), id, page).await?;
    let mut line = found.ok_or(Failure::NotFound("key"))?;
    let all = std::iter::once(&mut line.key).chain(&mut line.above);
    all.chain(&mut line.below)
        .for_each(|key| refresh_last_used(app, key));
    Ok(line)
}

/// What a suspension of many keys would stop.
#[derive(Debug)]
pub struct Reach {
    /// Those that would be suspended themselves.
    pub taken: Vec<OrgKey>,
    /// Those that would stop because a key above them does.
    pub below: Vec<OrgKey>,
    /// Those that are left out: the caller's own key, and those above it.
    pub spared: Vec<OrgKey>,
    /// How many requests each of them made in the last hour; none are left out.
    pub calls: HashMap<KeyId, u64>,
}

/// Of how many keys the traffic is asked at a time.
const TRAFFIC_KEYS_MAX: usize = 500;
/// How far back the traffic of what would stop is told.
const TRAFFIC_OF: Duration = Duration::from_hours(1);

/// What suspending these keys would stop. Nothing is changed.
///
/// # Errors
/// 403 for a key among them that the caller may not act on.
pub async fn reach(
    app: &App,
    permit: &Permit<SuspendKey>,
    selection: Selection,
) -> Result<Reach, Failure> {
    let place = app.scan_place().await?;
    let now = clock::now();
    let selection = Selection {
        is_suspended: Some(false),
        ..selection
    };
    let found = app.store.select_keys(permit.org(), selection).await?;
    let (mut taken, mut spared) = (Vec::new(), Vec::new());
    for key in found.into_iter().filter(|key| is_on(key, now)) {
        match verdict_of_stop(permit, &key) {
            Verdict::Take => taken.push(key),
            Verdict::Spare => spared.push(key),
            Verdict::Refuse => return Err(claviger_store::StoreError::Refused(key.id).into()),
        }
    }
    let reach = with_traffic(app, permit, (taken, spared)).await?;
    drop(place);
    Ok(reach)
}

/// What suspending one key would stop; nothing, if it is off already. Nothing is changed.
///
/// # Errors
/// As [`super::keys::suspend`]: 403 for a key that the caller may not act on, 404, 409 for a revoked one.
pub async fn reach_of_key(
    app: &App,
    permit: &Permit<SuspendKey>,
    id: KeyId,
) -> Result<Reach, Failure> {
    let place = app.scan_place().await?;
    let key = get(app, permit, id).await?;
    may_act_on(permit, &key)?;
    if key.revocation.is_some() {
        return Err(claviger_store::StoreError::Gone("key").into());
    }
    let taken = Some(key).filter(|key| is_on(key, clock::now()));
    let taken = taken.into_iter().collect();
    let reach = with_traffic(app, permit, (taken, Vec::new())).await?;
    drop(place);
    Ok(reach)
}

fn is_on(key: &OrgKey, now: Timestamp) -> bool {
    matches!(key.status(now), KeyStatus::Active | KeyStatus::NotYetValid)
}

/// What stops with these keys, and how busy all of them are.
async fn with_traffic(
    app: &App,
    permit: &Permit<SuspendKey>,
    (taken, spared): (Vec<OrgKey>, Vec<OrgKey>),
) -> Result<Reach, Failure> {
    let mut reach = Reach {
        taken,
        below: Vec::new(),
        spared,
        calls: HashMap::new(),
    };
    if !reach.taken.is_empty() {
        let now = clock::now();
        let taken: HashSet<_> = reach.taken.iter().map(|key| key.id).collect();
        let under = Selection {
            under: reach.taken.iter().map(|key| key.id).collect(),
            ..Selection::default()
        };
        let below = app.store.select_keys(permit.org(), under).await?;
        let stops = |key: &OrgKey| !taken.contains(&key.id) && is_on(key, now);
        reach.below = below.into_iter().filter(stops).collect();
    }
    let all = reach.taken.iter_mut().chain(&mut reach.below);
    all.for_each(|key| refresh_last_used(app, key));
    app.flush_usage().await?;
    let ids: Vec<_> = reach
        .taken
        .iter()
        .chain(&reach.below)
        .map(|key| key.id)
        .collect();
    let since = clock::now().minus(TRAFFIC_OF);
    for part in ids.chunks(TRAFFIC_KEYS_MAX) {
        let calls = app.store.calls_of_keys(permit.org(), part, since).await?;
        let calls = calls.iter().map(|one| (one.key, one.calls + one.refusals));
        reach.calls.extend(calls);
    }
    Ok(reach)
}

/// What is to be done with a key that is to stop: whoever stops keys must not stop itself.
fn verdict_of_stop(permit: &Permit<SuspendKey>, key: &OrgKey) -> Verdict {
    let principal = permit.principal();
    let above = principal
        .minter
        .as_ref()
        .map_or(&[][..], |minter| &minter.chain);
    if principal.key.iter().chain(above).any(|own| *own == key.id) {
        Verdict::Spare
    } else if may_act_on(permit, key).is_ok() {
        Verdict::Take
    } else {
        Verdict::Refuse
    }
}

/// Suspends all these keys at once: when this returns, no request with any of them is accepted.
///
/// # Errors
/// 403 for a key among them that the caller may not act on: then none is changed.
pub async fn suspend_many(
    app: &Arc<App>,
    permit: &Permit<SuspendKey>,
    (selection, reason): (Selection, Option<String>),
    record: Recorder<Vec<OrgKey>, Vec<Entry>>,
) -> Result<Written<Vec<OrgKey>>, Failure> {
    let judge: Judge = {
        let permit = permit.clone();
        Box::new(move |key| verdict_of_stop(&permit, key))
    };
    let turn = Turn::Suspend(Suspension {
        at: clock::now(),
        by: permit.principal().actor.clone(),
        reason,
    });
    turn_many(app, permit.principal(), (selection, judge, turn), record).await
}

/// Resumes all these keys at once.
///
/// # Errors
/// As [`suspend_many`].
pub async fn resume_many(
    app: &Arc<App>,
    permit: &Permit<ResumeKey>,
    selection: Selection,
    record: Recorder<Vec<OrgKey>, Vec<Entry>>,
) -> Result<Written<Vec<OrgKey>>, Failure> {
    let judge: Judge = {
        let (permit, app) = (permit.clone(), Arc::clone(app));
        Box::new(move |key| match may_empower(&app, &permit, key) {
            Ok(()) => Verdict::Take,
            Err(_) => Verdict::Refuse,
        })
    };
    let turn = Turn::Resume(clock::now());
    turn_many(app, permit.principal(), (selection, judge, turn), record).await
}

async fn turn_many(
    app: &Arc<App>,
    principal: &claviger_core::tier::Principal,
    (selection, judge, turn): (Selection, Judge, Turn),
    record: Recorder<Vec<OrgKey>, Vec<Entry>>,
) -> Result<Written<Vec<OrgKey>>, Failure> {
    let acting = super::acting(principal);
    app.mint_limiter.check(principal, acting.now)?;
    let selection = Selection {
        is_suspended: Some(matches!(turn, Turn::Resume(_))),
        ..selection
    };
    // Looked at beforehand: whoever may not act on them is refused before anybody waits.
    let place = app.scan_place().await?;
    let found = app
        .store
        .select_keys(principal.org, selection.clone())
        .await?;
    if let Some(key) = found.iter().find(|key| judge(key) == Verdict::Refuse) {
        return Err(claviger_store::StoreError::Refused(key.id).into());
    }
    drop((found, place));
    // Alone: no key is changed or born until the index knows what became of all of these.
    let alone = app.births.write().await;
    let store = &app.store;
    let written = store
        .turn_keys(principal.org, (selection, judge), turn, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    for key in &written.value {
        follow(app, key)?;
    }
    drop(alone);
    Ok(written)
}
