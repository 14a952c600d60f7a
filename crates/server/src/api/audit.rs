//! `/org/audit`, and the part of it that is of one key.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use claviger_core::action::{ReadAudit, ReadKeys};
use claviger_store::{AuditFilter, AuditPart, AuditRow, Page};
use http::{StatusCode, header};

use crate::{
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::audit::{self, Order},
};

/// The conditions that a query may give.
const FILTERS: &[&str] = &[
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
/// How many records of an export are fetched at a time.
const EXPORT_PAGE: u32 = 1000;

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

/// `GET /org/audit/export`: the exact bytes of each record, one a line, oldest first, streamed.
///
/// # Errors
/// 400 for a query that cannot be used, 503. A store that fails later breaks the stream off.
pub async fn export(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&known(&["format", "after"]))?;
    if query.get("format").is_some_and(|format| format != "jsonl") {
        return Err(Failure::out_of_range("format", "must be `jsonl`"));
    }
    let filter = filter(&query)?;
    audit::may_read(&call.app, &call.permit, &filter).await?;
    let first = query
        .parse::<u64>("after", "the number of a record")?
        .unwrap_or(0);
    let (watch, org) = (Arc::new(call.watch()), call.permit.org());
    let app = call.app;
    // What is recorded after this moment is not part of the export, so that it ends.
    let end = app.store.audit_size(org).await?;
    let stream = futures_util::stream::try_unfold(Some(first), move |after| {
        let (app, filter, watch) = (Arc::clone(&app), filter.clone(), Arc::clone(&watch));
        async move {
            let Some(after) = after else { return Ok(None) };
            // Whoever is not let in any more gets no more of it.
            watch.check()?;
            let page = Page {
                after: Some(after),
                limit: EXPORT_PAGE,
            };
            // A place for each step: an export must not keep short reads waiting.
            let place = app.scans.acquire().await;
            let found = app.store.export_audit(org, filter, page).await?;
            drop(place);
            let next = found.next.filter(|next| *next < end);
            let mut part = Vec::new();
            for row in found.rows.iter().filter(|row| row.seq <= end) {
                part.extend_from_slice(&row.bytes);
                part.push(b'\n');
            }
            Ok::<_, Failure>(Some((Bytes::from(part), next)))
        }
    });
    Ok(Reply::body(
        StatusCode::OK,
        "application/jsonl",
        Body::from_stream(stream),
    )
    .with(
        header::CONTENT_DISPOSITION,
        "attachment; filename=\"audit.jsonl\"",
    ))
}

/// The conditions of a query.
pub(crate) fn filter(query: &Query) -> Result<AuditFilter, Failure> {
    Ok(AuditFilter {
        kind: None,
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
    })
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
