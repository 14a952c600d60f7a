//! Orgs.

use async_trait::async_trait;
use claviger_core::{id::OrgId, key::Revocation};
use rusqlite::{Connection, params};

use super::{Outcome, Sqlite, row, row::IdText, writer::Order};
use crate::{Org, OrgDeletion, OrgStore, Page, Recorder, Result, StoreError, Written};

#[async_trait]
impl OrgStore for Sqlite {
    async fn insert_org(&self, org: Org, record: Recorder<Org>) -> Result<Written<Org>> {
        let order = Order::synced("insert an org");
        let work = move |tx: &mut super::writer::Tx<'_>| {
            insert(tx.sql, &org)?;
            tx.written(org, record)
        };
        self.writer.change(order, work).await
    }

    async fn find_org(&self, name_or_id: &str) -> Result<Option<Org>> {
        let wanted = name_or_id.to_owned();
        // An org may be named like the id of another: the id comes first.
        let query = format!(
            "select {} from orgs where (id = ?1 or name = ?1) and deleted_at is null
             order by id = ?1 desc limit 1",
            row::ORG
        );
        self.read("find an org", move |sql| {
            row::first(sql, &query, [wanted], row::org)
        })
        .await
    }

    async fn list_orgs(&self, page: Page<OrgId>) -> Result<Vec<Org>> {
        let query = format!(
            "select {} from orgs where id > ?1 and deleted_at is null order by id limit ?2",
            row::ORG
        );
        let after = page.after.map(|id| id.to_string()).unwrap_or_default();
        let work =
            move |sql: &Connection| row::all(sql, &query, params![after, page.limit], row::org);
        self.read("list orgs", work).await
    }

    async fn delete_org(
        &self,
        id: OrgId,
        end: Revocation,
        record: Recorder<OrgDeletion>,
    ) -> Result<Written<OrgDeletion>> {
        let order = Order::synced("delete an org");
        let work = move |tx: &mut super::writer::Tx<'_>| {
            let deletion = delete(tx.sql, id, &end)?;
            tx.written(deletion, record)
        };
        self.writer.change(order, work).await
    }
}

/// Refuses what is done in an org that is not there any more.
pub(super) fn require(sql: &Connection, id: OrgId) -> Outcome<()> {
    let query = "select 1 from orgs where id = ?1 and deleted_at is null";
    match row::first(sql, query, params![IdText::of(id)], |_| Ok(()))? {
        Some(()) => Ok(()),
        None => Err(StoreError::NotFound("org").into()),
    }
}

fn insert(sql: &Connection, org: &Org) -> Outcome<()> {
    let id = IdText::of(org.id);
    let inserted = row::run(
        sql,
        "insert into orgs (id, name, created_at) values (?1, ?2, ?3)",
        params![id, org.name, org.created_at.millis()],
    );
    match inserted {
        Err(fault) if row::is_taken(&fault, "orgs.name") || row::is_taken(&fault, "orgs.id") => {
            return Err(StoreError::Exists("org").into());
        }
        Ok(_) => {}
        Err(fault) => return Err(fault),
    }
    row::run(
        sql,
        "insert into ledgers (org, size, peaks) values (?1, 0, x'')",
        params![id],
    )?;
    Ok(())
}

fn delete(sql: &Connection, id: OrgId, end: &Revocation) -> Outcome<OrgDeletion> {
    let org = IdText::of(id);
    let at = end.at.millis();
    let query = format!(
        "select {} from orgs where id = ?1 and deleted_at is null",
        row::ORG
    );
    let found = row::first(sql, &query, params![org], row::org)?;
    let deletion = OrgDeletion {
        org: found.ok_or(StoreError::NotFound("org"))?,
        keys: row::all(
            sql,
            "update keys set revoked_at = ?2, revoked_by = ?3, revoked_reason = ?4
             where org = ?1 and revoked_at is null returning digest",
            params![org, at, end.by.to_string(), end.reason],
            |row| row::digest(row, 0),
        )?,
        workspace_tokens: row::all(
            sql,
            "update workspace_tokens set revoked_at = ?2
             where org = ?1 and revoked_at is null returning digest",
            params![org, at],
            |row| row::digest(row, 0),
        )?,
    };
    for statement in [
        "delete from channels where workspace in (select id from workspaces where org = ?1)",
        "delete from secrets where workspace in (select id from workspaces where org = ?1)",
        "delete from workspaces where org = ?1",
        "delete from mint_replays where org = ?1",
        "delete from key_requests where org = ?1",
        "delete from sessions where org = ?1",
        "delete from sign_ins where org = ?1",
    ] {
        row::run(sql, statement, params![org])?;
    }
    row::run(
        sql,
        "update orgs set deleted_at = ?2 where id = ?1",
        params![org, at],
    )?;
    Ok(deletion)
}
