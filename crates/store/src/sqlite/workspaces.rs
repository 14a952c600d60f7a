//! Workspaces.

use async_trait::async_trait;
use claviger_core::id::{OrgId, WorkspaceId};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, keys, orgs, row,
    row::{IdText, Query},
    writer::{Order, Tx},
};
use crate::{
    Acting, Page, Recorder, Result, StoreError, Workspace, WorkspaceChange, WorkspaceDeletion,
    WorkspaceStore, Written, labels_to_json,
};

#[async_trait]
impl WorkspaceStore for Sqlite {
    async fn insert_workspace(
        &self,
        workspace: Workspace,
        acting: Acting,
        record: Recorder<Workspace>,
    ) -> Result<Written<Workspace>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, workspace.org)?;
            insert(tx.sql, &workspace)?;
            tx.written(workspace, record)
        };
        self.writer
            .change(Order::synced("insert a workspace"), work)
            .await
    }

    async fn find_workspace(&self, org: OrgId, id: WorkspaceId) -> Result<Option<Workspace>> {
        self.read("find a workspace", move |sql| find(sql, org, id))
            .await
    }

    async fn list_workspaces(&self, org: OrgId, page: Page<WorkspaceId>) -> Result<Vec<Workspace>> {
        let select = format!("select {} from workspaces where org = ?", row::WORKSPACE);
        let mut query = Query::new(select, org.to_string());
        if let Some(after) = page.after {
            query.and("and id < ?", [after.to_string().into()]);
        }
        query.and("order by id desc limit ?", [i64::from(page.limit).into()]);
        self.read("list workspaces", move |sql| query.all(sql, row::workspace))
            .await
    }

    async fn change_workspace(
        &self,
        org: OrgId,
        id: WorkspaceId,
        change: WorkspaceChange,
        acting: Acting,
        record: Recorder<Workspace>,
    ) -> Result<Written<Workspace>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let workspace = update(tx.sql, org, id, change)?;
            tx.written(workspace, record)
        };
        self.writer
            .change(Order::synced("change a workspace"), work)
            .await
    }

    async fn delete_workspace(
        &self,
        org: OrgId,
        id: WorkspaceId,
        acting: Acting,
        record: Recorder<WorkspaceDeletion>,
    ) -> Result<Written<WorkspaceDeletion>> {
        let work = move |tx: &mut Tx<'_>| {
            require_for(tx.sql, org, id, acting)?;
            let deletion = delete(tx.sql, id, acting)?;
            tx.written(deletion, record)
        };
        self.writer
            .change(Order::synced("delete a workspace"), work)
            .await
    }
}

/// Refuses what is done in a workspace that is not there, or not in this org.
pub(super) fn require(sql: &Connection, org: OrgId, id: WorkspaceId) -> Outcome<()> {
    let query = "select 1 from workspaces where org = ?1 and id = ?2";
    match row::first(sql, query, params![IdText::of(org), IdText::of(id)], |_| {
        Ok(())
    })? {
        Some(()) => Ok(()),
        None => Err(StoreError::NotFound("workspace").into()),
    }
}

/// What every change inside a workspace needs: the actor, the org and the workspace.
pub(super) fn require_for(
    sql: &Connection,
    org: OrgId,
    id: WorkspaceId,
    acting: Acting,
) -> Outcome<()> {
    keys::require_actor(sql, acting)?;
    orgs::require(sql, org)?;
    require(sql, org, id)
}

fn insert(sql: &Connection, workspace: &Workspace) -> Outcome<()> {
    let statement = "insert into workspaces
         (id, org, name, labels, created_by, created_at, updated_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let bound = params![
        IdText::of(workspace.id),
        IdText::of(workspace.org),
        workspace.name,
        labels_to_json(&workspace.labels),
        workspace.created_by.to_string(),
        workspace.created_at.millis(),
        workspace.updated_at.millis(),
    ];
    match row::run(sql, statement, bound) {
        Err(fault) if row::is_taken(&fault, "workspaces.id") => {
            Err(StoreError::Exists("workspace").into())
        }
        Err(fault) => Err(fault),
        Ok(_) => Ok(()),
    }
}

fn find(sql: &Connection, org: OrgId, id: WorkspaceId) -> Outcome<Option<Workspace>> {
    let query = format!(
        "select {} from workspaces where org = ?1 and id = ?2",
        row::WORKSPACE
    );
    row::first(
        sql,
        &query,
        params![IdText::of(org), IdText::of(id)],
        row::workspace,
    )
}

fn update(
    sql: &Connection,
    org: OrgId,
    id: WorkspaceId,
    change: WorkspaceChange,
) -> Outcome<Workspace> {
    let mut workspace = find(sql, org, id)?.ok_or(StoreError::NotFound("workspace"))?;
    workspace.name = change.name.unwrap_or(workspace.name);
    workspace.labels = change.labels.unwrap_or(workspace.labels);
    workspace.updated_at = change.at;
    let labels = labels_to_json(&workspace.labels);
    row::run(
        sql,
        "update workspaces set name = ?2, labels = ?3, updated_at = ?4 where id = ?1",
        params![IdText::of(id), workspace.name, labels, change.at.millis()],
    )?;
    Ok(workspace)
}

fn delete(sql: &Connection, id: WorkspaceId, acting: Acting) -> Outcome<WorkspaceDeletion> {
    let id = IdText::of(id);
    let count = |changed: usize| u64::try_from(changed).unwrap_or(u64::MAX);
    let tokens = row::all(
        sql,
        "update workspace_tokens set revoked_at = ?2
         where workspace = ?1 and revoked_at is null returning digest",
        params![id, acting.now.millis()],
        |row| row::digest(row, 0),
    )?;
    let channels = row::run(
        sql,
        "delete from channels where workspace = ?1",
        params![id],
    )?;
    let secrets = row::run(sql, "delete from secrets where workspace = ?1", params![id])?;
    row::run(sql, "delete from workspaces where id = ?1", params![id])?;
    Ok(WorkspaceDeletion {
        tokens,
        channels: count(channels),
        secrets: count(secrets),
    })
}
