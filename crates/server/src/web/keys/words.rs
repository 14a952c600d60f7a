//! What a grant means, in the words of people who do not read JSON.

use std::collections::HashMap;

use claviger_core::{
    advice::SENSITIVE,
    grant::{Delegation, Grant, Labels, RateLimit, Workspaces},
    id::WorkspaceId,
    permission::{Permission, PermissionSet},
    time::{Timestamp, format_duration},
};

use crate::web::{
    parts::{Badge, Tone},
    time::{date, thousands},
};

/// How many badges of permissions a row shows.
const BADGES_MAX: usize = 3;
/// How many workspaces are named one by one.
const NAMED_MAX: usize = 5;

/// The names of workspaces, by id.
pub(super) type WorkspaceNames = HashMap<WorkspaceId, String>;

/// What a permission lets a key do, after "It can" and "It cannot".
pub(in crate::web) const fn deed(permission: Permission) -> &'static str {
    match permission {
        Permission::WorkspacesRead => "see workspaces and their labels",
        Permission::WorkspacesWrite => "create workspaces, and change their names and labels",
        Permission::WorkspacesDelete => "delete workspaces with all that is in them",
        Permission::ChannelsRead => "see channels, without their credentials",
        Permission::ChannelsWrite => "add, change and remove channels",
        Permission::ChannelsSend => "send messages through channels",
        Permission::SecretsRead => "see the names of secrets",
        Permission::SecretsWrite => "set and delete secrets",
        Permission::SecretsReveal => "read the values of secrets",
        Permission::TokensRead => "see the org's keys, and what they did",
        Permission::TokensMint => "mint keys no wider than itself, and change and rotate them",
        Permission::TokensRevoke => "suspend and revoke keys",
        Permission::AuditRead => "read the audit trail",
        Permission::OrgAdmin => "change the org: policy, members, approvals",
        Permission::GatewayCall => "call the platforms behind the gateway",
    }
}

/// Whether a permission does the most harm in wrong hands.
pub(super) fn is_sensitive(permission: Permission) -> bool {
    SENSITIVE.contains(&permission)
}

/// What a grant permits, in a few badges.
pub(super) fn badges(grant: &Grant) -> Vec<Badge> {
    some_badges(grant, BADGES_MAX)
}

/// The same with nothing left out.
pub(super) fn all_badges(grant: &Grant) -> Vec<Badge> {
    some_badges(grant, usize::MAX)
}

fn some_badges(grant: &Grant, most: usize) -> Vec<Badge> {
    let set = grant.permissions;
    let preset = |name: &str| PermissionSet::preset(name).is_ok_and(|preset| preset == set);
    let mut badges = if set == PermissionSet::ALL {
        vec![Badge::new(Tone::Warn, "Full access").titled("Every permission, also those to come")]
    } else if set == PermissionSet::NONE {
        vec![Badge::new(Tone::Neutral, "Nothing")]
    } else if preset("reader") {
        vec![Badge::new(Tone::Neutral, "Read-only").titled(set.patterns().join(", "))]
    } else if preset("editor") {
        vec![Badge::new(Tone::Neutral, "Editor").titled(set.patterns().join(", "))]
    } else {
        of_patterns(&set.patterns(), most)
    };
    if !grant.endpoints.is_empty() {
        badges.push(Badge::new(Tone::Info, "Some routes").titled(endpoints(grant).join(", ")));
    }
    if !grant.ip_allow.is_empty() {
        badges.push(Badge::new(Tone::Info, "Some addresses").titled(addresses(grant).join(", ")));
    }
    badges
}

fn of_patterns(patterns: &[String], most: usize) -> Vec<Badge> {
    let mut patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let is_sharp = |pattern: &str| {
        let covered = PermissionSet::parse([pattern]).unwrap_or_default();
        SENSITIVE.iter().any(|sharp| covered.has(*sharp))
    };
    patterns.sort_by_key(|pattern| !is_sharp(pattern));
    let rest: Vec<&str> = patterns.iter().skip(most).copied().collect();
    let shown = patterns.iter().take(most).map(|pattern| {
        let tone = if is_sharp(pattern) {
            Tone::Warn
        } else {
            Tone::Neutral
        };
        Badge::new(tone, *pattern)
    });
    let more = (!rest.is_empty())
        .then(|| Badge::new(Tone::Neutral, format!("+{}", rest.len())).titled(rest.join(", ")));
    shown.chain(more).collect()
}

/// Where a grant holds, in a few words, and in full where there is more to say.
pub(super) fn workspaces(bound: &Workspaces, names: &WorkspaceNames) -> (String, String) {
    let name = |id: &WorkspaceId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
    match bound {
        Workspaces::All => ("All workspaces".to_owned(), String::new()),
        Workspaces::Ids(ids) => match ids.as_slice() {
            [] => ("No workspace".to_owned(), String::new()),
            [one] => (name(one), String::new()),
            many => {
                let named: Vec<_> = many.iter().take(NAMED_MAX * 4).map(name).collect();
                (format!("{} workspaces", many.len()), named.join(", "))
            }
        },
        Workspaces::Labels(labels) => (
            label_words(labels),
            "Every workspace with these labels, as they change".to_owned(),
        ),
    }
}

/// `agent=data, region=eu`.
pub(in crate::web) fn label_words(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(", ")
}

/// The routes that a grant is cut to.
pub(in crate::web) fn endpoints(grant: &Grant) -> Vec<String> {
    grant.endpoints.iter().map(ToString::to_string).collect()
}

/// The addresses that a grant is cut to.
pub(in crate::web) fn addresses(grant: &Grant) -> Vec<String> {
    grant.ip_allow.iter().map(ToString::to_string).collect()
}

/// `60 requests a minute and 1,000 a day`; nothing for no limit.
pub(in crate::web) fn rate(limit: RateLimit) -> Option<String> {
    match (limit.per_minute, limit.per_day) {
        (None, None) => None,
        (Some(minute), None) => Some(format!("{} requests a minute", number(minute))),
        (None, Some(day)) => Some(format!("{} requests a day", number(day))),
        (Some(minute), Some(day)) => Some(format!(
            "{} requests a minute and {} a day",
            number(minute),
            number(day)
        )),
    }
}

fn number(count: u32) -> String {
    thousands(u64::from(count))
}

/// A key to be, or one that is, in two lists of sentences: what it can, and what it cannot do.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    /// What it can do.
    pub(super) can: Vec<Sentence>,
    /// What it cannot do.
    pub(super) cannot: Vec<String>,
    /// Where, when, from where, how often.
    pub(super) bounds: Vec<String>,
}

/// Something that a key can do.
#[derive(Debug, Clone)]
pub(super) struct Sentence {
    /// In words.
    pub(super) text: String,
    /// It does the most harm in wrong hands.
    pub(super) is_sensitive: bool,
}

/// Says of a grant and an end what they come to.
pub(super) fn summary(
    grant: &Grant,
    (now, end): (Timestamp, Option<Timestamp>),
    names: &WorkspaceNames,
) -> Summary {
    let has = |permission: &&Permission| grant.permissions.has(**permission);
    let held = Permission::ALL.iter().filter(has);
    let lacking = Permission::ALL.iter().filter(|one| !has(one));
    Summary {
        can: held
            .map(|permission| Sentence {
                text: deed(*permission).to_owned(),
                is_sensitive: is_sensitive(*permission),
            })
            .collect(),
        cannot: lacking
            .map(|permission| deed(*permission).to_owned())
            .collect(),
        bounds: bounds(grant, (now, end), names),
    }
}

/// Every part of a grant by its name, also where it bounds nothing: all but the permissions.
pub(super) fn parts(
    grant: &Grant,
    end: Option<Timestamp>,
    names: &WorkspaceNames,
) -> Vec<(&'static str, String)> {
    let or = |list: Vec<String>, none: &str| match list.join(", ") {
        list if list.is_empty() => none.to_owned(),
        list => format!("Only {list}"),
    };
    let rate = rate(grant.rate_limit).map(|rate| format!("At most {rate}"));
    let mut parts = vec![
        ("Workspaces", place(&grant.workspaces, names)),
        ("Routes", or(endpoints(grant), "All that it may do")),
        ("Addresses", or(addresses(grant), "From anywhere")),
        (
            "Requests",
            rate.unwrap_or_else(|| "As many as it likes".to_owned()),
        ),
        (
            "Begins",
            grant.not_before.map_or_else(|| "At once".to_owned(), date),
        ),
        (
            "Ends",
            end.map_or_else(|| "Never by itself".to_owned(), date),
        ),
    ];
    if grant.permissions.has(Permission::TokensMint) {
        parts.push(("Keys below it", passing_on(&grant.delegation)));
    }
    for (_, text) in &mut parts {
        if text.ends_with('.') {
            text.pop();
        }
    }
    parts
}

fn bounds(
    grant: &Grant,
    (now, end): (Timestamp, Option<Timestamp>),
    names: &WorkspaceNames,
) -> Vec<String> {
    let mut bounds = vec![place(&grant.workspaces, names)];
    if let Some(start) = grant.not_before.filter(|start| *start > now) {
        bounds.push(format!("Not before {}.", date(start)));
    }
    bounds.push(match end {
        Some(end) => format!("It ends by itself on {}.", date(end)),
        None => "It has no end: it works until somebody revokes it.".to_owned(),
    });
    if !grant.endpoints.is_empty() {
        bounds.push(format!("Only on {}.", endpoints(grant).join(", ")));
    }
    if !grant.ip_allow.is_empty() {
        bounds.push(format!("Only from {}.", addresses(grant).join(", ")));
    }
    if let Some(rate) = rate(grant.rate_limit) {
        bounds.push(format!("At most {rate}."));
    }
    if grant.permissions.has(Permission::TokensMint) {
        bounds.push(passing_on(&grant.delegation));
    }
    bounds
}

/// In which workspaces a grant holds, in a sentence.
pub(super) fn place(bound: &Workspaces, names: &WorkspaceNames) -> String {
    let name = |id: &WorkspaceId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
    match bound {
        Workspaces::All => "In every workspace, also in those made later.".to_owned(),
        Workspaces::Ids(ids) if ids.is_empty() => "In no workspace.".to_owned(),
        Workspaces::Ids(ids) => {
            let named: Vec<_> = ids.iter().take(NAMED_MAX).map(name).collect();
            let more = match ids.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                rest => format!(" and {rest} more"),
            };
            format!("Only in {}{more}.", named.join(", "))
        }
        Workspaces::Labels(labels) => format!(
            "Only in workspaces labelled {}, as the labels change.",
            label_words(labels)
        ),
    }
}

/// How far what a key holds may be passed on.
pub(in crate::web) fn passing_on(delegation: &Delegation) -> String {
    if delegation.depth == Some(0) {
        return "It may mint no key of its own.".to_owned();
    }
    let mut limits = Vec::new();
    if let Some(depth) = delegation.depth {
        let plural = if depth == 1 { "" } else { "s" };
        limits.push(format!("{depth} generation{plural} below it"));
    }
    if let Some(keys) = delegation.keys {
        limits.push(format!("{} keys at once", number(keys)));
    }
    if let Some(longest) = delegation.lifetime {
        limits.push(format!("each for {} at most", format_duration(longest)));
    }
    if limits.is_empty() {
        return "What it mints is never wider than itself, and dies with it.".to_owned();
    }
    format!("Of its own it may mint {}.", limits.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_is_told_in_words() {
        let id: WorkspaceId = WorkspaceId::from_u128(1);
        let names = [(id, "billing".to_owned())].into();
        let grant = Grant {
            permissions: PermissionSet::of(&[Permission::SecretsRead, Permission::SecretsReveal]),
            workspaces: Workspaces::Ids(vec![id]),
            rate_limit: RateLimit {
                per_minute: Some(60),
                per_day: Some(1000),
            },
            ..Grant::admin()
        };
        let now = Timestamp::from_millis(0);
        let told = summary(&grant, (now, None), &names);
        let can: Vec<_> = told.can.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            can,
            ["see the names of secrets", "read the values of secrets"]
        );
        assert!(told.can.iter().any(|one| one.is_sensitive));
        assert_eq!(told.cannot.len(), Permission::ALL.len() - 2);
        assert_eq!(
            told.bounds,
            [
                "Only in billing.",
                "It has no end: it works until somebody revokes it.",
                "At most 60 requests a minute and 1,000 a day.",
            ]
        );
        assert_eq!(workspaces(&grant.workspaces, &names).0, "billing");
    }

    #[test]
    fn sensitive_permissions_come_first() {
        let grant = Grant {
            permissions: PermissionSet::of(&[
                Permission::WorkspacesRead,
                Permission::ChannelsRead,
                Permission::AuditRead,
                Permission::OrgAdmin,
            ]),
            ..Grant::admin()
        };
        let labels: Vec<_> = badges(&grant).into_iter().map(|b| b.label).collect();
        assert_eq!(
            labels,
            ["org:admin", "workspaces:read", "channels:read", "+1"]
        );
        let full: Vec<_> = badges(&Grant::admin())
            .into_iter()
            .map(|b| b.label)
            .collect();
        assert_eq!(full, ["Full access"]);
    }
}
