//! The end of a request: its record, its line, its answer.

use std::sync::Arc;

use axum::response::Response;
use claviger_core::{
    ledger::entry::{Draft, Entry},
    tier::Tier,
};
use claviger_wire::headers;
use http::{HeaderValue, header};

use super::{
    Reply,
    notices::{deprecate, tell_of_limit, tell_of_rotation},
    strangers,
};
use crate::{
    app::App,
    config::LogFormat,
    failure::Failure,
    metrics::RequestLabels,
    problem,
    trace::{Ending, Trace},
    web,
};

/// Status of the record of a request whose caller hung up before the answer.
const CLIENT_GONE: u16 = 499;

/// Records the outcome and turns it into the answer.
pub(super) async fn finish(
    app: &App,
    trace: &Arc<Trace>,
    outcome: Result<Reply, Failure>,
    must_wait: bool,
) -> Response {
    let mut response = match outcome {
        Ok(reply) => {
            let (response, receipt) = reply.into_parts();
            let ending = Ending {
                status: response.status().as_u16(),
                code: None,
                change: None,
                count: 1,
            };
            match receipt {
                Some(_) => {
                    app.ledger.note_change();
                    let record = trace.take_recorded();
                    write_line(app, &trace.draft(ending), record.as_deref());
                    response
                }
                None if trace.is_attributed() => {
                    record_answer(app, trace, (response, ending), must_wait).await
                }
                None => strangers::sample_answer(app, trace, (response, ending)),
            }
        }
        Err(failure) => finish_failure(app, trace, &failure).await,
    };
    app.metrics.note_request(&RequestLabels {
        route: trace.route,
        tier: trace.principal.tier.as_str(),
        status: response.status().as_u16(),
    });
    let status = response.status().as_u16();
    app.usage.note(trace, status, &app.metrics);
    let fields = response.headers_mut();
    let mut id = Vec::with_capacity(32);
    trace.id.push_to(&mut id);
    if let Ok(id) = HeaderValue::from_maybe_shared(bytes::Bytes::from(id)) {
        fields.insert(headers::X_REQUEST_ID, id);
    }
    fields
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if trace.principal.tier == Tier::WorkspaceToken {
        deprecate(app, fields);
    }
    if let Some(standing) = trace.standing.get() {
        tell_of_limit(fields, standing);
    }
    if let Some(end) = trace.principal.replaced_until {
        tell_of_rotation(app, trace, fields, end);
    }
    response
}

/// Records a request that changed nothing; without its record it is not answered.
async fn record_answer(
    app: &App,
    trace: &Arc<Trace>,
    (response, ending): (Response, Ending<'_>),
    must_wait: bool,
) -> Response {
    let draft = trace.draft(ending);
    let entry = draft.write();
    let bytes = json_of(app, &entry);
    match app.ledger.record(entry, must_wait).await {
        Ok(()) => {
            write_line(app, &draft, bytes.as_deref());
            response
        }
        Err(crate::ledger::NotRecorded) => {
            let failure = Failure::NotRecorded;
            let answer = problem::answer(&failure);
            let ending = Ending {
                status: answer.status.as_u16(),
                code: Some(answer.code),
                ..ending
            };
            write_line(app, &trace.draft(ending), None);
            answer_failure(app, trace, &failure)
        }
    }
}

async fn finish_failure(app: &App, trace: &Arc<Trace>, failure: &Failure) -> Response {
    let answer = problem::answer(failure);
    let status = answer.status.as_u16();
    app.metrics.note_refusal(answer.code);
    app.signals.note_refusal(trace, (status, answer.code));
    if app.refusals.note(trace, status, Some(answer.code)) {
        let draft = trace.draft(Ending {
            status,
            code: Some(answer.code),
            change: None,
            count: 1,
        });
        let entry = draft.write();
        write_line(app, &draft, Some(entry.bytes()));
        // A refusal stands whether or not it could be recorded; strangers are not worth a wait.
        if trace.is_attributed() && status != 503 {
            if app.ledger.record(entry, false).await.is_err() {
                tracing::debug!("a refusal was answered without its record");
            }
        } else {
            app.ledger.record_behind(entry);
        }
    }
    answer_failure(app, trace, failure)
}

/// The answer to a request that failed: a problem document, or for a page a page.
pub(super) fn answer_failure(app: &App, trace: &Trace, failure: &Failure) -> Response {
    if trace.is_page {
        let mut response = web::failure(app, trace, failure);
        let status = response.status();
        problem::tell_when(failure, status, response.headers_mut());
        response
    } else {
        problem::response(failure, trace.id)
    }
}

/// The bytes of a record that is about to be handed over, where the line needs them.
fn json_of(app: &App, entry: &Entry) -> Option<Vec<u8>> {
    match app.config.log_format {
        LogFormat::Json => Some(entry.bytes().to_vec()),
        LogFormat::Text => None,
    }
}

/// Writes the line: in JSON the record itself, where there is one.
pub(super) fn write_line(app: &App, draft: &Draft<'_>, record: Option<&[u8]>) {
    app.lines.push(|line| match app.config.log_format {
        LogFormat::Text => draft.push_line(line),
        LogFormat::Json => {
            let written;
            let bytes = match record {
                Some(bytes) => bytes,
                None => {
                    written = draft.write();
                    written.bytes()
                }
            };
            line.extend_from_slice(bytes);
            line.push(b'\n');
        }
    });
}

/// Leaves a record when the caller hangs up before the answer.
pub(super) struct Guard<'a> {
    pub(super) app: &'a App,
    pub(super) trace: &'a Arc<Trace>,
    pub(super) is_armed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.is_armed || !self.trace.is_attributed() {
            return;
        }
        let (status, code) = if std::thread::panicking() {
            (500, "internal")
        } else {
            (CLIENT_GONE, "client_gone")
        };
        let draft = self.trace.draft(Ending {
            status,
            code: Some(code),
            change: None,
            count: 1,
        });
        let entry = draft.write();
        write_line(self.app, &draft, Some(entry.bytes()));
        self.app.ledger.record_behind(entry);
    }
}
