//! The form of a grant: what a key may do, where, and under which conditions.

use std::collections::BTreeSet;

use claviger_core::{
    grant::{Grant, GrantText, Workspaces, WorkspacesText},
    permission::{Permission, PermissionSet},
    time::Timestamp,
};
use claviger_store::Workspace;
use claviger_wire::{keys as wire, map::TextMap};

use super::{index::WORKSPACES_SHOWN, typed::Typed, words};
use crate::{failure::Failure, gate::Form, web::parts::Choice};

/// A resource of the permission sheet.
struct Resource {
    /// The name of the field.
    field: &'static str,
    label: &'static str,
    help: &'static str,
    read: Permission,
    write: Option<Permission>,
}

const RESOURCES: &[Resource] = &[
    Resource {
        field: "p_workspaces",
        label: "Workspaces",
        help: "Names and labels",
        read: Permission::WorkspacesRead,
        write: Some(Permission::WorkspacesWrite),
    },
    Resource {
        field: "p_channels",
        label: "Channels",
        help: "Slack, Discord, Telegram, Lark, webhooks",
        read: Permission::ChannelsRead,
        write: Some(Permission::ChannelsWrite),
    },
    Resource {
        field: "p_secrets",
        label: "Secrets",
        help: "Names to read; names and values to write",
        read: Permission::SecretsRead,
        write: Some(Permission::SecretsWrite),
    },
    Resource {
        field: "p_tokens",
        label: "Org keys",
        help: "The list, lineage, usage and advice",
        read: Permission::TokensRead,
        write: None,
    },
    Resource {
        field: "p_audit",
        label: "Audit trail",
        help: "Who did what",
        read: Permission::AuditRead,
        write: None,
    },
];

/// Permissions that stand apart: none of them is implied by reading or writing.
const SPECIAL: &[Permission] = &[
    Permission::ChannelsSend,
    Permission::GatewayCall,
    Permission::SecretsReveal,
    Permission::WorkspacesDelete,
    Permission::TokensMint,
    Permission::TokensRevoke,
    Permission::OrgAdmin,
];

/// The fields of the form.
pub(super) const FIELDS: &[&str] = &[
    "access",
    "p_workspaces",
    "p_channels",
    "p_secrets",
    "p_tokens",
    "p_audit",
    "also",
    "where",
    "workspace",
    "workspace_ids",
    "labels",
    "ip_allow",
    "endpoints",
    "per_minute",
    "per_day",
    "depth",
    "below",
    "lifetime",
];

/// A row of the permission sheet.
#[derive(Debug, Clone)]
pub(super) struct SheetRow {
    /// The name of the field.
    pub(super) field: &'static str,
    /// The resource.
    pub(super) label: &'static str,
    /// What it is.
    pub(super) help: &'static str,
    /// None, read, write.
    pub(super) choices: Vec<Choice>,
}

/// The parts of the form that are chosen from.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet {
    /// All, read-only, restricted.
    pub(super) access: Vec<Choice>,
    /// The permission sheet.
    pub(super) rows: Vec<SheetRow>,
    /// What stands apart.
    pub(super) special: Vec<Choice>,
    /// All workspaces, some, or by label.
    pub(super) places: Vec<Choice>,
    /// The workspaces to pick from.
    pub(super) workspaces: Vec<Choice>,
    /// There are more than can be picked from: others are named by their ids.
    pub(super) is_cut: bool,
}

/// The form as it was typed, within these permissions: those of whoever mints, or of the key that is
/// to be narrowed.
pub(super) fn sheet(
    typed: &Typed,
    (held, is_narrowing): (PermissionSet, bool),
    known: &[Workspace],
) -> Sheet {
    let everything = if is_narrowing {
        [
            "As it is",
            "What it holds now.",
            "As it is",
            "Where it reaches now.",
        ]
    } else {
        [
            "All",
            "Everything that you may do yourself.",
            "Every workspace",
            "Also those made later.",
        ]
    };
    let [all, all_help, everywhere, everywhere_help] = everything;
    let special = |permission: &Permission| Choice {
        value: permission.to_string(),
        label: permission.to_string(),
        help: capital(words::deed(*permission)),
        is_chosen: typed.has("also", permission.as_str()),
        is_disabled: !held.has(*permission),
    };
    let access = typed.get("access");
    let place = match typed.get("where") {
        "" => "all",
        place => place,
    };
    Sheet {
        access: vec![
            Choice::new("restricted", "Restricted", access)
                .help("What you tick below, and nothing else."),
            Choice::new("reader", "Read-only", access)
                .help("Sees everything but the values of secrets."),
            Choice::new("all", all, access).help(all_help),
        ],
        rows: RESOURCES
            .iter()
            .map(|resource| row(resource, typed, held))
            .collect(),
        special: SPECIAL.iter().map(special).collect(),
        places: vec![
            Choice::new("all", everywhere, place).help(everywhere_help),
            Choice::new("ids", "These workspaces", place).help("Pick them from the list."),
            Choice::new("labels", "By label", place).help("Follows the labels as they change."),
        ],
        workspaces: workspace_choices(typed, known),
        is_cut: known.len() >= WORKSPACES_SHOWN || !typed.get("workspace_ids").is_empty(),
    }
}

fn row(resource: &Resource, typed: &Typed, held: PermissionSet) -> SheetRow {
    let chosen = typed.get(resource.field);
    let chosen = if chosen.is_empty() { "none" } else { chosen };
    let choice = |value: &str, label: &str, needs: &[Permission]| Choice {
        is_disabled: !held.covers(PermissionSet::of(needs)),
        ..Choice::new(value, label, chosen)
    };
    let mut choices = vec![
        choice("none", "None", &[]),
        choice("read", "Read", &[resource.read]),
    ];
    if let Some(write) = resource.write {
        choices.push(choice("write", "Write", &[resource.read, write]));
    }
    SheetRow {
        field: resource.field,
        label: resource.label,
        help: resource.help,
        choices,
    }
}

/// The workspaces to pick from, and those that are picked already without being among them: what a
/// form does not show it must not take away.
fn workspace_choices(typed: &Typed, known: &[Workspace]) -> Vec<Choice> {
    let choice = |id: &str, label: &str, help: String| Choice {
        label: label.to_owned(),
        help,
        is_chosen: typed.has("workspace", id),
        value: id.to_owned(),
        is_disabled: false,
    };
    let known_ids: Vec<String> = known.iter().map(|one| one.id.to_string()).collect();
    let others = typed.all("workspace");
    let others = others.filter(|id| !known_ids.iter().any(|known| known == id));
    let named = known.iter().zip(&known_ids);
    named
        .map(|(one, id)| choice(id, &one.name, words::label_words(&one.labels)))
        .chain(others.map(|id| choice(id, id, String::new())))
        .collect()
}

/// The form of a grant that is.
pub(super) fn typed_of(grant: &Grant) -> Typed {
    let set = grant.permissions;
    let text = GrantText::from(grant);
    let preset = |name: &str| PermissionSet::preset(name).is_ok_and(|preset| preset == set);
    let access = if set == PermissionSet::ALL {
        "all"
    } else if preset("reader") {
        "reader"
    } else {
        "restricted"
    };
    let mut typed = Typed::default().with("access", access);
    for resource in RESOURCES {
        let level = match (set.has(resource.read), resource.write) {
            (_, Some(write)) if set.has(write) => "write",
            (true, _) => "read",
            (false, _) => "none",
        };
        typed = typed.with(resource.field, level);
    }
    for permission in SPECIAL.iter().filter(|permission| set.has(**permission)) {
        typed = typed.with("also", permission.as_str());
    }
    typed = match &grant.workspaces {
        Workspaces::All => typed.with("where", "all"),
        Workspaces::Ids(_) => typed.with("where", "ids"),
        Workspaces::Labels(_) => typed.with("where", "labels"),
    };
    typed = match text.workspaces {
        WorkspacesText::Word(_) => typed,
        WorkspacesText::Ids(ids) => ids
            .iter()
            .fold(typed, |t, id| t.with("workspace", id.clone())),
        WorkspacesText::Selector { labels } => typed.with("labels", lines_of(&labels)),
    };
    let number = |count: Option<u32>| count.map(|count| count.to_string()).unwrap_or_default();
    typed
        .with("ip_allow", text.ip_allow.join("\n"))
        .with("endpoints", text.endpoints.join("\n"))
        .with("per_minute", number(grant.rate_limit.per_minute))
        .with("per_day", number(grant.rate_limit.per_day))
        .with("depth", number(grant.delegation.depth))
        .with("below", number(grant.delegation.keys))
        .with("lifetime", text.delegation.lifetime.unwrap_or_default())
}

/// What a form asks for, as the API takes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub(super) preset: Option<String>,
    pub(super) permissions: Option<Vec<String>>,
    pub(super) workspaces: Option<wire::Workspaces>,
    pub(super) endpoints: Option<Vec<String>>,
    pub(super) ip_allow: Option<Vec<String>>,
    pub(super) rate_limit: Option<wire::RateLimit>,
    pub(super) delegation: Option<wire::Delegation>,
}

/// Reads the form. What is left empty is left out, and so stays as it is.
///
/// # Errors
/// 422 for a number that is none, and for labels that are no pairs.
pub(super) fn wish(form: &Form) -> Result<Wish, Failure> {
    let mut wish = Wish::default();
    match form.get("access") {
        Some("all") => {}
        Some("reader") => wish.preset = Some("reader".to_owned()),
        _ => wish.permissions = Some(ticked(form)),
    }
    wish.workspaces = match form.get("where") {
        Some("ids") => {
            let picked = form.all("workspace").map(str::to_owned);
            let typed = list(form, "workspace_ids", char::is_whitespace);
            let all: BTreeSet<String> = picked.chain(typed.into_iter().flatten()).collect();
            Some(wire::Workspaces::Ids(all.into_iter().collect()))
        }
        Some("labels") => {
            let labels = pairs("workspaces", form.get("labels").unwrap_or_default())?;
            let selector = wire::LabelSelector { labels };
            Some(wire::Workspaces::Selector(selector))
        }
        _ => None,
    };
    wish.ip_allow = list(form, "ip_allow", char::is_whitespace);
    wish.endpoints = list(form, "endpoints", |c| c == '\n' || c == '\r');
    let (per_minute, per_day) = (
        number(form, "per_minute", "rate_limit")?,
        number(form, "per_day", "rate_limit")?,
    );
    wish.rate_limit = (per_minute.is_some() || per_day.is_some()).then_some(wire::RateLimit {
        per_minute,
        per_day,
    });
    let delegation = wire::Delegation {
        depth: number(form, "depth", "delegation")?,
        keys: number(form, "below", "delegation")?,
        lifetime: form.get("lifetime").map(str::to_owned),
    };
    let is_any =
        delegation.depth.is_some() || delegation.keys.is_some() || delegation.lifetime.is_some();
    wish.delegation = is_any.then_some(delegation);
    Ok(wish)
}

fn ticked(form: &Form) -> Vec<String> {
    let mut ticked: Vec<String> = form.all("also").map(str::to_owned).collect();
    for resource in RESOURCES {
        let level = form.get(resource.field).unwrap_or("none");
        if level != "none" {
            ticked.push(resource.read.to_string());
        }
        if let Some(write) = resource.write.filter(|_| level == "write") {
            ticked.push(write.to_string());
        }
    }
    ticked
}

fn list(form: &Form, field: &str, is_between: impl Fn(char) -> bool) -> Option<Vec<String>> {
    let text = form.get(field)?;
    let parts = text.split(|c| is_between(c) || c == ',').map(str::trim);
    Some(
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn number(form: &Form, name: &str, field: &str) -> Result<Option<u32>, Failure> {
    let parsed = form.get(name).map(str::parse::<u32>).transpose();
    parsed.map_err(|_malformed| Failure::out_of_range(field, "must be a whole number"))
}

/// Lines of `name=value`.
///
/// # Errors
/// 422 for a line that is none.
pub(super) fn pairs(field: &str, text: &str) -> Result<TextMap, Failure> {
    let mut map = std::collections::BTreeMap::new();
    let lines = text.split(['\n', '\r', ',']).map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once('=') else {
            let reason = format!("needs pairs such as `team=data`, and `{line}` is none");
            return Err(Failure::out_of_range(field, reason));
        };
        map.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(TextMap(map))
}

/// The same the other way round.
pub(super) fn lines_of(map: &std::collections::BTreeMap<String, String>) -> String {
    let lines = map.iter().map(|(name, value)| format!("{name}={value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A date of a form as the last second of that day.
pub(super) fn end_of_day(date: &str) -> String {
    format!("{date}T23:59:59Z")
}

/// The day of an instant, as a field of dates takes it.
pub(super) fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}
