//! One record with everything that it says.

use askama::Template;
use claviger_core::{action::ReadAudit, ledger::record::Record};
use claviger_store::{AuditFilter, Page as Part};
use http::StatusCode;

use super::{PATH, did, name_of, names_in, tone, took, words};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        audit::{self, Order},
        retention,
    },
    web::{
        html,
        layout::{Nav, Page},
        page,
        time::When,
    },
};

/// How far around a record the link to its surroundings looks.
const AROUND: std::time::Duration = std::time::Duration::from_secs(60);

/// One record.
#[derive(Debug, Template)]
#[template(path = "canvas/audit/record.html")]
struct RecordPage {
    page: Page,
    seq: u64,
    record: Record,
    at: When,
    name: String,
    did: String,
    /// What it tells, where it is about no request.
    words: String,
    tone: &'static str,
    took: String,
    /// The exact bytes.
    line: String,
    /// What it changed, on several lines; empty for nothing.
    change: String,
    around: String,
    is_last: bool,
}

/// `GET /canvas/audit/{seq}`.
pub(super) async fn one(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let missing = || Failure::NotFound("record");
    let seq: u64 = call.id(0, "record")?;
    let before = seq.checked_sub(1).ok_or_else(missing)?;
    let part = Part {
        after: Some(before),
        limit: 1,
    };
    if call.permit.is_unbound() {
        retention::expect_body(&call.app, call.org(), seq).await?;
    }
    let filter = AuditFilter::default();
    let found = audit::rows(&call.app, &call.permit, filter, (Order::OldestFirst, part)).await?;
    let row = found.rows.into_iter().find(|row| row.seq == seq);
    let row = row.ok_or_else(missing)?;
    let record = Record::read(&row.bytes).ok_or_else(missing)?;
    let size = call.app.store.audit_size(call.org()).await?;
    let page = page::of(&call, &format!("Record {seq}"), Nav::Audit).below("Audit", PATH);
    let names = names_in(&call, std::iter::once(&record)).await?;
    let (since, until) = (record.at.minus(AROUND), record.at.plus(AROUND));
    let change = record.change.as_ref().map(serde_json::to_string_pretty);
    let page = RecordPage {
        at: page.when(record.at),
        name: name_of(&call.app, &call, &record.actor, &names),
        did: did(&record),
        words: words(&record),
        tone: tone(record.status),
        took: took(record.duration_us),
        line: String::from_utf8_lossy(&row.bytes).into_owned(),
        change: change.and_then(Result::ok).unwrap_or_default(),
        around: format!("{PATH}?since={since}&until={until}"),
        is_last: seq >= size,
        page,
        seq,
        record,
    };
    Ok(html::html(StatusCode::OK, &page))
}
