//! The audit trail.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::entry::Entry};
use rusqlite::{Connection, params, types::Value};

use super::{
    Sqlite, row,
    row::{IdText, Query},
};
use crate::{AuditFilter, AuditRow, AuditStore, Page, Result};

#[async_trait]
impl AuditStore for Sqlite {
    async fn append(&self, entries: Vec<Entry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.writer.append(entries).await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<Vec<AuditRow>> {
        let mut query = select(org, filter);
        query
            .and("and seq < ?", [seq(page.after.unwrap_or(u64::MAX))])
            .and("order by seq desc limit ?", [i64::from(page.limit).into()]);
        self.read("query the audit trail", move |sql| {
            query.all(sql, row::audit)
        })
        .await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<Vec<AuditRow>> {
        let mut query = select(org, filter);
        query
            .and("and seq > ?", [seq(page.after.unwrap_or(0))])
            .and("order by seq limit ?", [i64::from(page.limit).into()]);
        self.read("export the audit trail", move |sql| {
            query.all(sql, row::audit)
        })
        .await
    }

    async fn audit_size(&self, org: OrgId) -> Result<u64> {
        let query = "select size from ledgers where org = ?1";
        let work = move |sql: &Connection| {
            row::first(sql, query, params![IdText::of(org)], |row| {
                row::count(row, 0)
            })
        };
        Ok(self
            .read("read the size of an audit trail", work)
            .await?
            .unwrap_or(0))
    }
}

/// A number as SQLite keeps it.
fn seq(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The records that are asked for. The primary key gives their order, so a page is a scan that
/// stops when it is full.
fn select(org: OrgId, filter: AuditFilter) -> Query {
    let select = "select seq, body from audit_events where org = ?";
    let mut query = Query::new(select.to_owned(), org.to_string());
    let AuditFilter {
        actor,
        key,
        workspace,
        method,
        status,
        since,
        until,
    } = filter;
    for (condition, value) in [
        ("and actor = ?", actor),
        ("and key_id = ?", key.map(|id| id.to_string())),
        ("and workspace = ?", workspace.map(|id| id.to_string())),
        ("and method = ?", method),
    ] {
        if let Some(value) = value {
            query.and(condition, [value.into()]);
        }
    }
    for (condition, value) in [("and at >= ?", since), ("and at < ?", until)] {
        if let Some(at) = value {
            query.and(condition, [at.millis().into()]);
        }
    }
    if let Some((lowest, highest)) = status {
        let bounds = [lowest, highest].map(|status| i64::from(status).into());
        query.and("and status between ? and ?", bounds);
    }
    query
}
