//! Channels.

use async_trait::async_trait;
use claviger_core::id::{ChannelId, OrgId, WorkspaceId};

use super::{Postgres, commit, row, workspaces};
use crate::{
    Acting, Channel, ChannelChange, ChannelStore, Page, Recorder, Result, StoreError, Written,
    labels_to_json,
};

macro_rules! columns {
    () => {
        "id, workspace, name, kind, plain, credential_names, sealed, is_enabled, created_by, \
         created_at, updated_at"
    };
}

/// What the rows of an org's workspace have in common.
macro_rules! is_of_org {
    () => {
        " channels.workspace = $1 and channels.id = $2 \
         and exists (select 1 from workspaces where workspaces.id = $1 and workspaces.org = $3)"
    };
}

#[async_trait]
impl ChannelStore for Postgres {
    async fn insert_channel(
        &self,
        org: OrgId,
        channel: Channel,
        acting: Acting,
        record: Recorder<Channel>,
    ) -> Result<Written<Channel>> {
        self.write("insert a channel", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, org, channel.workspace, acting).await?;
            let sql = concat!(
                "insert into channels (",
                columns!(),
                ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (id) do nothing"
            );
            let count = change
                .execute(sql, &[
                    &channel.id.to_string(),
                    &channel.workspace.to_string(),
                    &channel.name,
                    &channel.kind.as_str(),
                    &labels_to_json(&channel.plain),
                    &names_to_json(&channel.credential_names),
                    &channel.sealed,
                    &channel.is_enabled,
                    &channel.created_by.to_string(),
                    &channel.created_at.millis(),
                    &channel.updated_at.millis(),
                ])
                .await?;
            if count == 0 {
                return Err(StoreError::Exists("channel").into());
            }
            commit(change, channel, record).await
        })
        .await
    }

    async fn find_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
    ) -> Result<Option<Channel>> {
        self.read("find a channel", async {
            let session = self.sessions.session().await?;
            let sql = concat!("select ", columns!(), " from channels where", is_of_org!());
            let (workspace, id, org) = (workspace.to_string(), id.to_string(), org.to_string());
            let found = session.row(sql, &[&workspace, &id, &org]).await?;
            Ok(found.as_ref().map(row::channel).transpose()?)
        })
        .await
    }

    async fn list_channels(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<ChannelId>,
    ) -> Result<Vec<Channel>> {
        self.read("list channels", async {
            let session = self.sessions.session().await?;
            workspaces::require(&session, org, workspace).await?;
            let before = page.after.map(|id| id.to_string());
            let sql = concat!(
                "select ",
                columns!(),
                " from channels where workspace = $1 and id < coalesce($2::text, '~') \
                 order by id desc limit $3"
            );
            let workspace = workspace.to_string();
            let rows = session
                .rows(sql, &[&workspace, &before, &i64::from(page.limit)])
                .await?;
            Ok(row::all(&rows, row::channel)?)
        })
        .await
    }

    async fn change_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
        change: ChannelChange,
        acting: Acting,
        record: Recorder<Channel>,
    ) -> Result<Written<Channel>> {
        let wanted = change;
        self.write("change a channel", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, org, workspace, acting).await?;
            let sql = concat!(
                "update channels set name = coalesce($4::text, name), plain = coalesce($5::text, plain), \
                 credential_names = coalesce($6::text, credential_names), \
                 sealed = coalesce($7::bytea, sealed), \
                 is_enabled = coalesce($8::boolean, is_enabled), updated_at = $9 where",
                is_of_org!(),
                " returning ",
                columns!()
            );
            let (plain, names, sealed) = match &wanted.config {
                Some((plain, names, sealed)) => {
                    (Some(labels_to_json(plain)), Some(names_to_json(names)), Some(sealed))
                }
                None => (None, None, None),
            };
            let (workspace, id, org) = (workspace.to_string(), id.to_string(), org.to_string());
            let found = change
                .row(sql, &[
                    &workspace,
                    &id,
                    &org,
                    &wanted.name,
                    &plain,
                    &names,
                    &sealed,
                    &wanted.is_enabled,
                    &wanted.at.millis(),
                ])
                .await?;
            let channel = row::channel(&found.ok_or(StoreError::NotFound("channel"))?)?;
            commit(change, channel, record).await
        })
        .await
    }

    async fn delete_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
        acting: Acting,
        record: Recorder<()>,
    ) -> Result<Written<()>> {
        self.write("delete a channel", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, org, workspace, acting).await?;
            let sql = concat!("delete from channels where", is_of_org!());
            let (workspace, id, org) = (workspace.to_string(), id.to_string(), org.to_string());
            if change.execute(sql, &[&workspace, &id, &org]).await? == 0 {
                return Err(StoreError::NotFound("channel").into());
            }
            commit(change, (), record).await
        })
        .await
    }
}

fn names_to_json(names: &[String]) -> String {
    serde_json::to_string(names).unwrap_or_default()
}
