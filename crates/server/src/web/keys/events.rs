//! Records of the trail as rows of a key's page.

use std::{collections::BTreeMap, sync::LazyLock};

use claviger_core::{action::Action, ledger::record::Record, signal, tier::Actor};
use serde_json::Value;

use super::words::WorkspaceNames;
use crate::{
    app::App,
    failure::Failure,
    gate::Call,
    ops::audit::{Event, Events},
    router,
    web::{
        audit::{tone, took},
        layout::Page,
        parts::Pager,
        time::{When, thousands},
        who::{self, KeyNames},
    },
};

/// How many routes are listed.
const ROUTES_MAX: usize = 20;

/// A record as a row.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    /// Its number in the trail.
    pub(super) seq: u64,
    /// When.
    pub(super) at: When,
    /// The method.
    pub(super) method: String,
    /// The path.
    pub(super) path: String,
    /// The workspace by name, and its id; empty for none.
    pub(super) workspace: String,
    /// Its id.
    pub(super) workspace_id: String,
    /// The status.
    pub(super) status: u16,
    /// Its tone.
    pub(super) tone: &'static str,
    /// The stable code of a refusal; empty for none.
    pub(super) code: String,
    /// From where.
    pub(super) client: String,
    /// How long it took.
    pub(super) duration: String,
    /// Who acted, in words.
    pub(super) actor: String,
    /// The same as the trail writes it.
    pub(super) actor_label: String,
    /// What was changed, in words; empty for nothing.
    pub(super) change: String,
    /// How many requests it stands for.
    pub(super) count: u64,
}

/// A part of a trail as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct EventPart {
    /// The rows, newest first.
    pub(super) rows: Vec<EventRow>,
    /// Where it stands.
    pub(super) pager: Pager,
    /// The address of what comes live; empty for nothing.
    pub(super) live: String,
}

/// The names of workspaces by their ids, and those of keys by the public names of their secrets.
pub(super) type Known<'a> = (&'a WorkspaceNames, &'a KeyNames);

/// The names of the keys that acted in these records.
///
/// # Errors
/// 503.
pub(super) async fn key_names<A: Action>(
    call: &Call<A>,
    found: &Events,
) -> Result<KeyNames, Failure> {
    let events = found.events.iter();
    let actors: Vec<Actor> = events
        .filter_map(|event| event.record.actor.parse().ok())
        .collect();
    who::key_names(call, &actors).await
}

/// Whether there is a stream of what a key does.
pub(super) static HAS_STREAM: LazyLock<bool> = LazyLock::new(|| {
    let routes = router::routes();
    let mut paths = routes.iter().map(|route| route.path);
    paths.any(|path| path == "/org/tokens/{id}/activity/stream")
});

/// The rows of a part; `address` is that of the list, with a query.
pub(super) fn part(
    app: &App,
    surroundings: &Page,
    (found, known): (&Events, Known<'_>),
    (address, is_first): (&str, bool),
) -> EventPart {
    let rows: Vec<_> = found
        .events
        .iter()
        .map(|event| row(app, surroundings, event, known))
        .collect();
    EventPart {
        pager: Pager {
            shown: u64::try_from(rows.len()).unwrap_or(0),
            total: None,
            first: (!is_first).then(|| address.to_owned()),
            next: found
                .next
                .map(|cursor| format!("{address}&cursor={cursor}")),
        },
        rows,
        live: String::new(),
    }
}

fn row(app: &App, surroundings: &Page, event: &Event, (workspaces, keys): Known<'_>) -> EventRow {
    let record = &event.record;
    let actor = record.actor.parse::<Actor>();
    let id = record
        .workspace
        .map(|id| id.to_string())
        .unwrap_or_default();
    let name = record.workspace.and_then(|id| workspaces.get(&id).cloned());
    EventRow {
        seq: event.seq,
        at: surroundings.when(record.at),
        method: record.method.clone(),
        path: record.path.clone(),
        workspace: name.unwrap_or_else(|| id.clone()),
        workspace_id: id,
        status: record.status,
        tone: tone(record.status),
        code: record.code.clone().unwrap_or_default(),
        client: record.client.map(|one| one.to_string()).unwrap_or_default(),
        duration: took(record.duration_us),
        actor: match (actor, org_of(app, surroundings)) {
            (Ok(actor), Some(org)) => who::words(app, org, &actor, keys),
            _ => record.actor.clone(),
        },
        actor_label: record.actor.clone(),
        change: change_words(record),
        count: record.count,
    }
}

fn org_of(app: &App, surroundings: &Page) -> Option<claviger_core::id::OrgId> {
    app.orgs.find(&surroundings.org)
}

/// Routes with how often they were called, each once whatever the workspace, the busiest first.
pub(super) fn by_route<'a>(
    calls: impl Iterator<Item = (&'a str, &'a str, u64)>,
) -> Vec<(String, String, String)> {
    let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (method, route, count) in calls.filter(|(_, _, count)| *count > 0) {
        let sum = sums.entry((route, method)).or_default();
        *sum = sum.saturating_add(count);
    }
    let mut routes: Vec<_> = sums.into_iter().collect();
    routes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row = |((route, method), count): ((&str, &str), u64)| {
        (method.to_owned(), route.to_owned(), thousands(count))
    };
    routes.into_iter().take(ROUTES_MAX).map(row).collect()
}

/// What a record says was changed.
fn change_words(record: &Record) -> String {
    if let Some(mut words) = record.change.as_ref().and_then(signal::words) {
        // Words of a signal go on in a sentence; here they begin a line.
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return words;
    }
    let Some(Value::Object(change)) = &record.change else {
        return String::new();
    };
    let Some((what, said)) = change.iter().next() else {
        return String::new();
    };
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut words = match what.as_str() {
        "minted" => "Minted".to_owned(),
        "changed" => {
            let to = said.get("to").and_then(Value::as_object);
            let fields: Vec<_> = to.iter().flat_map(|to| to.keys()).cloned().collect();
            format!("Changed: {}", fields.join(", "))
        }
        "rotated" => format!(
            "Rotated: {} in place of {}",
            text("prefix"),
            text("previous")
        ),
        "finished_rotation" => "Rotation finished".to_owned(),
        "cancelled_rotation" => "Rotation cancelled".to_owned(),
        "suspended" => "Suspended".to_owned(),
        "resumed" => "Resumed".to_owned(),
        "revoked" if said.get("with").is_some() => "Revoked with the key above it".to_owned(),
        "revoked" => "Revoked".to_owned(),
        "reparented" => "Lives on under the key above".to_owned(),
        other => other.replace('_', " "),
    };
    let reason = text("reason");
    if !reason.is_empty() {
        words.push_str(": ");
        words.push_str(reason);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::by_route;

    #[test]
    fn route_is_listed_once_and_the_busiest_first() {
        let calls = [
            ("GET", "/a", 1),
            ("GET", "/b", 1500),
            ("POST", "/a", 9),
            ("GET", "/a", 4),
            ("PUT", "/c", 0),
        ];
        let routes = by_route(calls.into_iter());
        let routes: Vec<_> = routes
            .iter()
            .map(|(method, route, calls)| (method.as_str(), route.as_str(), calls.as_str()))
            .collect();
        let expected = [
            ("GET", "/b", "1,500"),
            ("POST", "/a", "9"),
            ("GET", "/a", "5"),
        ];
        assert_eq!(routes, expected);
    }
}
