//! A grant in words: what its holder will be able to do, and what not.

use std::collections::BTreeMap;

use claviger_core::{
    advice::SENSITIVE,
    grant::{Delegation, Grant, Workspaces},
    id::{OrgId, WorkspaceId},
    permission::{Permission, PermissionSet},
};

use super::keys::words::{self, deed};
use crate::{app::App, failure::Failure};

/// Of how many workspaces the names are looked up.
const NAMES_MAX: usize = 50;

/// The names of the workspaces that a grant names.
pub(super) type Names = BTreeMap<WorkspaceId, String>;

/// A grant in words.
#[derive(Debug, Clone)]
pub(super) struct GrantWords {
    /// Permissions, what they allow, and the tone of those that do much harm in the wrong hands.
    pub(super) may: Vec<(&'static str, &'static str, &'static str)>,
    /// What the harmful ones that it lacks would allow.
    pub(super) may_not: Vec<&'static str>,
    pub(super) is_everything: bool,
    pub(super) place: String,
    /// What else bounds it, one sentence each.
    pub(super) limits: Vec<String>,
}

/// The names of the workspaces of a grant, as far as they are looked up.
///
/// # Errors
/// 503.
pub(super) async fn workspaces(app: &App, org: OrgId, grant: &Grant) -> Result<Names, Failure> {
    let mut names = Names::new();
    if let Workspaces::Ids(ids) = &grant.workspaces {
        for id in ids.iter().take(NAMES_MAX) {
            if let Some(found) = app.store.find_workspace(org, *id).await? {
                names.insert(*id, found.name);
            }
        }
    }
    Ok(names)
}

impl GrantWords {
    pub(super) fn of(grant: &Grant, names: &Names) -> Self {
        let held = Permission::ALL
            .iter()
            .filter(|one| grant.permissions.has(**one));
        let lacked = SENSITIVE.iter().filter(|one| !grant.permissions.has(**one));
        Self {
            may: held
                .map(|one| (one.as_str(), deed(*one), tone(*one)))
                .collect(),
            may_not: lacked.map(|one| deed(*one)).collect(),
            is_everything: grant.permissions == PermissionSet::ALL,
            place: place(&grant.workspaces, names),
            limits: limits(grant),
        }
    }
}

/// A grant in a few words, for a list.
pub(super) fn brief(grant: &Grant) -> String {
    let presets = ["reader", "editor", "admin"];
    let preset = presets
        .into_iter()
        .find(|name| PermissionSet::preset(name).is_ok_and(|set| set == grant.permissions));
    let may = match preset {
        Some("admin") => "everything".to_owned(),
        Some("editor") => "all that an editor may".to_owned(),
        Some(preset) => format!("all that a {preset} may"),
        None => grant.permissions.patterns().join(", "),
    };
    format!("{may}, in {}", place(&grant.workspaces, &Names::new()))
}

fn place(workspaces: &Workspaces, names: &Names) -> String {
    match workspaces {
        Workspaces::All => "every workspace".to_owned(),
        Workspaces::Ids(ids) if ids.is_empty() => "no workspace".to_owned(),
        Workspaces::Ids(ids) if names.is_empty() => match ids.len() {
            1 => "1 workspace".to_owned(),
            count => format!("{count} workspaces"),
        },
        Workspaces::Ids(ids) => {
            let named = ids.iter().take(NAMES_MAX);
            let named: Vec<_> = named
                .map(|id| names.get(id).cloned().unwrap_or_else(|| id.to_string()))
                .collect();
            let rest = ids.len().saturating_sub(named.len());
            let more = if rest > 0 {
                format!(" and {rest} more")
            } else {
                String::new()
            };
            format!("{}{more}", named.join(", "))
        }
        Workspaces::Labels(labels) => {
            format!("every workspace labelled {}", words::label_words(labels))
        }
    }
}

fn limits(grant: &Grant) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |text: String| said.push(text);
    if !grant.endpoints.is_empty() {
        say(format!("Only on {}.", words::endpoints(grant).join(", ")));
    }
    if !grant.ip_allow.is_empty() {
        say(format!("Only from {}.", words::addresses(grant).join(", ")));
    }
    if let Some(rate) = words::rate(grant.rate_limit) {
        say(format!("At most {rate}."));
    }
    if let Some(at) = grant.not_before {
        say(format!("Not before {at}."));
    }
    if grant.permissions.has(Permission::TokensMint) && grant.delegation != Delegation::default() {
        say(words::passing_on(&grant.delegation));
    }
    said
}

fn tone(permission: Permission) -> &'static str {
    if SENSITIVE.contains(&permission) {
        "warn"
    } else {
        "neutral"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_told_in_words() {
        let narrow = Grant {
            permissions: PermissionSet::parse(["channels:send"]).expect("a permission"),
            workspaces: Workspaces::Ids(vec![WorkspaceId::from_u128(1)]),
            ..Grant::admin()
        };
        assert_eq!(brief(&Grant::admin()), "everything, in every workspace");
        assert_eq!(brief(&narrow), "channels:send, in 1 workspace");
        let names = [(WorkspaceId::from_u128(1), "data".to_owned())].into();
        let words = GrantWords::of(&narrow, &names);
        assert_eq!(words.place, "data");
        assert_eq!(
            words.may,
            [("channels:send", "send messages through channels", "neutral")]
        );
        assert_eq!(words.may_not.len(), SENSITIVE.len());
        assert!(GrantWords::of(&Grant::admin(), &names).is_everything);
    }
}
