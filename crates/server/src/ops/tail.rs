//! The end of a trail, followed as it grows.

use claviger_core::{
    action::{ReadAudit, ReadKeys},
    authorize::Permit,
    id::{KeyId, OrgId},
};
use claviger_store::{AuditFilter, AuditRow, Page};

use super::{audit, keys};
use crate::{app::App, failure::Failure};

/// How many records are fetched at a time.
const ROWS_MAX: u32 = 64;
/// Who is further behind than this many records takes a place for long scans.
const BEHIND_MAX: u64 = 4096;

/// Somebody who follows a trail.
#[derive(Debug)]
pub struct Tail {
    org: OrgId,
    filter: AuditFilter,
    /// Of a caller whose binding has to be held against the workspace each time: its labels may
    /// have changed.
    bound: Option<Permit<ReadAudit>>,
    /// Up to which record the trail was looked at.
    cursor: u64,
}

/// What came.
#[derive(Debug)]
pub struct Step {
    /// The records, oldest first.
    pub rows: Vec<AuditRow>,
    /// Whether there is more at once.
    pub is_behind: bool,
}

impl Tail {
    /// Follows what the caller may read and what fits. Without a number it begins with what is recorded
    /// from now on, or with a time condition at the beginning of the trail.
    ///
    /// # Errors
    /// 403 for a caller that is bound to workspaces and names none of them; 503.
    pub async fn of_trail(
        app: &App,
        permit: &Permit<ReadAudit>,
        filter: AuditFilter,
        after: Option<u64>,
    ) -> Result<Self, Failure> {
        audit::may_read(app, permit, &filter).await?;
        let bound = (!permit.is_unbound()).then(|| permit.clone());
        let filter = audit::with_names(app, permit, filter).await?;
        Self::begin(app, permit.org(), (filter, bound), after).await
    }

    /// Follows what fits of a key.
    ///
    /// # Errors
    /// 403 for a caller that is bound to workspaces, about a key that is neither its own nor below
    /// it; 404, 503.
    pub async fn of_key(
        app: &App,
        permit: &Permit<ReadKeys>,
        id: KeyId,
        (filter, after): (AuditFilter, Option<u64>),
    ) -> Result<Self, Failure> {
        let key = keys::get(app, permit, id).await?;
        keys::may_see_uses(permit, &key)?;
        let filter = AuditFilter {
            key: Some(id),
            ..audit::with_names(app, permit, filter).await?
        };
        Self::begin(app, permit.org(), (filter, None), after).await
    }

    async fn begin(
        app: &App,
        org: OrgId,
        (filter, bound): (AuditFilter, Option<Permit<ReadAudit>>),
        after: Option<u64>,
    ) -> Result<Self, Failure> {
        let cursor = match after {
            Some(after) => after,
            None if filter.since.is_some() => 0,
            None => app.store.audit_size(org).await?,
        };
        Ok(Self {
            org,
            filter,
            bound,
            cursor,
        })
    }

    /// Up to which record the trail was looked at: whoever begins after it misses nothing.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What came since the last step.
    ///
    /// # Errors
    /// 403 for a caller whose binding has come to an end, 503.
    pub async fn step(&mut self, app: &App) -> Result<Step, Failure> {
        // Asked first: what is read afterwards goes at least so far.
        let size = app.store.audit_size(self.org).await?;
        let behind = size.saturating_sub(self.cursor);
        if behind == 0 {
            return Ok(Step {
                rows: Vec::new(),
                is_behind: false,
            });
        }
        if let Some(permit) = &self.bound {
            audit::may_read(app, permit, &self.filter).await?;
        }
        let place = match behind {
            0..=BEHIND_MAX => None,
            _ => app.scans.acquire().await.ok(),
        };
        let page = Page {
            after: Some(self.cursor),
            limit: ROWS_MAX,
        };
        let found = app.store.export_audit(self.org, self.filter.clone(), page);
        let part = found.await?;
        drop(place);
        let last = part.rows.last().map_or(0, |row| row.seq);
        self.cursor = part.next.unwrap_or_else(|| size.max(last));
        Ok(Step {
            rows: part.rows,
            is_behind: part.next.is_some(),
        })
    }
}
