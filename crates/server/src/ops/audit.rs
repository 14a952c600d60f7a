//! The audit trail, for those who read it.

use claviger_core::{
    action::{ReadAudit, ReadKeys},
    authorize::Permit,
    denial::Denial,
    grant::WorkspaceFacts,
    id::{KeyId, OrgId},
    ledger::record::Record,
};
use claviger_store::{AuditFilter, AuditPart, Page};

use super::keys;
use crate::{app::App, failure::Failure};

/// Which end of a trail comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The cursor is a number before which to go on.
    NewestFirst,
    /// The cursor is a number after which to go on.
    OldestFirst,
}

/// A record with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number in the org's trail.
    pub seq: u64,
    /// What it says.
    pub record: Record,
}

/// A part of a trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// The records that were found.
    pub events: Vec<Event>,
    /// The cursor of the next part, or `None` at the end. A part can be short, even empty, and still
    /// have a next one: one call looks through so much and no more.
    pub next: Option<u64>,
}

/// Records of the org that fit.
///
/// # Errors
/// As [`rows`].
pub async fn page(
    app: &App,
    permit: &Permit<ReadAudit>,
    filter: AuditFilter,
    (order, page): (Order, Page<u64>),
) -> Result<Events, Failure> {
    Ok(typed(&rows(app, permit, filter, (order, page)).await?))
}

/// Records of one key that fit.
///
/// # Errors
/// As [`activity_rows`].
pub async fn activity(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
    filter: AuditFilter,
    (order, page): (Order, Page<u64>),
) -> Result<Events, Failure> {
    let rows = activity_rows(app, permit, id, filter, (order, page)).await?;
    Ok(typed(&rows))
}

/// The same records, read.
#[must_use]
pub fn typed(part: &AuditPart) -> Events {
    let event = |row: &claviger_store::AuditRow| {
        let seq = row.seq;
        Record::read(&row.bytes).map(|record| Event { seq, record })
    };
    Events {
        events: part.rows.iter().filter_map(event).collect(),
        next: part.next,
    }
}

/// The same as the bytes that are kept.
///
/// # Errors
/// 403 for a caller that is bound to workspaces and names none of them; 503.
pub async fn rows(
    app: &App,
    permit: &Permit<ReadAudit>,
    filter: AuditFilter,
    part: (Order, Page<u64>),
) -> Result<AuditPart, Failure> {
    may_read(app, permit, &filter).await?;
    read(app, permit.org(), filter, part).await
}

/// The same as the bytes that are kept.
///
/// # Errors
/// 403 for a caller that is bound to workspaces, about a key that is neither its own nor below it;
/// 404, 503.
pub async fn activity_rows(
    app: &App,
    permit: &Permit<ReadKeys>,
    id: KeyId,
    filter: AuditFilter,
    part: (Order, Page<u64>),
) -> Result<AuditPart, Failure> {
    let key = keys::get(app, permit, id).await?;
    keys::may_see_uses(permit, &key)?;
    let filter = AuditFilter {
        key: Some(id),
        ..filter
    };
    read(app, permit.org(), filter, part).await
}

/// Whether a caller may read the records that fit: one that is bound to workspaces names one of them.
///
/// # Errors
/// 403, 503.
pub async fn may_read(
    app: &App,
    permit: &Permit<ReadAudit>,
    filter: &AuditFilter,
) -> Result<(), Failure> {
    if permit.is_unbound() {
        return Ok(());
    }
    let id = filter.workspace.ok_or(Denial::OutsideWorkspaces)?;
    let found = app.store.find_workspace(permit.org(), id).await?;
    let labels = found.as_ref().map(|workspace| &workspace.labels);
    if permit.reaches(WorkspaceFacts { id, labels }) {
        Ok(())
    } else {
        Err(Denial::OutsideWorkspaces.into())
    }
}

async fn read(
    app: &App,
    org: OrgId,
    filter: AuditFilter,
    (order, page): (Order, Page<u64>),
) -> Result<AuditPart, Failure> {
    let place = app.scan_place().await?;
    let part = match order {
        Order::NewestFirst => app.store.query_audit(org, filter, page).await?,
        Order::OldestFirst => app.store.export_audit(org, filter, page).await?,
    };
    drop(place);
    Ok(part)
}
