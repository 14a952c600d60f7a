//! `/canvas/keys/{id}/blast-radius`: what whoever found the secret of a key could have done, and what
//! was done with it.

use askama::Template;
use claviger_core::{action::ReadAudit, id::KeyId};
use claviger_store::{AuditPart, ContentName};
use http::StatusCode;

use super::{
    events::{self, EventRow, Known},
    index::{names_of, workspaces_of},
    key::{Head, surroundings},
    words::{self, Sentence, WorkspaceNames},
};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        audit,
        blast::{self, Asked, Radius},
    },
    web::{
        html::html,
        layout::Page,
        time::{When, thousands},
    },
};

/// How many rows of a list are shown.
const ROWS_MAX: usize = 20;

/// A workspace that it reaches.
#[derive(Debug)]
struct Reached {
    id: String,
    name: String,
    channels: Vec<String>,
    secrets: Vec<String>,
}

/// From where, or with what, it came.
#[derive(Debug)]
struct Seen {
    what: String,
    first: When,
    last: When,
    calls: String,
}

/// Values of secrets that it was shown.
#[derive(Debug)]
struct Revealed {
    workspace: String,
    last: When,
    calls: String,
    unchanged: Vec<String>,
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/blast.html")]
struct BlastPage {
    page: Page,
    head: Head,
    is_accepted: bool,
    because: String,
    can: Vec<Sentence>,
    reach: [String; 3],
    below: String,
    calls: [String; 2],
    workspaces: Vec<Reached>,
    is_cut: bool,
    routes: Vec<(String, String, String)>,
    addresses: Vec<Seen>,
    agents: Vec<Seen>,
    /// From when on they are told, where not all calls were looked at.
    agents_since: Option<When>,
    reveals: Vec<Revealed>,
    /// The same of these.
    reveals_since: Option<When>,
    /// From when on there are records, where some that belong here were dropped.
    records_since: Option<When>,
    refused: Vec<EventRow>,
    changes: Vec<EventRow>,
}

/// `GET /canvas/keys/{id}/blast-radius`.
///
/// # Errors
/// As [`blast::radius`].
pub(in crate::web) async fn show(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    call.query(&[])?;
    let id: KeyId = call.id(0, "key")?;
    let radius = blast::radius(&call.app, &call.permit, id, Asked::for_page()).await?;
    let (mut page, head) = surroundings(&call, &radius.line.key, "blast").await?;
    page = page.below(head.name.clone(), head.href.clone());
    "Blast radius".clone_into(&mut page.title);
    let known = names_of(&workspaces_of(&call).await?);
    let makers = events::key_names(&call, &audit::typed(&radius.changes)).await?;
    let view = view(&call.app, radius, (page, head), (&known, &makers));
    Ok(html(StatusCode::OK, &view))
}

fn view(app: &App, radius: Radius, (page, head): (Page, Head), known: Known<'_>) -> BlastPage {
    let (workspaces, channels, secrets) = radius.reach.counts;
    let count = |number: usize| thousands(u64::try_from(number).unwrap_or(u64::MAX));
    let more = if radius.has_more_below { "+" } else { "" };
    let held = radius.reach.permissions;
    let can = claviger_core::permission::Permission::ALL.iter();
    BlastPage {
        is_accepted: radius.refused_because.is_none(),
        because: match radius.refused_because {
            Some("minter_inactive") => "something above it is not accepted".to_owned(),
            Some("policy_blocked") => "the org's policy blocks it".to_owned(),
            Some(word) => format!("it is {}", word.replace('_', " ")),
            None => String::new(),
        },
        can: can
            .filter(|one| held.has(**one))
            .map(|one| Sentence {
                text: words::deed(*one).to_owned(),
                is_sensitive: words::is_sensitive(*one),
            })
            .collect(),
        reach: [count(workspaces), thousands(channels), thousands(secrets)],
        below: format!("{}{more}", count(radius.line.below.len())),
        calls: [thousands(radius.calls.0), thousands(radius.calls.1)],
        workspaces: reached(&radius),
        is_cut: radius.reach.is_cut,
        routes: events::by_route(
            radius
                .endpoints
                .iter()
                .map(|one| (one.method.as_str(), one.route.as_str(), one.calls)),
        ),
        addresses: radius
            .addresses
            .iter()
            .take(ROWS_MAX)
            .map(|one| Seen {
                what: one.address.to_string(),
                first: page.when(one.first_at),
                last: page.when(one.last_at),
                calls: thousands(one.calls),
            })
            .collect(),
        agents: radius
            .agents
            .iter()
            .take(ROWS_MAX)
            .map(|one| Seen {
                what: one.agent.clone().unwrap_or_else(|| "none".to_owned()),
                first: page.when(one.first_at),
                last: page.when(one.last_at),
                calls: thousands(one.calls),
            })
            .collect(),
        agents_since: radius.agents_since.map(|at| page.when(at)),
        reveals: reveals(&radius, &page, known.0),
        reveals_since: radius.reveals_since.map(|at| page.when(at)),
        records_since: radius.records_since.map(|at| page.when(at)),
        refused: rows(app, &page, (&radius.refused, known)),
        changes: rows(app, &page, (&radius.changes, known)),
        page,
        head,
    }
}

fn reached(radius: &Radius) -> Vec<Reached> {
    let names = |all: &[ContentName], id| {
        let own = all.iter().filter(|one| one.workspace == id);
        own.map(|one| one.name.clone()).collect()
    };
    let contents = &radius.reach.contents;
    let shown = radius.reach.workspaces.iter().take(ROWS_MAX);
    shown
        .map(|one| Reached {
            id: one.id.to_string(),
            name: one.name.clone(),
            channels: names(&contents.channels, one.id),
            secrets: names(&contents.secrets, one.id),
        })
        .collect()
}

fn reveals(radius: &Radius, page: &Page, known: &WorkspaceNames) -> Vec<Revealed> {
    let shown = radius.reveals.iter().take(ROWS_MAX);
    shown
        .map(|one| Revealed {
            workspace: known
                .get(&one.workspace)
                .cloned()
                .unwrap_or_else(|| one.workspace.to_string()),
            last: page.when(one.last_at),
            calls: thousands(one.calls),
            unchanged: one.unchanged.clone(),
        })
        .collect()
}

fn rows(app: &App, page: &Page, (part, known): (&AuditPart, Known<'_>)) -> Vec<EventRow> {
    let found = audit::typed(part);
    let mut rows = events::part(app, page, (&found, known), ("", true)).rows;
    rows.truncate(ROWS_MAX);
    rows
}
