//! `/workspaces/{id}/channels`.

use claviger_core::{
    action::{ReadChannels, WriteChannels},
    channel::{ChannelConfig, ChannelError, ChannelKind},
    id::ChannelId,
};
use claviger_store::{Channel, Written};
use claviger_wire::{channels as wire, map::TextMap};
use http::{StatusCode, header};
use serde_json::json;

use super::{keys::next_cursor, name};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::channels,
};

/// `POST /workspaces/{id}/channels`.
///
/// # Errors
/// As [`channels::create`], and 422 for a configuration that its kind does not take.
pub async fn create(mut call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let body: wire::NewChannel = call.json().await?;
    let written = add(&call, body, StatusCode::CREATED).await?;
    let channel = &written.value;
    Ok(Reply::json(StatusCode::CREATED, &view(channel))
        .with(
            header::LOCATION,
            &format!("/workspaces/{}/channels/{}", channel.workspace, channel.id),
        )
        .written(written.receipt))
}

/// Adds a channel as it is asked for; the record says that this status was answered.
pub(crate) async fn add(
    call: &Call<WriteChannels>,
    asked: wire::NewChannel,
    status: StatusCode,
) -> Result<Written<Channel>, Failure> {
    let kind: ChannelKind = asked
        .kind
        .parse()
        .map_err(|error| Failure::out_of_range("type", error))?;
    let config = ChannelConfig::check(kind, &asked.config.0).map_err(config_failure)?;
    let new = (
        name(asked.name.as_deref().unwrap_or(kind.as_str()))?,
        asked.enabled.unwrap_or(true),
    );
    let record = call.recorder(
        status,
        |channel: &Channel| json!({"created": described(channel)}),
    );
    channels::create(&call.app, &call.permit, new, config, record).await
}

/// `GET /workspaces/{id}/channels`.
///
/// # Errors
/// 404, 503.
pub async fn list(call: Call<ReadChannels>) -> Result<Reply, Failure> {
    let page = call.query(&["limit", "cursor"])?.page::<ChannelId>()?;
    let limit = page.limit;
    let found = call
        .app
        .store
        .list_channels(call.org(), call.workspace()?, page)
        .await?;
    let answer = wire::ChannelList {
        next_cursor: next_cursor(&found, limit, |channel| channel.id.to_string()),
        channels: found.iter().map(view).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /workspaces/{id}/channels/{cid}`.
///
/// # Errors
/// 404, 503.
pub async fn get(call: Call<ReadChannels>) -> Result<Reply, Failure> {
    let id = call.id(1, "channel")?;
    let found = call
        .app
        .store
        .find_channel(call.org(), call.workspace()?, id)
        .await?;
    Ok(Reply::json(
        StatusCode::OK,
        &view(&found.ok_or(Failure::NotFound("channel"))?),
    ))
}

/// `PATCH /workspaces/{id}/channels/{cid}`.
///
/// # Errors
/// 404, 422, 503.
pub async fn change(mut call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let id: ChannelId = call.id(1, "channel")?;
    let body: wire::ChannelChange = call.json().await?;
    let written = apply(&call, id, body, StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value)).written(written.receipt))
}

/// Changes a channel as it is asked for; the record says that this status was answered.
pub(crate) async fn apply(
    call: &Call<WriteChannels>,
    id: ChannelId,
    asked: wire::ChannelChange,
    status: StatusCode,
) -> Result<Written<Channel>, Failure> {
    let config = match asked.config {
        None => None,
        Some(map) => {
            let found = call
                .app
                .store
                .find_channel(call.org(), call.workspace()?, id)
                .await?;
            let kind = found.ok_or(Failure::NotFound("channel"))?.kind;
            Some(ChannelConfig::check(kind, &map.0).map_err(config_failure)?)
        }
    };
    let change = channels::Change {
        name: asked.name.as_deref().map(name).transpose()?,
        config,
        is_enabled: asked.enabled,
    };
    let record = call.recorder(
        status,
        |channel: &Channel| json!({"changed": described(channel)}),
    );
    channels::change(&call.app, &call.permit, id, change, record).await
}

/// `DELETE /workspaces/{id}/channels/{cid}`.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let id: ChannelId = call.id(1, "channel")?;
    let written = remove(&call, id, StatusCode::OK).await?;
    let answer = wire::Deleted {
        deleted: id.to_string(),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

/// Removes a channel; the record says that this status was answered.
pub(crate) async fn remove(
    call: &Call<WriteChannels>,
    id: ChannelId,
    status: StatusCode,
) -> Result<Written<()>, Failure> {
    let record = call.recorder(
        status,
        move |(): &()| json!({"deleted": {"id": id.to_string()}}),
    );
    let (org, workspace) = (call.org(), call.workspace()?);
    let store = &call.app.store;
    let removed = store.delete_channel(org, workspace, id, call.acting(), record);
    Ok(removed.await?)
}

fn config_failure(error: ChannelError) -> Failure {
    let field = if error.field == "config" {
        error.field
    } else {
        format!("config.{}", error.field)
    };
    Failure::OutOfRange {
        field,
        reason: error.reason,
    }
}

fn described(channel: &Channel) -> serde_json::Value {
    json!({
        "id": channel.id.to_string(),
        "name": channel.name,
        "type": channel.kind.as_str(),
        "enabled": channel.is_enabled,
        "credentials": channel.credential_names,
    })
}

fn view(channel: &Channel) -> wire::Channel {
    wire::Channel {
        id: channel.id.to_string(),
        kind: channel.kind.to_string(),
        name: channel.name.clone(),
        config: TextMap(channel.plain.clone()),
        credentials: channel.credential_names.clone(),
        enabled: channel.is_enabled,
        created_by: channel.created_by.to_string(),
        created_at: channel.created_at.to_string(),
        updated_at: channel.updated_at.to_string(),
    }
}
