//! Channels: kept, with their credentials sealed.

use claviger_core::{
    action::WriteChannels, authorize::Permit, channel::ChannelConfig, id::ChannelId,
};
use claviger_store::{Channel, ChannelChange, Recorder, Sealed, Written};

use crate::{app::App, clock, entropy, failure::Failure, seal::Place};

/// Adds a channel.
///
/// # Errors
/// 404 when the workspace is gone.
pub async fn create(
    app: &App,
    permit: &Permit<WriteChannels>,
    (name, is_enabled): (String, bool),
    config: ChannelConfig,
    record: Recorder<Channel>,
) -> Result<Written<Channel>, Failure> {
    let principal = permit.principal();
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let now = clock::now();
    let id = ChannelId::from_parts(now, entropy::bits());
    let sealed = seal(app, permit, id, &config)?;
    let channel = Channel {
        id,
        workspace,
        name,
        kind: config.kind,
        credential_names: config.credentials.into_keys().collect(),
        plain: config.plain,
        sealed,
        is_enabled,
        created_by: principal.actor.clone(),
        created_at: now,
        updated_at: now,
    };
    let acting = super::acting(principal);
    Ok(app
        .store
        .insert_channel(principal.org, channel, acting, record)
        .await?)
}

/// What a change of a channel asks for, checked.
#[derive(Debug)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new configuration, whole.
    pub config: Option<ChannelConfig>,
    /// Whether it may be used.
    pub is_enabled: Option<bool>,
}

/// Changes a channel.
///
/// # Errors
/// 404.
pub async fn change(
    app: &App,
    permit: &Permit<WriteChannels>,
    id: ChannelId,
    change: Change,
    record: Recorder<Channel>,
) -> Result<Written<Channel>, Failure> {
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let now = clock::now();
    let config = match change.config {
        None => None,
        Some(config) => {
            let sealed = seal(app, permit, id, &config)?;
            Some((
                config.plain,
                config.credentials.into_keys().collect(),
                sealed,
            ))
        }
    };
    let change = ChannelChange {
        name: change.name,
        config,
        is_enabled: change.is_enabled,
        at: now,
    };
    let acting = super::acting(permit.principal());
    Ok(app
        .store
        .change_channel(permit.org(), workspace, id, change, acting, record)
        .await?)
}

fn seal(
    app: &App,
    permit: &Permit<WriteChannels>,
    id: ChannelId,
    config: &ChannelConfig,
) -> Result<Sealed, Failure> {
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let plain =
        zeroize::Zeroizing::new(serde_json::to_vec(&config.credentials).unwrap_or_default());
    Ok(app.sealer.seal(
        Place::Channel {
            org: permit.org(),
            workspace,
            id,
        },
        &plain,
    )?)
}
