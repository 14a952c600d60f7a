//! The audit trail, for those who read it.

use std::sync::Arc;

use claviger_core::{
    action::{Action, ReadAudit, ReadKeys},
    authorize::Permit,
    denial::Denial,
    grant::WorkspaceFacts,
    id::{KeyId, OrgId},
    ledger::{record::Record, search::Search},
};
use claviger_store::{AuditFilter, AuditPart, AuditRow, NAMED_MAX, Page};

use super::keys;
use crate::{app::App, failure::Failure};

/// How many records of an export are fetched at a time.
const EXPORT_PAGE: u32 = 1000;

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
    let event = |row: &AuditRow| {
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
    let filter = with_names(app, permit, filter).await?;
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
        ..with_names(app, permit, filter).await?
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

/// The same filter, with those named whose names have the text that it looks for. To a caller who is
/// bound to workspaces names say nothing: it could spell out those that it may not see.
///
/// # Errors
/// 422 for a text that too many names have; 503.
pub(super) async fn with_names<A: Action>(
    app: &App,
    permit: &Permit<A>,
    filter: AuditFilter,
) -> Result<AuditFilter, Failure> {
    let Some(search) = filter.search.clone().filter(|_| permit.is_unbound()) else {
        return Ok(filter);
    };
    let org = permit.org();
    let place = app.scan_place().await?;
    let named = app.store.named_like(org, Arc::clone(&search)).await?;
    drop(place);
    let named = named.ok_or_else(|| {
        let reason = format!("is in the names of more than {NAMED_MAX} keys or workspaces");
        Failure::out_of_range("q", reason)
    })?;
    let known = app.people.some_of(org, usize::MAX);
    let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| search.is_in(name));
    let people = known
        .iter()
        .filter(|known| is_named(&known.person.name) || is_named(&known.person.email));
    let people: Vec<String> = people
        .map(|known| known.person.id.actor().to_string())
        .collect();
    let search = Search::clone(&search).with_named(&named.keys, &named.workspaces, &people);
    Ok(AuditFilter {
        search: Some(Arc::new(search)),
        ..filter
    })
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

/// The records of an export, some at a time, oldest first.
#[derive(Debug)]
pub struct Export {
    org: OrgId,
    filter: AuditFilter,
    /// Where to go on; `None` at the end.
    next: Option<u64>,
    /// What is recorded after the beginning is not part of the export, so that it ends.
    end: u64,
}

impl Export {
    /// Begins behind a record, 0 for the first one.
    ///
    /// # Errors
    /// As [`rows`].
    pub async fn begin(
        app: &App,
        permit: &Permit<ReadAudit>,
        filter: AuditFilter,
        after: u64,
    ) -> Result<Self, Failure> {
        may_read(app, permit, &filter).await?;
        let org = permit.org();
        Ok(Self {
            org,
            filter: with_names(app, permit, filter).await?,
            next: Some(after),
            end: app.store.audit_size(org).await?,
        })
    }

    /// The next records, which may be none; `None` at the end.
    ///
    /// # Errors
    /// 503.
    pub async fn part(&mut self, app: &App) -> Result<Option<Vec<AuditRow>>, Failure> {
        let Some(after) = self.next else {
            return Ok(None);
        };
        let page = Page {
            after: Some(after),
            limit: EXPORT_PAGE,
        };
        // A place for each step: an export must not keep short reads waiting.
        let place = app.scans.acquire().await;
        let export = app.store.export_audit(self.org, self.filter.clone(), page);
        let mut found = export.await?;
        drop(place);
        self.next = found.next.filter(|next| *next < self.end);
        found.rows.retain(|row| row.seq <= self.end);
        Ok(Some(found.rows))
    }
}
