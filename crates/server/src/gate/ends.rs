//! The record of a stream's end. Its beginning was recorded as the request that it is.

use claviger_core::ledger::entry::{Draft, Kind};

use super::finish::write_line;
use crate::{
    app::App,
    entropy,
    trace::{Ending, Trace, ascii_json},
};

/// Records that a stream has ended, and why. Nobody waits for it.
pub(crate) fn record_stream_end(app: &App, trace: &Trace, code: &str, change: &serde_json::Value) {
    let change = ascii_json(change);
    let draft = trace.draft(Ending {
        status: 200,
        code: Some(code),
        change: Some(&change),
        count: 1,
    });
    let draft = Draft {
        id: entropy::new_id(),
        kind: Kind::StreamEnd,
        ..draft
    };
    let entry = draft.write();
    write_line(app, &draft, Some(entry.bytes()));
    app.ledger.record_behind(entry);
}
