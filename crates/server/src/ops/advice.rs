//! What would be enough for a key, and which keys should be looked at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::OnceLock,
    time::Duration,
};

use claviger_core::{
    action::ReadKeys,
    advice::{
        self, Advice, Ages, Concern, Habits, Left, RouteNeeds, Situation, UsedCall, still_allows,
    },
    authorize::Permit,
    id::{KeyId, WorkspaceId},
    key::{KeyState, KeyStatus, OrgKey},
    permission::PermissionSet,
    person::PersonState,
    tier::Actor,
    time::Timestamp,
};
use claviger_store::{AddressUse, KeyFilter, Page, RouteUse, Span};

use super::{
    keys,
    usage::{ROWS_MAX, addresses},
};
use crate::{
    app::App,
    clock,
    failure::Failure,
    router::{self, RouteInfo},
    usage::{USAGE_KEPT, route_of_counted},
};

/// The most living keys below a key of which advice is made.
const DESCENDANTS_MAX: u32 = 2000;
/// How many keys one call of the org's advice looks at.
const LOOKED_AT_MAX: usize = 1000;
/// How many of them at a time.
const KEYS_PAGE: u32 = 200;

/// What advice is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// How far to look back.
    pub window: Duration,
    /// Whether to suggest endpoints.
    pub wants_endpoints: bool,
    /// Whether to suggest addresses.
    pub wants_addresses: bool,
}

/// Everything that is said of one key.
#[derive(Debug)]
pub struct Judged {
    /// The key.
    pub key: OrgKey,
    /// The window.
    pub span: Span,
    /// Since when there is anything to judge by.
    pub judged_since: Timestamp,
    /// Living keys below it; at most `DESCENDANTS_MAX` and one.
    pub descendants: usize,
    /// Workspaces of living workspace tokens below it.
    pub tokens_below: Vec<WorkspaceId>,
    /// Calls in the window that were let in.
    pub used: Vec<UsedCall>,
    /// From where.
    pub addresses: Vec<AddressUse>,
    /// What would be enough; absent where that cannot be said.
    pub advice: Option<Advice>,
    /// What the suggestion would have refused before the window, most calls first.
    pub refused: Vec<RouteUse>,
    /// Addresses last seen before the window from which the suggestion would refuse.
    pub addresses_refused: usize,
    /// What speaks against the key.
    pub concerns: Vec<Concern>,
}

impl Judged {
    /// Whether there are more keys below it than are looked at.
    #[must_use]
    pub fn has_too_many_descendants(&self) -> bool {
        u32::try_from(self.descendants).is_ok_and(|count| count > DESCENDANTS_MAX)
    }
}

/// The age from which a key counts as idle, unless somebody asks for another.
pub const IDLE: Duration = Duration::from_secs(90 * 86_400);
/// The age from which a key counts as never used, unless somebody asks for another.
pub const UNUSED: Duration = Duration::from_secs(7 * 86_400);

/// What would be enough for a key, by what it did up to this request.
///
/// # Errors
/// 403 for a caller that is bound to workspaces, about a key that is neither its own nor below it;
/// 404, 503.
pub async fn of_key(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
    asked: Asked,
) -> Result<Judged, Failure> {
    let key = keys::get(app, permit, id).await?;
    keys::may_see_uses(permit, &key)?;
    let place = app.scan_place().await?;
    app.flush_usage().await?;
    let (now, org, store) = (clock::now(), permit.org(), &app.store);
    let span = Span {
        since: claviger_store::hour_of(now.minus(asked.window)),
        until: now,
    };
    let below = store
        .descendants_of_key(org, id, now, DESCENDANTS_MAX + 1)
        .await?;
    let is_judged = u32::try_from(below.len()).is_ok_and(|count| count <= DESCENDANTS_MAX)
        && key.state() != KeyState::Revoked;
    let ids: Vec<KeyId> = if is_judged {
        std::iter::once(id)
            .chain(below.iter().map(|one| one.id))
            .collect()
    } else {
        vec![id]
    };
    let (used, is_complete) = used(app, permit, &ids, span).await?;
    let addresses = addresses(app, permit, &ids, span.since).await?;
    let seen: Vec<_> = addresses.iter().map(|seen| seen.address).collect();
    let tokens_below = tokens_below(app, id);
    let situation = Situation {
        own: &key.grant,
        used: &used,
        is_complete,
        has_selectors_below: below.iter().any(|one| one.selects_by_labels),
        tokens_below: &tokens_below,
        wants_endpoints: asked.wants_endpoints,
        addresses: asked.wants_addresses.then_some(&*seen),
    };
    let advice = advice::advise(&situation).filter(|_| is_judged);
    let begins = store.usage_begins().await?.unwrap_or(now);
    let mut judged = Judged {
        concerns: concerns(app, &key, advice.as_ref()),
        judged_since: span.since.max(key.created_at).max(begins),
        descendants: below.len(),
        refused: Vec::new(),
        addresses_refused: 0,
        key,
        span,
        tokens_below,
        used,
        addresses,
        advice,
    };
    look_before_the_window(app, permit, &ids, &mut judged).await?;
    drop(place);
    Ok(judged)
}

fn concerns(app: &App, key: &OrgKey, advice: Option<&Advice>) -> Vec<Concern> {
    let now = clock::now();
    let habits = Habits {
        created_at: key.created_at,
        last_used_at: key.last_use.map(|last| last.at),
        expires_at: key.expires_at,
        grant: &key.grant,
        used: advice.map(|advice| advice.used),
        left: left(app, key, (IDLE, now)),
    };
    let ages = Ages {
        unused: Duration::ZERO,
        idle: IDLE,
    };
    advice::concerns(&habits, ages, now)
}

/// How the person is not here any more that minted a key, or that it goes back to. Nothing, if the key
/// got another secret after that person was sent away: that one it never saw.
pub(crate) fn left(app: &App, key: &OrgKey, (idle, now): (Duration, Timestamp)) -> Option<Left> {
    let minter = &key.minter;
    [&minter.created_by, &minter.root]
        .into_iter()
        .find_map(|actor| {
            let Actor::Session(id) = actor else {
                return None;
            };
            let known = app.people.get(key.org, id)?;
            let person = &known.person;
            let sent_away = person.decision.as_ref().map(|decision| decision.at);
            let left = match person.state {
                PersonState::Removed => Left::Removed,
                PersonState::Suspended => Left::Suspended,
                PersonState::Active => {
                    return (person.last_seen_at.plus(idle) <= now).then_some(Left::Away(idle));
                }
            };
            let knows_it = sent_away.is_none_or(|at| key.secret.since <= at);
            knows_it.then_some(left)
        })
}

/// What these keys did. Every route is among it; whether every workspace is too, the second says.
async fn used(
    app: &App,
    permit: &Permit<ReadKeys>,
    ids: &[KeyId],
    span: Span,
) -> Result<(Vec<UsedCall>, bool), Failure> {
    let org = permit.org();
    let rows = app.store.usage_of_keys(org, ids, span, ROWS_MAX).await?;
    let is_complete = u32::try_from(rows.len()).is_ok_and(|count| count < ROWS_MAX);
    let mut used: Vec<_> = rows.iter().filter(|row| row.calls > 0).map(call).collect();
    if !is_complete {
        let known: BTreeSet<_> = rows
            .iter()
            .map(|row| (row.method.clone(), row.route.clone()))
            .collect();
        let all = app.store.routes_of_keys(org, ids, span.since).await?;
        let missing = all.into_iter().map(|row| (row.method, row.route));
        let missing: BTreeSet<_> = missing.filter(|route| !known.contains(route)).collect();
        used.extend(missing.into_iter().map(|(method, route)| UsedCall {
            needs: needs_of(&method, &route),
            method,
            route,
            workspace: None,
            calls: 1,
        }));
    }
    Ok((used, is_complete))
}

/// What the suggestion would have refused in the recorded time before the window.
async fn look_before_the_window(
    app: &App,
    permit: &Permit<ReadKeys>,
    ids: &[KeyId],
    judged: &mut Judged,
) -> Result<(), Failure> {
    let Some(advice) = &judged.advice else {
        return Ok(());
    };
    let (own, narrow) = (&judged.key.grant, &advice.suggestion);
    if own == narrow {
        return Ok(());
    }
    let before = Span {
        since: judged.span.until.minus(USAGE_KEPT),
        until: judged.span.since,
    };
    let rows = app
        .store
        .usage_of_keys(permit.org(), ids, before, ROWS_MAX)
        .await?;
    let is_refused = |row: &RouteUse| row.calls > 0 && !still_allows(own, narrow, &call(row));
    judged.refused = rows.into_iter().filter(is_refused).collect();
    let seen = addresses(app, permit, ids, before.since).await?;
    let is_refused =
        |seen: &&AddressUse| seen.last_at < before.until && !narrow.reaches_address(seen.address);
    judged.addresses_refused = seen.iter().filter(is_refused).count();
    Ok(())
}

/// A sum as advice sees it.
fn call(row: &RouteUse) -> UsedCall {
    UsedCall {
        method: row.method.clone(),
        route: row.route.clone(),
        needs: needs_of(&row.method, &row.route),
        workspace: row.workspace,
        calls: row.calls,
    }
}

/// What a counted route needs, by the table of routes of today.
fn needs_of(method: &str, route: &str) -> Option<RouteNeeds> {
    static ROUTES: OnceLock<Vec<RouteInfo>> = OnceLock::new();
    // Whoever serves a GET serves the HEAD too.
    let method = if method == "HEAD" { "GET" } else { method };
    let route = route_of_counted(route);
    let routes = ROUTES.get_or_init(router::routes).iter();
    let mut found = routes.filter(|known| known.path == route && known.method == method);
    found.next().map(|known| RouteNeeds {
        action: known.action,
        needs: known.needs,
        scope: known.scope,
    })
}

/// The workspaces of living workspace tokens that the key, or one below it, made.
fn tokens_below(app: &App, id: KeyId) -> Vec<WorkspaceId> {
    let mut found = BTreeSet::new();
    app.workspace_tokens.for_each(|token| {
        let is_below = token.minter.chain.contains(&id);
        if let claviger_core::grant::Workspaces::Ids(ids) = &token.grant.workspaces
            && is_below
            && token.state == KeyState::Live
        {
            found.extend(ids.iter().copied());
        }
    });
    found.into_iter().collect()
}

/// Keys with what speaks against them, and where to go on.
pub type Findings = (Vec<(OrgKey, Vec<Concern>)>, Option<KeyId>);

/// The living keys of the org against which something speaks, newest first. One call looks at so many
/// keys and no more: there may be fewer findings than asked for, and more to come.
///
/// # Errors
/// 503.
pub async fn of_org(
    app: &App,
    permit: &Permit<ReadKeys>,
    ages: Ages,
    page: Page<KeyId>,
) -> Result<Findings, Failure> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let place = app.scan_place().await?;
    app.flush_usage().await?;
    let now = clock::now();
    let (mut found, mut after, mut looked_at) = (Vec::new(), page.after, 0);
    loop {
        let part = living(app, permit, after, now).await?;
        let is_last = u32::try_from(part.len()).is_ok_and(|count| count < KEYS_PAGE);
        looked_at += part.len();
        let mut used = permissions_of(app, permit, &part, (ages, now)).await?;
        for key in part {
            after = Some(key.id);
            let habits = Habits {
                created_at: key.created_at,
                last_used_at: key.last_use.map(|last| last.at),
                expires_at: key.expires_at,
                grant: &key.grant,
                used: used.remove(&key.id),
                left: left(app, &key, (ages.idle, now)),
            };
            let concerns = advice::concerns(&habits, ages, now);
            if !concerns.is_empty() {
                found.push((key, concerns));
                if found.len() >= limit {
                    return Ok((found, after));
                }
            }
        }
        if is_last || looked_at >= LOOKED_AT_MAX {
            drop(place);
            return Ok((found, after.filter(|_| !is_last)));
        }
    }
}

/// A part of the living keys.
async fn living(
    app: &App,
    permit: &Permit<ReadKeys>,
    after: Option<KeyId>,
    now: Timestamp,
) -> Result<Vec<OrgKey>, Failure> {
    let filter = KeyFilter {
        statuses: vec![
            KeyStatus::Active,
            KeyStatus::NotYetValid,
            KeyStatus::Suspended,
        ],
        now,
        text: None,
        created_by: None,
        workspace: None,
        expires_before: None,
    };
    let page = Page {
        after,
        limit: KEYS_PAGE,
    };
    let mut part = app.store.list_keys(permit.org(), filter, page).await?;
    part.iter_mut()
        .for_each(|key| keys::refresh_last_used(app, key));
    Ok(part)
}

/// The permissions that each of these keys used; without those that minted living keys, for what
/// these use would have to be added up for each.
async fn permissions_of(
    app: &App,
    permit: &Permit<ReadKeys>,
    keys: &[OrgKey],
    (ages, now): (Ages, Timestamp),
) -> Result<HashMap<KeyId, PermissionSet>, Failure> {
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    let since = now.minus(ages.idle.min(USAGE_KEPT));
    let (org, store) = (permit.org(), &app.store);
    let mut used: HashMap<_, _> = ids.iter().map(|id| (*id, PermissionSet::NONE)).collect();
    for row in store.routes_of_keys(org, &ids, since).await? {
        let call = UsedCall {
            needs: needs_of(&row.method, &row.route),
            method: row.method,
            route: row.route,
            workspace: None,
            calls: row.calls,
        };
        if let Some(known) = used.get_mut(&row.key) {
            *known = known.union(call.permissions());
        }
    }
    for parent in store.parents_among(org, &ids, now).await? {
        used.remove(&parent);
    }
    Ok(used)
}
