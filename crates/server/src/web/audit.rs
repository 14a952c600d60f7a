//! The explorer of the audit trail.

mod filters;
mod record;
mod verify;

use askama::Template;
use claviger_core::{action::ReadAudit, ledger::record::Record, signal, tier::Actor};
use claviger_store::{AuditRow, Page as Part};
use http::{Method, StatusCode};

use self::filters::{Download, Filters};
use self::record::one;
use self::verify::verify;

use super::{
    fault::Fault,
    html,
    layout::{Nav, Page},
    page,
    parts::{self, Choice, Pager},
    time::When,
    who::{self, KeyNames},
};
use crate::{
    api,
    app::App,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::audit::{self, Order},
    router::Routes,
};

/// The path of the explorer.
const PATH: &str = "/canvas/audit";
/// How many records a page shows.
const ROWS: u32 = 50;
/// How many people are offered as actors.
const ACTORS_MAX: usize = 100;
/// How many requests a row can stand for before the number is worth a word.
const ONE: u64 = 1;

/// The explorer.
#[derive(Debug, Template)]
#[template(path = "canvas/audit/list.html")]
struct AuditPage {
    page: Page,
    filters: Filters,
    fault: Fault,
    rows: Vec<Row>,
    /// People and others who act.
    actors: Vec<Choice>,
    /// The names of the keys that act in these rows.
    key_names: KeyNames,
    pager: Pager,
    /// Where the new records come from, if this is the newest part.
    live: String,
    exports: Vec<Download>,
    /// The part that was looked through holds nothing, and there is more.
    goes_on: bool,
}

/// A record as a row.
#[derive(Debug)]
struct Row {
    seq: u64,
    at: When,
    actor: String,
    /// The name of a person; empty for anybody else.
    name: String,
    method: String,
    path: String,
    /// What it tells, where it is about no request.
    words: String,
    /// What it did to something, in a word; empty for a record that changed nothing.
    did: String,
    status: u16,
    tone: &'static str,
    code: String,
    took: String,
    client: String,
    /// More than one for refusals that came as a flood.
    count: u64,
}

/// The pages of the trail.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let get = Method::GET;

    routes.page::<ReadAudit, _, _>(&get, "/canvas/audit", list);
    routes.page::<ReadAudit, _, _>(&get, "/canvas/audit/verify", verify);
    routes.page::<ReadAudit, _, _>(&get, "/canvas/audit/{seq}", one);
}

/// `GET /canvas/audit`.
async fn list(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let known = api::audit::known(&["limit", "cursor", "last"]);
    let query = call.query(&known)?.filled();
    let page = page::of(&call, "Audit", Nav::Audit);
    let mut filters = Filters::read(&query);
    if let Some(address) = filters.with_key_found(&call).await? {
        return Ok(html::see_other(&address));
    }
    let read = match filters.asked(query, page.now) {
        Ok(query) => read(&call, &query).await,
        Err(failure) => Err(failure),
    };
    match read {
        Ok(found) => {
            let shown = shown(&call, page, filters, found).await?;
            Ok(html::html(StatusCode::OK, &shown))
        }
        Err(failure) => {
            let Some(fault) = Fault::of(&failure) else {
                return Err(failure);
            };
            let page = AuditPage {
                page,
                fault,
                rows: vec![],
                actors: actors(&call.app, &call),
                key_names: KeyNames::new(),
                pager: Pager::default(),
                live: String::new(),
                exports: vec![],
                goes_on: false,
                filters,
            };
            Err(html::refused(failure, &page))
        }
    }
}

/// A part of the trail, and where in it the part begins.
struct Found {
    rows: Vec<AuditRow>,
    next: Option<u64>,
    is_first: bool,
    size: u64,
}

async fn read(call: &Call<ReadAudit>, query: &Query) -> Result<Found, Failure> {
    let filter = api::audit::filter(query)?;
    let after = query.parse::<u64>("cursor", "the number of a record")?;
    // Before the read: what is recorded meanwhile comes live, and nothing is left out.
    let size = call.app.store.audit_size(call.org()).await?;
    let part = Part { after, limit: ROWS };
    let found = audit::rows(&call.app, &call.permit, filter, (Order::NewestFirst, part)).await?;
    Ok(Found {
        rows: found.rows,
        next: found.next,
        is_first: after.is_none(),
        size,
    })
}

async fn shown(
    call: &Call<ReadAudit>,
    page: Page,
    filters: Filters,
    found: Found,
) -> Result<AuditPage, Failure> {
    let records = found.rows.iter();
    let records: Vec<_> = records
        .filter_map(|row| Some((row.seq, Record::read(&row.bytes)?)))
        .collect();
    let names = names_in(call, records.iter().map(|(_, record)| record)).await?;
    let rows: Vec<Row> = records
        .iter()
        .map(|(seq, record)| Row::of(&call.app, call, (*seq, record), (&page, &names)))
        .collect();
    let newest = found.rows.first().map_or(found.size, |row| row.seq);
    // What has an end gets nothing new.
    let is_live = found.is_first && filters.until.is_empty();
    Ok(AuditPage {
        live: if is_live {
            filters.stream(newest.max(found.size), page.now)
        } else {
            String::new()
        },
        exports: filters.exports(page.now),
        pager: Pager {
            shown: u64::try_from(rows.len()).unwrap_or(u64::MAX),
            total: None,
            first: (!found.is_first).then(|| filters.href(None)),
            next: found.next.map(|next| filters.href(Some(next))),
        },
        goes_on: rows.is_empty() && found.next.is_some(),
        actors: actors(&call.app, call),
        fault: Fault::default(),
        key_names: names,
        rows,
        page,
        filters,
    })
}

/// The names of the keys that acted in these records.
async fn names_in(
    call: &Call<ReadAudit>,
    records: impl Iterator<Item = &Record>,
) -> Result<KeyNames, Failure> {
    let actors: Vec<Actor> = records
        .filter_map(|record| record.actor.parse().ok())
        .collect();
    who::key_names(call, &actors).await
}

/// Those whom a filter can name, without the keys: these are too many, and have a field of their own.
fn actors(app: &App, call: &Call<ReadAudit>) -> Vec<Choice> {
    let people = app.people.some_of(call.org(), ACTORS_MAX);
    let people = people.iter().map(|known| {
        let person = &known.person;
        let label = person.id.actor().to_string();
        let name = who::words(app, call.org(), &person.id.actor(), &KeyNames::new());
        Choice::new(label, name, "")
    });
    let others = [
        ("admin-token", "ADMIN_TOKEN"),
        ("bootstrap", "the first start"),
        ("policy", "the policy"),
        ("anonymous", "nobody known"),
    ];
    let others = others.map(|(label, name)| Choice::new(label, name, ""));
    people.chain(others).collect()
}

impl AuditPage {
    /// The names of actors by their labels, for rows that come live: they are shown as the others.
    fn live_names(&self) -> String {
        let actors = self.actors.iter();
        let people = actors.filter(|actor| actor.value.starts_with("session:"));
        let people = people.map(|actor| (actor.value.clone(), &actor.label));
        let keys = self.key_names.iter();
        let keys = keys.map(|(prefix, name)| (Actor::OrgKey(*prefix).to_string(), name));
        parts::names_json(people.chain(keys))
    }
}

impl Row {
    fn of(
        app: &App,
        call: &Call<ReadAudit>,
        (seq, record): (u64, &Record),
        (page, names): (&Page, &KeyNames),
    ) -> Self {
        Self {
            seq,
            at: page.when(record.at),
            name: name_of(app, call, &record.actor, names),
            actor: record.actor.clone(),
            method: record.method.clone(),
            path: record.path.clone(),
            words: words(record),
            did: did(record),
            status: record.status,
            tone: tone(record.status),
            code: record.code.clone().unwrap_or_default(),
            took: took(record.duration_us),
            client: record
                .client
                .map(|from| from.to_string())
                .unwrap_or_default(),
            count: record.count,
        }
    }

    fn stands_for_many(&self) -> bool {
        self.count > ONE
    }
}

/// The name of a person or a key that acts; empty for anybody else, whose label says enough.
fn name_of(app: &App, call: &Call<ReadAudit>, label: &str, names: &KeyNames) -> String {
    match label.parse::<Actor>() {
        Ok(actor @ Actor::Session(_)) => {
            let name = who::words(app, call.org(), &actor, names);
            let is_id = label.strip_prefix("session:") == Some(&name);
            if is_id { String::new() } else { name }
        }
        // The label, which stands beside it, has what tells it from others of that name.
        Ok(Actor::OrgKey(prefix)) => names.get(&prefix).cloned().unwrap_or_default(),
        Ok(_) | Err(_) => String::new(),
    }
}

/// The word for what was changed: a record names it first.
fn did(record: &Record) -> String {
    if let Some(signal) = record.change.as_ref().and_then(signal::type_of) {
        return signal.as_str().replace('_', " ");
    }
    let change = record
        .change
        .as_ref()
        .and_then(serde_json::Value::as_object);
    let word = change.and_then(|change| change.keys().next());
    word.map(|word| word.replace('_', " ")).unwrap_or_default()
}

/// What a record tells that is about no request: a signal in words, or what was done.
fn words(record: &Record) -> String {
    let said = record.change.as_ref().and_then(signal::words);
    said.unwrap_or_else(|| did(record))
}

/// The tone of an answer's status.
pub(super) const fn tone(status: u16) -> &'static str {
    match status {
        500.. => "bad",
        400..=499 => "warn",
        _ => "good",
    }
}

/// A duration as it is read at a glance; `live.js` writes the same.
pub(super) fn took(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..10_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{tone, took};

    #[test]
    fn durations_and_statuses_are_read_at_a_glance() {
        let cases = [
            (0, "0.0 ms"),
            (1_290, "1.2 ms"),
            (12_900, "12 ms"),
            (12_000_000, "12 s"),
        ];
        for (micros, words) in cases {
            assert_eq!(took(micros), words);
        }
        assert_eq!(
            [tone(200), tone(303), tone(404), tone(503)],
            ["good", "good", "warn", "bad"]
        );
    }
}
