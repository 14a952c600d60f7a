//! What was dropped of a trail, for those who ask for it.

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{record::Record, retention::Decision},
};
use claviger_store::{AuditFilter, Dropped, Page};

use crate::{app::App, failure::Failure};

/// How many records are read at a time, to find a decision. It stands close behind where it is looked for.
const PAGE: u32 = 500;
/// How many times.
const PAGES_MAX: u32 = 8;

/// A decision that bodies are dropped, with the number of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) decision: Decision,
}

/// The record that says what was dropped of a trail; `None` if it is not there, or says something else.
///
/// # Errors
/// 503.
pub(crate) async fn decision(
    app: &App,
    org: OrgId,
    dropped: Dropped,
) -> claviger_store::Result<Option<Found>> {
    let mut after = dropped.decided_after;
    for _ in 0..PAGES_MAX {
        let page = Page {
            after: Some(after),
            limit: PAGE,
        };
        let filter = AuditFilter::default();
        let part = app.store.export_audit(org, filter, page).await?;
        let Some(last) = part.rows.last() else {
            return Ok(None);
        };
        after = last.seq;
        let is_it = |id: EventId| id == dropped.decision;
        for row in &part.rows {
            if let Some(decision) = Decision::read(&row.bytes)
                && Record::read(&row.bytes).is_some_and(|record| is_it(record.id))
            {
                let seq = row.seq;
                return Ok(Some(Found { seq, decision }));
            }
        }
    }
    Ok(None)
}

/// Makes sure that a record has not lost its body by a decision.
///
/// # Errors
/// 410 with the decision; 503.
pub(crate) async fn expect_body(app: &App, org: OrgId, seq: u64) -> Result<(), Failure> {
    match app.store.dropped(org).await? {
        Some(dropped) if seq <= dropped.last => {
            let found = decision(app, org, dropped).await?;
            Err(Failure::Dropped {
                last: dropped.last,
                seq: found.map(|found| found.seq),
            })
        }
        Some(_) | None => Ok(()),
    }
}
