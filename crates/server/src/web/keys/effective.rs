//! What a key may really do: its own grant, cut by those above it, by the person at its root, and by
//! the org's policy; and which of them cuts what.

use std::sync::Arc;

use claviger_core::{
    grant::{Grant, Workspaces},
    key::{KeyStatus, OrgKey},
    permission::{Permission, PermissionSet},
    person::PersonState,
    tier::Actor,
    time::Timestamp,
};
use claviger_store::Line;

use super::{
    index::href,
    words::{self, Summary, WorkspaceNames},
};
use crate::{
    app::App,
    policies::block_of,
    web::{sentence, time::date, who},
};

/// What the policy is called in a sentence.
const POLICY: &str = "the org's policy";

/// Something above a key, and what it takes away.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Who or what.
    pub(super) name: String,
    /// Its page; empty for none.
    pub(super) href: String,
    /// What it takes away, in sentences; empty for nothing.
    pub(super) cuts: Vec<String>,
    /// It makes the key unusable.
    pub(super) stops: bool,
}

/// What comes of all of them.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    /// Every part of its own grant but the permissions, by name.
    pub(super) own: Vec<(&'static str, String)>,
    /// From the key above it to the policy.
    pub(super) layers: Vec<Layer>,
    /// What is left, in words.
    pub(super) summary: Summary,
    /// What its own grant has, and somebody above it has not.
    pub(super) lost: Vec<String>,
    /// Why it is refused now; empty where it is accepted.
    pub(super) refused_because: String,
}

/// Looks at a key and everything above it.
pub(super) fn of(app: &App, line: &Line, (now, names): (Timestamp, &WorkspaceNames)) -> Effective {
    let key = &line.key;
    let mut permissions = key.grant.permissions;
    let mut layers = Vec::new();
    for above in &line.above {
        permissions = permissions.intersection(above.grant.permissions);
        layers.push(of_key(app, (key, above), (now, names)));
    }
    if let Some((layer, grant)) = of_person(app, key, names) {
        permissions = permissions.intersection(grant.permissions);
        layers.push(layer);
    }
    if let Some((layer, ceiling)) = of_policy(app, key, names) {
        permissions = permissions.intersection(ceiling);
        layers.push(layer);
    }
    let lost = Permission::ALL
        .iter()
        .filter(|one| key.grant.permissions.has(**one) && !permissions.has(**one));
    let starts = line.above.iter().filter_map(|above| above.grant.not_before);
    let ends = line.above.iter().filter_map(|above| above.expires_at);
    let effective = Grant {
        permissions,
        not_before: starts.chain(key.grant.not_before).max(),
        ..key.grant.clone()
    };
    let end = ends.chain(key.expires_at).min();
    let mut summary = words::summary(&effective, (now, end), names);
    summary.bounds.extend(bounds_above(app, line, names));
    let stops = layers.iter().find(|layer| layer.stops);
    let own = match key.status(now) {
        KeyStatus::Active => String::new(),
        KeyStatus::NotYetValid => "Its time has not come.".to_owned(),
        KeyStatus::Expired | KeyStatus::RotatedOut => "Its time is over.".to_owned(),
        KeyStatus::Suspended => "It is suspended.".to_owned(),
        KeyStatus::Revoked => "It is revoked.".to_owned(),
    };
    Effective {
        lost: lost.map(ToString::to_string).collect(),
        refused_because: match stops {
            _ if !own.is_empty() => own,
            Some(layer) => format!(
                "{}: {}",
                layer.name,
                layer.cuts.first().map_or("", String::as_str)
            ),
            None => String::new(),
        },
        summary,
        own: words::parts(&key.grant, key.expires_at, names),
        layers,
    }
}

fn of_key(
    app: &App,
    (key, above): (&OrgKey, &OrgKey),
    (now, names): (Timestamp, &WorkspaceNames),
) -> Layer {
    let mut cuts = Vec::new();
    let policy = app.policies.of(key.org);
    let is_blocked = policy.is_some_and(|policy| block_of(&policy.policy, above).is_some());
    let stop = match above.status(now) {
        KeyStatus::Active if is_blocked => Some("is blocked by the policy"),
        KeyStatus::Active => None,
        KeyStatus::NotYetValid => Some("is not valid yet"),
        KeyStatus::Expired | KeyStatus::RotatedOut => Some("has expired"),
        KeyStatus::Suspended => Some("is suspended"),
        KeyStatus::Revoked => Some("is revoked"),
    };
    if let Some(stop) = stop {
        cuts.push(format!("It {stop}, so nothing below it is accepted."));
    }
    cuts.extend(cuts_of(&key.grant, &above.grant, names));
    if let Some(end) = above.expires_at
        && key.expires_at.is_none_or(|own| own > end)
    {
        cuts.push(format!("It ends on {}, and this key with it.", date(end)));
    }
    Layer {
        name: above.name.clone(),
        href: href(above.id),
        stops: stop.is_some(),
        cuts,
    }
}

fn of_person(app: &App, key: &OrgKey, names: &WorkspaceNames) -> Option<(Layer, Arc<Grant>)> {
    let Actor::Session(id) = &key.minter.root else {
        return None;
    };
    let known = app.people.get(key.org, id)?;
    let mut cuts = Vec::new();
    let stop = match known.person.state {
        PersonState::Active => None,
        PersonState::Suspended => Some("suspended"),
        PersonState::Removed => Some("removed"),
    };
    if let Some(stop) = stop {
        cuts.push(format!(
            "This person is {stop}, so no key of theirs is accepted."
        ));
    }
    cuts.extend(cuts_of(&key.grant, &known.grant, names));
    let layer = Layer {
        name: who::owner(app, key.org, &key.minter),
        href: String::new(),
        stops: stop.is_some(),
        cuts,
    };
    Some((layer, Arc::clone(&known.grant)))
}

fn of_policy(app: &App, key: &OrgKey, names: &WorkspaceNames) -> Option<(Layer, PermissionSet)> {
    let in_force = app.policies.of(key.org)?;
    let mut cuts = Vec::new();
    let block = block_of(&in_force.policy, key);
    if let Some(block) = block {
        cuts.push(sentence(&block.to_string()));
    }
    if let Some(ceiling) = in_force.ceiling() {
        cuts.extend(cuts_of(&key.grant, &ceiling, names));
    }
    let layer = Layer {
        name: "The org's policy".to_owned(),
        href: "/canvas/policy".to_owned(),
        stops: block.is_some(),
        cuts,
    };
    Some((layer, in_force.policy.ceiling))
}

/// What one grant takes away from another, and where both say the same.
fn cuts_of(own: &Grant, above: &Grant, names: &WorkspaceNames) -> Vec<String> {
    let lacking: Vec<String> = Permission::ALL
        .iter()
        .filter(|one| own.permissions.has(**one) && !above.permissions.has(**one))
        .map(ToString::to_string)
        .collect();
    let lacking =
        (!lacking.is_empty()).then(|| format!("It does not hold {}.", lacking.join(", ")));
    lacking
        .into_iter()
        .chain(bounds_of(own, above, names))
        .collect()
}

/// Where, when and how often one grant holds, as far as that bounds another.
fn bounds_of(own: &Grant, above: &Grant, names: &WorkspaceNames) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |is_same: bool, text: String| {
        said.push(match text.strip_suffix('.') {
            Some(text) if is_same => format!("{text}; its own grant says the same."),
            _ => text,
        });
    };
    if above.workspaces != Workspaces::All {
        let place = words::place(&above.workspaces, names);
        say(above.workspaces == own.workspaces, place);
    }
    if !above.endpoints.is_empty() {
        let text = format!("Only on {}.", words::endpoints(above).join(", "));
        say(above.endpoints == own.endpoints, text);
    }
    if !above.ip_allow.is_empty() {
        let text = format!("Only from {}.", words::addresses(above).join(", "));
        say(above.ip_allow == own.ip_allow, text);
    }
    if let Some(rate) = words::rate(above.rate_limit) {
        say(
            false,
            format!("At most {rate}, together with all below it."),
        );
    }
    if let Some(start) = above.not_before {
        say(
            above.not_before == own.not_before,
            format!("Not before {}.", date(start)),
        );
    }
    said
}

/// What the grants above a key and the policy bound beyond its own, each with whose it is.
fn bounds_above(app: &App, line: &Line, names: &WorkspaceNames) -> Vec<String> {
    let own = &line.key.grant;
    let of_one = |(name, above): (&str, &Grant)| {
        let grant = Grant {
            // What its own grant says too is said already, and so is the beginning.
            workspaces: differing(&above.workspaces, &own.workspaces, Workspaces::All),
            endpoints: differing(&above.endpoints, &own.endpoints, Vec::new()),
            ip_allow: differing(&above.ip_allow, &own.ip_allow, Vec::new()),
            not_before: None,
            ..above.clone()
        };
        let bounds = bounds_of(own, &grant, names);
        let bounds = bounds
            .iter()
            .map(|bound| format!("Through {name}: {}", lower(bound)));
        bounds.collect::<Vec<_>>()
    };
    let ceiling = app.policies.of(line.key.org);
    let ceiling = ceiling.and_then(|in_force| in_force.ceiling());
    let above = line.above.iter().map(|key| (&*key.name, &key.grant));
    let policy = ceiling.iter().map(|grant| (POLICY, &**grant));
    above.chain(policy).flat_map(of_one).collect()
}

fn differing<T: Clone + PartialEq>(above: &T, own: &T, nothing: T) -> T {
    if above == own { nothing } else { above.clone() }
}

/// A sentence after a colon.
fn lower(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
