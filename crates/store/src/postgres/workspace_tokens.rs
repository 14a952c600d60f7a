//! The deprecated workspace tokens.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, WorkspaceId, WorkspaceTokenId},
    key::WorkspaceTokenRow,
    time::Timestamp,
};

use super::{Postgres, commit, keys, row, workspaces};
use crate::{
    Acting, LoadedWorkspaceToken, Page, Recorder, Result, RevokedKey, StoreError,
    WorkspaceTokenStore, Written,
};

macro_rules! columns {
    () => {
        "id, org, workspace, name, prefix, created_by, root, chain, created_at, last_used_at, \
         revoked_at"
    };
}

/// How many tokens are touched at once.
const TOUCHED_MAX: usize = 2000;

#[async_trait]
impl WorkspaceTokenStore for Postgres {
    async fn insert_workspace_token(
        &self,
        token: WorkspaceTokenRow,
        digest: [u8; 32],
        acting: Acting,
        record: Recorder<WorkspaceTokenRow>,
    ) -> Result<Written<WorkspaceTokenRow>> {
        self.write("insert a workspace token", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, token.org, token.workspace, acting).await?;
            let sql = concat!(
                "insert into workspace_tokens (",
                columns!(),
                ", digest) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                 on conflict do nothing"
            );
            let count = change
                .execute(
                    sql,
                    &[
                        &token.id.to_string(),
                        &token.org.to_string(),
                        &token.workspace.to_string(),
                        &token.name,
                        &token.prefix.as_str(),
                        &token.minter.created_by.to_string(),
                        &token.minter.root.to_string(),
                        &row::chain_text(&token.minter.chain),
                        &token.created_at.millis(),
                        &token.last_used_at.map(Timestamp::millis),
                        &token.revoked_at.map(Timestamp::millis),
                        &&digest[..],
                    ],
                )
                .await?;
            if count == 0 {
                let sql = "select 1 from workspace_tokens where prefix = $1 or digest = $2";
                return match change
                    .row(sql, &[&token.prefix.as_str(), &&digest[..]])
                    .await?
                {
                    Some(_) => Err(StoreError::PrefixTaken.into()),
                    None => Err(StoreError::Exists("workspace token").into()),
                };
            }
            commit(change, token, record).await
        })
        .await
    }

    async fn list_workspace_tokens(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<WorkspaceTokenId>,
    ) -> Result<Vec<WorkspaceTokenRow>> {
        self.read("list workspace tokens", async {
            let session = self.sessions.session().await?;
            workspaces::require(&session, org, workspace).await?;
            let before = page.after.map(|id| id.to_string());
            let sql = concat!(
                "select ",
                columns!(),
                " from workspace_tokens where workspace = $1 and revoked_at is null \
                 and id < coalesce($2::text, '~') order by id desc limit $3"
            );
            let workspace = workspace.to_string();
            let rows = session
                .rows(sql, &[&workspace, &before, &i64::from(page.limit)])
                .await?;
            Ok(row::all(&rows, row::workspace_token)?)
        })
        .await
    }

    async fn revoke_workspace_token(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: WorkspaceTokenId,
        acting: Acting,
        record: Recorder<RevokedKey<WorkspaceTokenId>>,
    ) -> Result<Written<RevokedKey<WorkspaceTokenId>>> {
        self.write("revoke a workspace token", async move {
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let sql = "update workspace_tokens set revoked_at = $4 \
                       where org = $1 and workspace = $2 and id = $3 and revoked_at is null \
                       returning id, prefix, digest";
            let (org, workspace, id) = (org.to_string(), workspace.to_string(), id.to_string());
            let found = change
                .row(sql, &[&org, &workspace, &id, &acting.now.millis()])
                .await?;
            let found = found.ok_or(StoreError::NotFound("workspace token"))?;
            let revoked = row::revoked("workspace_tokens", &found)?;
            commit(change, revoked, record).await
        })
        .await
    }

    async fn load_workspace_tokens(&self) -> Result<Vec<LoadedWorkspaceToken>> {
        self.read("load workspace tokens", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                ", digest from workspace_tokens where revoked_at is null"
            );
            let rows = session.rows(sql, &[]).await?;
            Ok(row::all(&rows, row::loaded_workspace_token)?)
        })
        .await
    }

    async fn touch_workspace_tokens(&self, used: Vec<(WorkspaceTokenId, Timestamp)>) -> Result<()> {
        for part in used.chunks(TOUCHED_MAX) {
            let ids: Vec<String> = part.iter().map(|(id, _)| id.to_string()).collect();
            let times: Vec<i64> = part.iter().map(|(_, at)| at.millis()).collect();
            self.write("keep when workspace tokens were used", async {
                let _alone = self.many.lock().await;
                let change = self.sessions.begin().await?;
                change.batch("set local synchronous_commit = off").await?;
                let sql = "update workspace_tokens set last_used_at = used.at \
                           from (select id, max(at) as at from unnest($1::text[], $2::bigint[]) as u (id, at) \
                                 group by id) as used \
                           where workspace_tokens.id = used.id \
                           and coalesce(workspace_tokens.last_used_at, 0) < used.at";
                change.execute(sql, &[&ids, &times]).await?;
                change.commit().await
            })
            .await?;
        }
        Ok(())
    }
}
