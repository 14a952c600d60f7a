//! The audit trail.

use std::{ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::batch::Batch};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite, row,
    row::{IdText, bytes, count, time},
};
use crate::{
    AuditFilter, AuditPart, AuditStore, Page, Result,
    scan::{Bounds, Order, Scan},
};

#[async_trait]
impl AuditStore for Sqlite {
    async fn append(&self, batch: Arc<Batch>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writer.append(batch).await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::NewestFirst, page);
        let query = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
            where org = ?1 and first_seq < ?2 order by first_seq desc";
        self.read("query the audit trail", move |sql| {
            walk(sql, query, org, scan)
        })
        .await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::OldestFirst, page);
        // The run that holds the record after the cursor may begin before it.
        let query = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
            where org = ?1 and first_seq >= coalesce(
                (select max(first_seq) from audit_runs where org = ?1 and first_seq <= ?2), 0)
            order by first_seq";
        self.read("export the audit trail", move |sql| {
            walk(sql, query, org, scan)
        })
        .await
    }

    async fn audit_size(&self, org: OrgId) -> Result<u64> {
        let query = "select size from ledgers where org = ?1";
        let work = move |sql: &Connection| {
            row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))
        };
        Ok(self
            .read("read the size of an audit trail", work)
            .await?
            .unwrap_or(0))
    }
}

/// The runs are in the order of the primary key, and read as far as they are wanted: what a run
/// holds is fetched only when its times can fit.
fn walk(sql: &Connection, query: &str, org: OrgId, mut scan: Scan) -> Outcome<AuditPart> {
    let mut statement = sql.prepare_cached(query)?;
    let mut rows = statement.query(params![IdText::of(org), scan.cursor()])?;
    while let Some(row) = rows.next()? {
        let run = bounds(row)?;
        let flow = match scan.wants(run) {
            ControlFlow::Continue(true) => scan.read(run, bytes(row, 4)?),
            ControlFlow::Continue(false) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(scan.finish())
}

/// The columns of `audit_runs` but the last.
fn bounds(row: &Row<'_>) -> Outcome<Bounds> {
    Ok(Bounds {
        first_seq: count(row, 0)?,
        last_seq: count(row, 1)?,
        at_min: time(row, 2)?,
        at_max: time(row, 3)?,
    })
}
