//! Channels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::map::TextMap;

/// `POST /workspaces/{id}/channels`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// `slack`, `discord`, `telegram`, `lark` or `webhook`.
    #[serde(rename = "type")]
    #[schema(example = "slack")]
    pub kind: String,
    /// What people will call it; the kind if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The fields of its kind. Slack: `webhook_url`, or `bot_token` and `channel`. Discord:
    /// `webhook_url`. Telegram: `bot_token`, `chat_id`. Lark: `webhook_url`, `signing_secret`?.
    /// Webhook: `url`, `signing_secret`?.
    pub config: TextMap,
    /// Whether it may be used; true if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `PATCH /workspaces/{id}/channels/{cid}`. A field that is left out stays.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelChange {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new configuration, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<TextMap>,
    /// Whether it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for NewChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewChannel")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ChannelChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelChange")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A channel; never its credentials.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The part of the configuration that is no credential.
    pub config: TextMap,
    /// The names of the credentials that are kept, sealed.
    pub credentials: Vec<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// `GET /workspaces/{id}/channels`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChannelList {
    /// The channels, newest first.
    pub channels: Vec<Channel>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// Something was deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    /// The id or name of what was deleted.
    pub deleted: String,
}
