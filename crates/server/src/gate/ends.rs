//! Records of what came of a request after its answer began. The request has one of its own.

use claviger_core::{
    ledger::entry::{Draft, Kind},
    signal::SignalType,
};

use super::finish::write_line;
use crate::{
    app::App,
    entropy,
    trace::{Ending, Trace, ascii_json},
};

/// Records that a stream has ended, and why. Nobody waits for it.
pub(crate) fn record_stream_end(app: &App, trace: &Trace, code: &str, change: &serde_json::Value) {
    record(app, trace, (Kind::StreamEnd, code), change);
}

/// Records that the trail was verified for somebody, and is not as it was signed. Nobody waits for it.
pub(crate) fn record_failed_verification(app: &App, trace: &Trace, change: &serde_json::Value) {
    record(
        app,
        trace,
        (Kind::Signal, SignalType::VerificationFailed.as_str()),
        change,
    );
}

fn record(app: &App, trace: &Trace, (kind, code): (Kind, &str), change: &serde_json::Value) {
    let change = ascii_json(change);
    let draft = trace.draft(Ending {
        status: 200,
        code: Some(code),
        change: Some(&change),
        count: 1,
    });
    let draft = Draft {
        id: entropy::new_id(),
        kind,
        ..draft
    };
    let entry = draft.write();
    write_line(app, &draft, Some(entry.bytes()));
    app.ledger.record_behind(entry);
}
