//! Callers that are nobody: how they stand in records, and which of their answers are recorded.

use std::sync::Arc;

use axum::response::Response;
use claviger_core::{
    id::OrgId,
    tier::{Actor, Authority, Principal, Tier},
};

use super::finish::write_line;
use crate::{
    app::App,
    trace::{Ending, Trace},
};

/// A principal that is nobody, for the record of a refusal.
pub(super) fn nobody(org: OrgId) -> Principal {
    Principal {
        tier: Tier::Anonymous,
        org,
        actor: Actor::Anonymous,
        key: None,
        minter: None,
        own_workspace: None,
        replaced_until: None,
        impersonator: None,
        session: None,
        is_break_glass: false,
        authority: Authority::default(),
    }
}

/// An answer to a stranger that changed nothing: one in a second is recorded and the rest are
/// counted, for whoever needs no credential could fill the trail with them.
pub(super) fn sample_answer(
    app: &App,
    trace: &Arc<Trace>,
    (response, ending): (Response, Ending<'_>),
) -> Response {
    if app.refusals.note(trace, ending.status, None) {
        let draft = trace.draft(ending);
        let entry = draft.write();
        write_line(app, &draft, Some(entry.bytes()));
        app.ledger.record_behind(entry);
    }
    response
}
