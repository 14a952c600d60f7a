//! `/org/audit/verify`: the server looks at the trail as it is kept, and says what it finds as it goes on.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use claviger_core::action::ReadAudit;
use claviger_wire::ledger::{
    VerifyDropped, VerifyFailure, VerifyFinding, VerifyLine, VerifyProgress, VerifyVerdict,
};
use http::{HeaderName, StatusCode};

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::verify::{self, Told},
    problem,
};

/// `GET /org/audit/verify`.
///
/// # Errors
/// 400 for a query, 403, 409 while another one is under way, 429.
pub async fn verify(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    call.query(&[])?;
    let told = verify::start(&call.app, &call.permit, &call.trace)?;
    let watch = Arc::new(call.watch());
    let stream = futures_util::stream::try_unfold(told, move |mut told| {
        let watch = Arc::clone(&watch);
        async move {
            let Some(next) = told.recv().await else {
                return Ok(None);
            };
            // Whoever is not let in any more gets no more of it.
            watch.check()?;
            let mut line = serde_json::to_vec(&shown(next)).unwrap_or_default();
            line.push(b'\n');
            Ok::<_, Failure>(Some((Bytes::from(line), told)))
        }
    });
    let body = Body::from_stream(stream);
    Ok(Reply::body(StatusCode::OK, "application/jsonl", body)
        // Proxies that gather answers would hold it back.
        .with(HeaderName::from_static("x-accel-buffering"), "no"))
}

fn shown(told: Told) -> VerifyLine {
    match told {
        Told::Progress { records, of } => VerifyLine::Progress(VerifyProgress { records, of }),
        Told::Found(found) => {
            let (first, last) = found.range.unwrap_or((found.seq, found.seq));
            VerifyLine::Finding(VerifyFinding {
                kind: found.kind.to_owned(),
                seq: found.seq,
                first,
                last,
                column: found.column.to_owned(),
                what: found.what,
            })
        }
        Told::Ended(verdict) => VerifyLine::Verdict(VerifyVerdict {
            is_sound: verdict.is_sound(),
            records: verdict.records,
            dropped: verdict
                .dropped
                .map(|(last, record)| VerifyDropped { last, record }),
            intact: verdict.intact,
            proved: verdict.proved,
            said: verdict.words(),
            signed_by: verdict.signed_by,
            findings: verdict.findings,
            first: verdict.first,
        }),
        Told::Failed(failure) => {
            tracing::warn!(error = %failure, "the audit trail was not verified to its end");
            let answer = problem::answer(&failure);
            VerifyLine::Failed(VerifyFailure {
                code: answer.code.to_owned(),
                detail: answer.detail,
            })
        }
    }
}
