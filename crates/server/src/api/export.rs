//! `/org/audit/export`: the trail in the formats that other programs take, a record a line.

mod cloud_events;
mod csv;
mod ocsf;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use claviger_core::{action::ReadAudit, id::OrgId};
use claviger_store::AuditRow;
use http::{StatusCode, header};

use super::audit::{filter, known};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::audit::Export,
};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jsonl,
    Csv,
    Ocsf,
    CloudEvents,
}

/// The media type of lines of JSON.
pub(crate) const JSON_LINES: &str = "application/jsonl";

impl Format {
    fn parse(word: &str) -> Result<Self, Failure> {
        match word {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "ocsf" => Ok(Self::Ocsf),
            "cloudevents" => Ok(Self::CloudEvents),
            _ => {
                let reason = "must be `jsonl`, `csv`, `ocsf` or `cloudevents`";
                Err(Failure::out_of_range("format", reason))
            }
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl | Self::Ocsf | Self::CloudEvents => JSON_LINES,
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Jsonl => "audit.jsonl",
            Self::Csv => "audit.csv",
            Self::Ocsf => "audit.ocsf.jsonl",
            Self::CloudEvents => "audit.cloudevents.jsonl",
        }
    }
}

/// Writes records.
#[derive(Debug, Clone)]
struct Writer {
    format: Format,
    org: OrgId,
    /// The trail, for those who get records of several.
    source: String,
}

impl Writer {
    /// What stands before the first record.
    fn head(&self) -> Vec<u8> {
        match self.format {
            Format::Csv => csv::head(),
            Format::Jsonl | Format::Ocsf | Format::CloudEvents => Vec::new(),
        }
    }

    fn push(&self, out: &mut Vec<u8>, row: &AuditRow) -> Result<(), Failure> {
        let broken = || Failure::Internal(format!("record {} cannot be read", row.seq));
        match self.format {
            Format::Jsonl => {
                out.extend_from_slice(&row.bytes);
                out.push(b'\n');
                Some(())
            }
            Format::Csv => csv::push(out, row),
            Format::Ocsf => ocsf::push(out, row, self.org),
            Format::CloudEvents => cloud_events::push(out, row, (self.org, &self.source)),
        }
        .ok_or_else(broken)
    }
}

/// `GET /org/audit/export`: oldest first, streamed.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 403, 503. A store that fails later breaks the stream
/// off.
pub async fn export(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&known(&["format", "after"]))?;
    let format = Format::parse(query.get("format").unwrap_or("jsonl"))?;
    let filter = filter(&query)?;
    let after = query
        .parse::<u64>("after", "the number of a record")?
        .unwrap_or(0);
    let (watch, org) = (Arc::new(call.watch()), call.permit.org());
    let begun = Export::begin(&call.app, &call.permit, filter, after).await?;
    let base = call.app.config.public_url.as_deref().unwrap_or_default();
    let writer = Writer {
        format,
        org,
        source: format!("{}/orgs/{org}", base.trim_end_matches('/')),
    };
    // Whoever goes on somewhere has what stands before the first record.
    let head = if after == 0 {
        writer.head()
    } else {
        Vec::new()
    };
    let app = call.app;
    let state = (begun, head);
    let stream = futures_util::stream::try_unfold(state, move |(mut export, head)| {
        let (app, writer, watch) = (Arc::clone(&app), writer.clone(), Arc::clone(&watch));
        async move {
            // Whoever is not let in any more gets no more of it.
            watch.check()?;
            let Some(rows) = export.part(&app).await? else {
                return Ok(None);
            };
            let mut part = head;
            for row in &rows {
                writer.push(&mut part, row)?;
            }
            Ok::<_, Failure>(Some((Bytes::from(part), (export, Vec::new()))))
        }
    });
    let body = Body::from_stream(stream);
    let disposition = format!("attachment; filename=\"{}\"", format.file());
    Ok(Reply::body(StatusCode::OK, format.media_type(), body)
        .with(header::CONTENT_DISPOSITION, &disposition))
}
