//! The deprecated workspace tokens.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, WorkspaceId, WorkspaceTokenId},
    key::WorkspaceTokenRow,
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, keys, orgs, row,
    row::{IdText, Query},
    workspaces,
    writer::{Order, Tx},
};
use crate::{
    Acting, LoadedWorkspaceToken, Page, Recorder, Result, RevokedKey, StoreError,
    WorkspaceTokenStore, Written,
};

#[async_trait]
impl WorkspaceTokenStore for Sqlite {
    async fn insert_workspace_token(
        &self,
        token: WorkspaceTokenRow,
        digest: [u8; 32],
        acting: Acting,
        record: Recorder<WorkspaceTokenRow>,
    ) -> Result<Written<WorkspaceTokenRow>> {
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, token.org, token.workspace, acting)?;
            insert(tx.sql, &token, digest)?;
            tx.written(token, record)
        };
        self.writer
            .change(Order::synced("insert a workspace token"), work)
            .await
    }

    async fn list_workspace_tokens(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<WorkspaceTokenId>,
    ) -> Result<Vec<WorkspaceTokenRow>> {
        let select = format!(
            "select {} from workspace_tokens where workspace = ? and revoked_at is null",
            row::WORKSPACE_TOKEN
        );
        let mut query = Query::new(select, workspace.to_string());
        if let Some(after) = page.after {
            query.and("and id < ?", [after.to_string().into()]);
        }
        query.and("order by id desc limit ?", [i64::from(page.limit).into()]);
        let work = move |sql: &Connection| {
            workspaces::require(sql, org, workspace)?;
            query.all(sql, row::workspace_token)
        };
        self.read("list workspace tokens", work).await
    }

    async fn revoke_workspace_token(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: WorkspaceTokenId,
        acting: Acting,
        record: Recorder<RevokedKey<WorkspaceTokenId>>,
    ) -> Result<Written<RevokedKey<WorkspaceTokenId>>> {
        let statement = "update workspace_tokens set revoked_at = ?4
             where org = ?1 and workspace = ?2 and id = ?3 and revoked_at is null
             returning id, prefix, digest";
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let at = acting.now.millis();
            let bound = params![IdText::of(org), IdText::of(workspace), IdText::of(id), at];
            let mut revoked = row::all(tx.sql, statement, bound, row::revoked_key)?;
            let revoked = revoked
                .pop()
                .ok_or(StoreError::NotFound("workspace token"))?;
            tx.written(revoked, record)
        };
        self.writer
            .change(Order::synced("revoke a workspace token"), work)
            .await
    }

    async fn load_workspace_tokens(&self) -> Result<Vec<LoadedWorkspaceToken>> {
        let query = format!(
            "select {} from workspace_tokens where revoked_at is null",
            row::WORKSPACE_TOKEN
        );
        let work = move |sql: &Connection| {
            row::all(sql, &query, [], |row| {
                Ok(LoadedWorkspaceToken {
                    token: row::workspace_token(row)?,
                    digest: row::digest(row, 11)?,
                })
            })
        };
        self.read("load the workspace tokens", work).await
    }

    async fn touch_workspace_tokens(&self, used: Vec<(WorkspaceTokenId, Timestamp)>) -> Result<()> {
        let statement = "update workspace_tokens
             set last_used_at = max(coalesce(last_used_at, 0), ?2) where id = ?1";
        let work = move |tx: &mut Tx<'_>| {
            for (id, at) in &used {
                row::run(tx.sql, statement, params![IdText::of(*id), at.millis()])?;
            }
            Ok(())
        };
        self.writer
            .change(
                Order::quick("keep when workspace tokens were last used"),
                work,
            )
            .await
    }
}

fn insert(sql: &Connection, token: &WorkspaceTokenRow, digest: [u8; 32]) -> Outcome<()> {
    let statement = "insert into workspace_tokens
         (id, org, workspace, name, prefix, digest, created_by, root, chain, created_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let bound = params![
        IdText::of(token.id),
        IdText::of(token.org),
        IdText::of(token.workspace),
        token.name,
        token.prefix.as_str(),
        digest,
        token.minter.created_by.to_string(),
        token.minter.root.to_string(),
        row::chain_text(&token.minter.chain),
        token.created_at.millis(),
    ];
    let is_secret_taken = |fault| {
        row::is_taken(fault, "workspace_tokens.prefix")
            || row::is_taken(fault, "workspace_tokens.digest")
    };
    match row::run(sql, statement, bound) {
        Err(fault) if is_secret_taken(&fault) => Err(StoreError::PrefixTaken.into()),
        Err(fault) if row::is_taken(&fault, "workspace_tokens.id") => {
            Err(StoreError::Exists("workspace token").into())
        }
        Err(fault) => Err(fault),
        Ok(_) => Ok(()),
    }
}
