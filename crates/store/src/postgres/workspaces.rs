//! Workspaces.

use async_trait::async_trait;
use claviger_core::id::{OrgId, WorkspaceId};

use super::{
    Postgres, commit,
    fault::{Fault, Outcome},
    keys, row,
    session::{Change, Session},
};
use crate::{
    Acting, Page, Recorder, Result, StoreError, Workspace, WorkspaceChange, WorkspaceDeletion,
    WorkspaceStore, Written, labels_to_json,
};

macro_rules! columns {
    () => {
        "id, org, name, labels, created_by, created_at, updated_at"
    };
}

#[async_trait]
impl WorkspaceStore for Postgres {
    async fn insert_workspace(
        &self,
        workspace: Workspace,
        acting: Acting,
        record: Recorder<Workspace>,
    ) -> Result<Written<Workspace>> {
        self.write("insert a workspace", async move {
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, workspace.org, acting).await?;
            let sql = concat!(
                "insert into workspaces (",
                columns!(),
                ") values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing"
            );
            let count = change
                .execute(
                    sql,
                    &[
                        &workspace.id.to_string(),
                        &workspace.org.to_string(),
                        &workspace.name,
                        &labels_to_json(&workspace.labels),
                        &workspace.created_by.to_string(),
                        &workspace.created_at.millis(),
                        &workspace.updated_at.millis(),
                    ],
                )
                .await?;
            if count == 0 {
                return Err(StoreError::Exists("workspace").into());
            }
            commit(change, workspace, record).await
        })
        .await
    }

    async fn find_workspace(&self, org: OrgId, id: WorkspaceId) -> Result<Option<Workspace>> {
        self.read("find a workspace", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from workspaces where org = $1 and id = $2"
            );
            let found = session
                .row(sql, &[&org.to_string(), &id.to_string()])
                .await?;
            Ok(found.as_ref().map(row::workspace).transpose()?)
        })
        .await
    }

    async fn list_workspaces(&self, org: OrgId, page: Page<WorkspaceId>) -> Result<Vec<Workspace>> {
        self.read("list workspaces", async {
            let session = self.sessions.session().await?;
            let before = page.after.map(|id| id.to_string());
            // No id sorts after `~`.
            let sql = concat!(
                "select ",
                columns!(),
                " from workspaces where org = $1 and id < coalesce($2::text, '~') order by id desc limit $3"
            );
            let rows = session.rows(sql, &[&org.to_string(), &before, &i64::from(page.limit)]).await?;
            Ok(row::all(&rows, row::workspace)?)
        })
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
        let wanted = change;
        self.write("change a workspace", async move {
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let sql = concat!(
                "update workspaces set name = coalesce($3::text, name), \
                 labels = coalesce($4::text, labels), updated_at = $5 \
                 where org = $1 and id = $2 returning ",
                columns!()
            );
            let labels = wanted.labels.as_ref().map(labels_to_json);
            let (org, id, at) = (org.to_string(), id.to_string(), wanted.at.millis());
            let found = change
                .row(sql, &[&org, &id, &wanted.name, &labels, &at])
                .await?;
            let workspace = row::workspace(&found.ok_or_else(missing)?)?;
            commit(change, workspace, record).await
        })
        .await
    }

    async fn delete_workspace(
        &self,
        org: OrgId,
        id: WorkspaceId,
        acting: Acting,
        record: Recorder<WorkspaceDeletion>,
    ) -> Result<Written<WorkspaceDeletion>> {
        self.write("delete a workspace", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let sql = "select 1 from workspaces where org = $1 and id = $2 for update";
            let (org, id) = (org.to_string(), id.to_string());
            change.row(sql, &[&org, &id]).await?.ok_or_else(missing)?;
            let sql = "update workspace_tokens set revoked_at = $2 \
                       where workspace = $1 and revoked_at is null returning digest";
            let tokens = change.rows(sql, &[&id, &acting.now.millis()]).await?;
            let channels = change
                .execute("delete from channels where workspace = $1", &[&id])
                .await?;
            let secrets = change
                .execute("delete from secrets where workspace = $1", &[&id])
                .await?;
            change
                .execute("delete from workspaces where id = $1", &[&id])
                .await?;
            let deletion = WorkspaceDeletion {
                tokens: row::digests("workspace_tokens", &tokens)?,
                channels,
                secrets,
            };
            commit(change, deletion, record).await
        })
        .await
    }
}

/// Refuses what is done in a workspace that is not there, or not in this org.
pub(super) async fn require(session: &Session, org: OrgId, id: WorkspaceId) -> Outcome<()> {
    let sql = "select 1 from workspaces where org = $1 and id = $2";
    let found = session
        .row(sql, &[&org.to_string(), &id.to_string()])
        .await?;
    found.ok_or_else(missing)?;
    Ok(())
}

/// What every change inside a workspace needs, until the end of the transaction: the actor, the org
/// and the workspace.
pub(super) async fn require_for(
    change: &Change,
    org: OrgId,
    id: WorkspaceId,
    acting: Acting,
) -> Outcome<()> {
    keys::require_actor(change, org, acting).await?;
    let sql = "select 1 from workspaces where org = $1 and id = $2 for share";
    let found = change
        .row(sql, &[&org.to_string(), &id.to_string()])
        .await?;
    found.ok_or_else(missing)?;
    Ok(())
}

fn missing() -> Fault {
    StoreError::NotFound("workspace").into()
}
