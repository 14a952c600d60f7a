//! `/org/audit`, and the part of it that is of one key.

use std::sync::Arc;

use claviger_core::{
    action::{ReadAudit, ReadKeys},
    ledger::{entry::Kind, search::Search},
};
use claviger_store::{AuditFilter, AuditPart, AuditRow, Page};
use http::StatusCode;

use crate::{
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::audit::{self, Order},
};

/// The conditions that a query may give.
const FILTERS: &[&str] = &[
    "kind",
    "q",
    "actor",
    "token",
    "under",
    "about",
    "workspace",
    "route",
    "method",
    "status",
    "since",
    "until",
];

/// `GET /org/audit`: newest first, or with `after` the records that follow a number, oldest first.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 403, 503.
pub async fn query(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&known(&["limit", "cursor", "after"]))?;
    let (filter, part) = (filter(&query)?, part(&query)?);
    let found = audit::rows(&call.app, &call.permit, filter, part).await?;
    Ok(list(&found))
}

/// `GET /org/tokens/{id}/activity`: the records of one key, in the same way.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 403, 404, 503.
pub async fn activity(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&known_of_key(&["limit", "cursor", "after"]))?;
    let (filter, part) = (filter(&query)?, part(&query)?);
    let id = call.id(0, "key")?;
    let found = audit::activity_rows(&call.app, &call.permit, id, filter, part).await?;
    Ok(list(&found))
}

/// The conditions that a query may give, and these.
pub(crate) fn known(more: &[&'static str]) -> Vec<&'static str> {
    FILTERS.iter().chain(more).copied().collect()
}

/// The same, where the path says which key.
pub(super) fn known_of_key(more: &[&'static str]) -> Vec<&'static str> {
    let mut known = known(more);
    known.retain(|name| !["token", "under", "about"].contains(name));
    known
}

/// Which part of a trail is asked for, and in which order.
fn part(query: &Query) -> Result<(Order, Page<u64>), Failure> {
    let page = query.page::<u64>()?;
    let after = query.parse::<u64>("after", "the number of a record")?;
    Ok(match after {
        None => (Order::NewestFirst, page),
        Some(after) => {
            let after = Some(page.after.unwrap_or(after));
            (Order::OldestFirst, Page { after, ..page })
        }
    })
}

fn list(part: &AuditPart) -> Reply {
    let size = part.rows.iter().map(|row| row.bytes.len() + 32).sum();
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(b"{\"events\":[");
    for (at, row) in part.rows.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        push_event(&mut body, row);
    }
    body.extend_from_slice(b"],\"next_cursor\":");
    match part.next {
        Some(cursor) => body.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
    Reply::body(StatusCode::OK, "application/json", body)
}

/// The kept bytes with the number as the first member.
pub(super) fn push_event(body: &mut Vec<u8>, row: &AuditRow) {
    body.extend_from_slice(format!("{{\"seq\":{},", row.seq).as_bytes());
    body.extend_from_slice(row.bytes.strip_prefix(b"{").unwrap_or(&row.bytes));
}

/// The conditions of a query.
pub(crate) fn filter(query: &Query) -> Result<AuditFilter, Failure> {
    Ok(AuditFilter {
        kind: query.get("kind").map(kind).transpose()?,
        actor: query.get("actor").map(str::to_owned),
        key: query.parse("token", "the id of a key")?,
        under: query.parse("under", "the id of a key")?,
        about: query.parse("about", "the id of a key")?,
        workspace: query.parse("workspace", "the id of a workspace")?,
        route: query.get("route").map(str::to_owned),
        method: query.get("method").map(str::to_ascii_uppercase),
        status: query.get("status").map(status_range).transpose()?,
        since: query.parse("since", "an RFC 3339 time")?,
        until: query.parse("until", "an RFC 3339 time")?,
        search: query.get("q").map(search).transpose()?,
    })
}

/// A kind of record, by its word.
fn kind(text: &str) -> Result<Kind, Failure> {
    let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    Kind::of_word(text).ok_or_else(|| Failure::Malformed {
        code: "bad_query",
        field: Some("kind".to_owned()),
        reason: format!("query parameter `kind` must be one of {}", words.join(", ")),
    })
}

/// A free text.
fn search(text: &str) -> Result<Arc<Search>, Failure> {
    match Search::parse(text) {
        Ok(search) => Ok(Arc::new(search)),
        Err(error) => Err(Failure::out_of_range("q", error)),
    }
}

/// `403`, or a class such as `4xx`.
fn status_range(text: &str) -> Result<(u16, u16), Failure> {
    let class = text
        .strip_suffix("xx")
        .and_then(|digit| digit.parse::<u16>().ok());
    match (class, text.parse::<u16>()) {
        (Some(class @ 1..=5), _) => Ok((class * 100, class * 100 + 99)),
        (None, Ok(status @ 100..=599)) => Ok((status, status)),
        _ => Err(Failure::Malformed {
            code: "bad_query",
            field: Some("status".to_owned()),
            reason:
                "query parameter `status` must be a status such as `403` or a class such as `4xx`"
                    .to_owned(),
        }),
    }
}
