//! What would be enough for a key: from what it did to the narrowest grant that serves it.
//!
//! The suggestion never asks for more than the key holds, and every call that the key could repeat
//! now can be repeated under it. Where that cannot be known of a field, the field stays as it is,
//! and the advice says why.

mod concern;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

pub use concern::{Ages, Concern, Habits, Left, SENSITIVE, concerns};

use crate::{
    action::{
        Action as _, ChangeWorkspace, CreateWorkspace, MintKey, Needs, ReadAudit, ReadRequests,
        RevokeKey, RotateKey, Scope,
    },
    endpoint::{ENDPOINTS_MAX, Endpoint},
    grant::{Grant, WORKSPACES_MAX, WorkspaceFacts, Workspaces},
    id::WorkspaceId,
    permission::{Permission, PermissionSet},
};

/// From more addresses than this no list of addresses is made: it would be no limit worth having.
pub const ADDRESSES_ADVISED_MAX: usize = 16;
/// How a route is written in counts where the path named the key that called: what a key may always
/// do to itself is no use of a permission.
pub const ITSELF: &str = "{self}";

/// What a route needs, as the table of routes says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteNeeds {
    /// The name of the action.
    pub action: &'static str,
    /// What the action needs.
    pub needs: Needs,
    /// What the action is about.
    pub scope: Scope,
}

/// Calls of one route that were let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedCall {
    /// The method.
    pub method: String,
    /// The pattern of the route; empty for none.
    pub route: String,
    /// What the route needs; `None` for one that does not exist (any more).
    pub needs: Option<RouteNeeds>,
    /// The workspace that the path named.
    pub workspace: Option<WorkspaceId>,
    /// How often.
    pub calls: u64,
}

/// Everything that advice rests on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The key's own grant.
    pub own: &'a Grant,
    /// What the key did, and the living keys below it.
    pub used: &'a [UsedCall],
    /// Whether `used` has every workspace; if not, it still has every route.
    pub is_complete: bool,
    /// Whether a living key below it selects workspaces by their labels.
    pub has_selectors_below: bool,
    /// The workspaces of living workspace tokens below it: what these do is not counted.
    pub tokens_below: &'a [WorkspaceId],
    /// Whether to suggest endpoints.
    pub wants_endpoints: bool,
    /// From where the key and those below it called, if addresses are to be suggested.
    pub addresses: Option<&'a [IpAddr]>,
}

/// A field of the grant that stays as it is, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The field.
    pub field: &'static str,
    /// The end of a sentence that begins with the field.
    pub reason: &'static str,
}

/// What would be enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The narrowest grant that serves; equal to the key's own where nothing can go.
    pub suggestion: Grant,
    /// Permissions that were used.
    pub used: PermissionSet,
    /// Permissions that are held and would go.
    pub unused: Vec<Permission>,
    /// Fields that stay.
    pub kept: Vec<Kept>,
    /// What whoever steals the narrowed key can no longer do, one sentence each.
    pub risk_removed: Vec<String>,
}

impl UsedCall {
    /// The permissions without which the call would not have been let in.
    #[must_use]
    pub fn permissions(&self) -> PermissionSet {
        let Some(needs) = self.needs else {
            return PermissionSet::NONE;
        };
        match needs.needs {
            Needs::Permission(permission) => PermissionSet::of(&[permission]),
            Needs::AdminToken => PermissionSet::NONE,
            // What a key may always do to itself takes a permission to do to another.
            Needs::Anyone if self.route.contains(ITSELF) => PermissionSet::NONE,
            Needs::Anyone if needs.action == RotateKey::NAME => {
                PermissionSet::of(&[Permission::TokensMint])
            }
            Needs::Anyone if needs.action == RevokeKey::NAME => {
                PermissionSet::of(&[Permission::TokensRevoke])
            }
            // What of others' requests is seen, hangs on it.
            Needs::Anyone if needs.action == ReadRequests::NAME => {
                PermissionSet::of(&[Permission::OrgAdmin])
            }
            Needs::Anyone | Needs::NoCredential => PermissionSet::NONE,
        }
    }

    /// The route as a pattern of a grant: each parameter is any one segment.
    #[must_use]
    pub fn endpoint(&self) -> Option<Endpoint> {
        let segments = self.route.split('/').map(|segment| {
            if segment.starts_with('{') {
                "*"
            } else {
                segment
            }
        });
        let path = segments.collect::<Vec<_>>().join("/");
        format!("{} {path}", self.method).parse().ok()
    }

    fn is(&self, action: &str) -> bool {
        self.needs.is_some_and(|needs| needs.action == action)
    }

    fn scope(&self) -> Option<Scope> {
        self.needs.map(|needs| needs.scope)
    }

    /// Whether it is about one workspace, or what lies in it.
    fn is_about_a_workspace(&self) -> bool {
        matches!(self.scope(), Some(Scope::Workspace | Scope::InWorkspace))
    }
}

/// What would be enough for what was done; `None` if nothing was.
#[must_use]
pub fn advise(situation: &Situation<'_>) -> Option<Advice> {
    let own = situation.own;
    if situation.used.iter().all(|call| call.calls == 0) {
        return None;
    }
    let mut kept = Vec::new();
    let mut keep = |field, reason| kept.push(Kept { field, reason });
    let used = permissions(situation);
    let workspaces = workspaces(situation).unwrap_or_else(|reason| {
        keep("workspaces", reason);
        own.workspaces.clone()
    });
    let endpoints = if situation.wants_endpoints {
        endpoints(situation).unwrap_or_else(|reason| {
            keep("endpoints", reason);
            own.endpoints.clone()
        })
    } else {
        own.endpoints.clone()
    };
    let ip_allow = match situation.addresses {
        Some(addresses) => ip_allow(situation, addresses).unwrap_or_else(|reason| {
            keep("ip_allow", reason);
            own.ip_allow.clone()
        }),
        None => own.ip_allow.clone(),
    };
    let suggestion = Grant {
        permissions: used.intersection(own.permissions),
        workspaces,
        endpoints,
        not_before: own.not_before,
        ip_allow,
        rate_limit: own.rate_limit,
        delegation: own.delegation,
    };
    let is_dropped = |p: &&Permission| own.permissions.has(**p) && !suggestion.permissions.has(**p);
    let unused = Permission::ALL.iter().filter(is_dropped).copied();
    Some(Advice {
        unused: unused.collect(),
        risk_removed: concern::risk_removed(own, &suggestion),
        suggestion,
        used,
        kept,
    })
}

/// Whether a call that `own` lets in is let in by `narrow` too, as far as the route tells: what is
/// the same in both is not looked at.
#[must_use]
pub fn still_allows(own: &Grant, narrow: &Grant, call: &UsedCall) -> bool {
    let Some(needs) = call.needs else {
        return true;
    };
    let wanted = call.permissions().intersection(own.permissions);
    if !narrow.permissions.covers(wanted) {
        return false;
    }
    let asks_for_endpoint = needs.needs != Needs::Anyone || wanted != PermissionSet::NONE;
    if asks_for_endpoint && narrow.endpoints != own.endpoints {
        let covers = |endpoint: Endpoint| narrow.endpoints.iter().any(|e| e.covers(&endpoint));
        if !narrow.endpoints.is_empty() && !call.endpoint().is_some_and(covers) {
            return false;
        }
    }
    if !call.is_about_a_workspace() || narrow.workspaces == own.workspaces {
        return true;
    }
    let reaches = |id| {
        narrow
            .workspaces
            .reaches(WorkspaceFacts { id, labels: None })
    };
    call.workspace.is_some_and(reaches)
}

/// What was used, by the key and by what lives below it.
fn permissions(situation: &Situation<'_>) -> PermissionSet {
    let calls = situation.used.iter().filter(|call| call.calls > 0);
    let mut used = calls.fold(PermissionSet::NONE, |all, call| {
        all.union(call.permissions())
    });
    if let Some(first) = situation.tokens_below.first() {
        let held = Grant::workspace_token(*first).permissions;
        used = used.union(held.intersection(situation.own.permissions));
    }
    // A bound key sets labels by `org:admin` alone, and the counts do not tell labels from names.
    let is_bound = situation.own.workspaces != Workspaces::All;
    if is_bound && has(situation, is_about_labels) {
        let admin = PermissionSet::of(&[Permission::OrgAdmin]);
        used = used.union(admin.intersection(situation.own.permissions));
    }
    used
}

fn is_about_labels(call: &UsedCall) -> bool {
    call.is(ChangeWorkspace::NAME) || call.is(CreateWorkspace::NAME)
}

fn has(situation: &Situation<'_>, is_it: impl Fn(&UsedCall) -> bool) -> bool {
    let mut calls = situation.used.iter().filter(|call| call.calls > 0);
    calls.any(is_it)
}

/// The workspaces that were named, or why the binding stays.
fn workspaces(situation: &Situation<'_>) -> Result<Workspaces, &'static str> {
    let own = &situation.own.workspaces;
    let is_unbound = match own {
        Workspaces::Labels(_) => return Err("selects by labels, and goes on following them"),
        Workspaces::All => true,
        Workspaces::Ids(_) => false,
    };
    let reasons = [
        (
            has(situation, |call| call.scope() == Some(Scope::Workspaces)),
            "was needed to list or create workspaces, which is about all that the key reaches",
        ),
        (
            is_unbound && has(situation, |call| call.is(ReadAudit::NAME)),
            "was needed to read the audit trail, of which a bound key reads one workspace at a time",
        ),
        (
            is_unbound && has(situation, |call| call.is(ChangeWorkspace::NAME)),
            "may have been needed to change labels, which takes an unbound key",
        ),
        (
            has(situation, |call| call.is(MintKey::NAME)),
            "may be needed by keys that it mints",
        ),
        (
            situation.has_selectors_below,
            "is needed by a key below it that selects workspaces by labels",
        ),
        (
            !situation.is_complete,
            "was used for more workspaces than can be looked at",
        ),
        (
            has(situation, |call| {
                call.is_about_a_workspace() && call.workspace.is_none()
            }),
            "was used for more workspaces than were counted one by one",
        ),
    ];
    if let Some((_, reason)) = reasons.into_iter().find(|(holds, _)| *holds) {
        return Err(reason);
    }
    let calls = situation.used.iter().filter(|call| call.calls > 0);
    let named = calls
        .filter(|call| call.is_about_a_workspace())
        .filter_map(|call| call.workspace);
    let named: BTreeSet<_> = named
        .chain(situation.tokens_below.iter().copied())
        .filter(|id| {
            own.reaches(WorkspaceFacts {
                id: *id,
                labels: None,
            })
        })
        .collect();
    if named.len() > WORKSPACES_MAX {
        return Err("was used for more workspaces than a grant can name");
    }
    match own {
        Workspaces::Ids(ids) if ids.iter().all(|id| named.contains(id)) => Ok(own.clone()),
        _ => Ok(Workspaces::Ids(named.into_iter().collect())),
    }
}

/// The routes that were called, or why the endpoints stay.
fn endpoints(situation: &Situation<'_>) -> Result<Vec<Endpoint>, &'static str> {
    let own = &situation.own.endpoints;
    if !situation.tokens_below.is_empty() {
        return Err("stay: workspace tokens below the key call routes that are not counted");
    }
    let calls = situation.used.iter();
    let calls = calls.filter(|call| call.calls > 0 && call.needs.is_some());
    let texts: BTreeSet<String> = calls
        .filter_map(UsedCall::endpoint)
        .map(|endpoint| endpoint.to_string())
        .collect();
    if texts.is_empty() {
        return Err("stay: no route was called that still exists");
    }
    if texts.len() > ENDPOINTS_MAX {
        return Err("stay: more routes were called than a grant can name");
    }
    let called: Vec<Endpoint> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let is_within = |e: &Endpoint| own.is_empty() || own.iter().any(|mine| mine.covers(e));
    if !called.iter().all(is_within) {
        return Err("stay: they are narrower than the patterns of the routes that were called");
    }
    Ok(called)
}

/// The addresses as ranges of one, or why the ranges stay.
fn ip_allow(situation: &Situation<'_>, seen: &[IpAddr]) -> Result<Vec<IpNet>, &'static str> {
    if !situation.tokens_below.is_empty() {
        return Err(
            "stays: workspace tokens below the key call from addresses that are not counted",
        );
    }
    let seen: BTreeSet<IpAddr> = seen
        .iter()
        .map(IpAddr::to_canonical)
        .filter(|address| situation.own.reaches_address(*address))
        .collect();
    if seen.len() > ADDRESSES_ADVISED_MAX {
        return Err("stays: the key was used from more than 16 addresses");
    }
    if seen.is_empty() {
        return Err("stays: no address was counted");
    }
    Ok(seen.into_iter().map(IpNet::from).collect())
}
