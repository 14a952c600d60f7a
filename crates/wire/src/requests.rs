//! Requests for keys: ask and approve.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    keys::{Delegation, Grant, RateLimit, Workspaces},
    map::TextMap,
};

/// `POST /org/requests`. A field of the grant that is left out is that of the key that `for` names, or
/// else of whoever asks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyAsk {
    /// What people will call the key: 1 to 100 characters.
    #[schema(example = "report-writer")]
    pub name: String,
    /// Why it is needed: 1 to 1,000 characters in one line.
    #[schema(example = "the nightly report writes to the channel of the team")]
    pub justification: String,
    /// The key whose rights are too few: the asker itself, or one that it minted.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_key: Option<String>,
    /// A ready-made set of permissions: `reader`, `editor` or `admin`. Not together with `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Permissions, such as `channels:*` or `secrets:read`; `*` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Which workspaces the key is to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Workspaces>,
    /// Which routes the key is to reach, such as `GET /workspaces/*/channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// How long the key is to live from its collection on: `90s`, `15m`, `24h`, `30d`. Not together
    /// with `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub expires_in: Option<String>,
    /// When the key is to end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When the key is to begin (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Address ranges (CIDR) from which the key is to be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// How many requests the key may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How far the key may pass its authority on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// Free pairs that stay with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TextMap>,
}

/// The key that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WantedKey {
    /// Its name.
    pub name: String,
    /// What it is to do.
    pub grant: Grant,
    /// How long it is to live from its collection on. With neither this nor `expires_at` it lives as
    /// long as the key of whoever approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// When it is to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Free pairs.
    pub metadata: TextMap,
}

/// What was approved.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApprovedKey {
    /// What the key may do.
    pub grant: Grant,
    /// How long it lives from its collection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A request for a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyRequest {
    /// Its id.
    pub id: String,
    /// `pending`, `approved`, `denied`, `expired`, `withdrawn` or `collected`.
    pub status: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: String,
    /// Why.
    pub justification: String,
    /// What is asked for.
    pub wanted: WantedKey,
    /// The key whose rights are too few.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_key: Option<String>,
    /// When it expires, or would have: undecided 7 days after it was asked, uncollected 24 hours after
    /// it was approved.
    pub expires_at: String,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// What was said to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_note: Option<String>,
    /// What was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<ApprovedKey>,
    /// When its key was minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<String>,
    /// The key that was minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}

/// `GET /org/requests`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyRequestList {
    /// The requests, newest first.
    pub requests: Vec<KeyRequest>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `POST /org/requests/{id}/approve`; the body may be left out. A field narrows what was asked for; one
/// that is left out leaves it as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Fewer permissions, as a preset. Not together with `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Fewer permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Fewer workspaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Workspaces>,
    /// Fewer routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// A later beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Fewer addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// Fewer requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How far the key may pass its authority on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// A shorter life, from the collection on. Not together with `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// An earlier end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What the asker should know: at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /org/requests/{id}/deny`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenialRequest {
    /// What the asker should know: at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /org/requests/{id}/withdraw` and `/collect`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnRequestStep {}
