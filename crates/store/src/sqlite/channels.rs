//! Channels.

use async_trait::async_trait;
use claviger_core::id::{ChannelId, OrgId, WorkspaceId};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, row,
    row::{IdText, Query},
    workspaces,
    writer::{Order, Tx},
};
use crate::{
    Acting, Channel, ChannelChange, ChannelStore, Page, Recorder, Result, StoreError, Written,
    labels_to_json,
};

#[async_trait]
impl ChannelStore for Sqlite {
    async fn insert_channel(
        &self,
        org: OrgId,
        channel: Channel,
        acting: Acting,
        record: Recorder<Channel>,
    ) -> Result<Written<Channel>> {
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, org, channel.workspace, acting)?;
            insert(tx.sql, &channel)?;
            tx.written(channel, record)
        };
        self.writer
            .change(Order::synced("insert a channel"), work)
            .await
    }

    async fn find_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
    ) -> Result<Option<Channel>> {
        let work = move |sql: &Connection| match workspaces::require(sql, org, workspace) {
            Ok(()) => find(sql, workspace, id),
            Err(super::Fault::Store(StoreError::NotFound(_))) => Ok(None),
            Err(fault) => Err(fault),
        };
        self.read("find a channel", work).await
    }

    async fn list_channels(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<ChannelId>,
    ) -> Result<Vec<Channel>> {
        let select = format!("select {} from channels where workspace = ?", row::CHANNEL);
        let mut query = Query::new(select, workspace.to_string());
        if let Some(after) = page.after {
            query.and("and id < ?", [after.to_string().into()]);
        }
        query.and("order by id desc limit ?", [i64::from(page.limit).into()]);
        let work = move |sql: &Connection| {
            workspaces::require(sql, org, workspace)?;
            query.all(sql, row::channel)
        };
        self.read("list channels", work).await
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
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, org, workspace, acting)?;
            let channel = update(tx.sql, workspace, id, change)?;
            tx.written(channel, record)
        };
        self.writer
            .change(Order::synced("change a channel"), work)
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
        let statement = "delete from channels where workspace = ?1 and id = ?2";
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, org, workspace, acting)?;
            let bound = params![IdText::of(workspace), IdText::of(id)];
            if row::run(tx.sql, statement, bound)? == 0 {
                return Err(StoreError::NotFound("channel").into());
            }
            tx.written((), record)
        };
        self.writer
            .change(Order::synced("delete a channel"), work)
            .await
    }
}

fn insert(sql: &Connection, channel: &Channel) -> Outcome<()> {
    let statement = "insert into channels
         (id, workspace, name, kind, plain, credential_names, sealed, is_enabled, created_by,
          created_at, updated_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let bound = params![
        IdText::of(channel.id),
        IdText::of(channel.workspace),
        channel.name,
        channel.kind.as_str(),
        labels_to_json(&channel.plain),
        names_to_json(&channel.credential_names),
        channel.sealed,
        channel.is_enabled,
        channel.created_by.to_string(),
        channel.created_at.millis(),
        channel.updated_at.millis(),
    ];
    match row::run(sql, statement, bound) {
        Err(fault) if row::is_taken(&fault, "channels.id") => {
            Err(StoreError::Exists("channel").into())
        }
        Err(fault) => Err(fault),
        Ok(_) => Ok(()),
    }
}

fn find(sql: &Connection, workspace: WorkspaceId, id: ChannelId) -> Outcome<Option<Channel>> {
    let query = format!(
        "select {} from channels where workspace = ?1 and id = ?2",
        row::CHANNEL
    );
    row::first(
        sql,
        &query,
        params![IdText::of(workspace), IdText::of(id)],
        row::channel,
    )
}

fn update(
    sql: &Connection,
    workspace: WorkspaceId,
    id: ChannelId,
    change: ChannelChange,
) -> Outcome<Channel> {
    let mut channel = find(sql, workspace, id)?.ok_or(StoreError::NotFound("channel"))?;
    channel.name = change.name.unwrap_or(channel.name);
    if let Some((plain, credential_names, sealed)) = change.config {
        channel.plain = plain;
        channel.credential_names = credential_names;
        channel.sealed = sealed;
    }
    channel.is_enabled = change.is_enabled.unwrap_or(channel.is_enabled);
    channel.updated_at = change.at;
    let statement = "update channels set name = ?2, plain = ?3, credential_names = ?4, sealed = ?5,
         is_enabled = ?6, updated_at = ?7 where id = ?1";
    let bound = params![
        IdText::of(id),
        channel.name,
        labels_to_json(&channel.plain),
        names_to_json(&channel.credential_names),
        channel.sealed,
        channel.is_enabled,
        channel.updated_at.millis(),
    ];
    row::run(sql, statement, bound)?;
    Ok(channel)
}

fn names_to_json(names: &[String]) -> String {
    serde_json::to_string(names).unwrap_or_default()
}
