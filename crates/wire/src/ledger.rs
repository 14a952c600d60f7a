//! The audit trail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /org/audit`. Also the shape that clients read; the server writes the kept bytes as they are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The records, newest first.
    pub events: Vec<Event>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// One record. Members that do not apply are left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number in the org's trail, from 1, without gaps.
    pub seq: u64,
    /// Its id, also the `X-Request-Id` of the request.
    pub id: String,
    /// When the request began.
    pub time: String,
    /// The org.
    pub org: String,
    /// `request`, `break_glass`, `bootstrap`, `refusals` or `operation`.
    pub kind: String,
    /// How the caller proved itself.
    pub tier: String,
    /// Who acted.
    pub actor: String,
    /// The key that was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The keys above it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// Where the chain of authority began.
    pub root: String,
    /// Who acted as the person, where the identity provider said that somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    /// The method.
    pub method: String,
    /// The decoded path.
    pub path: String,
    /// The pattern of the route.
    pub route: String,
    /// The workspace that the path names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The status that was answered.
    pub status: u16,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The stable code of a refusal or error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The caller's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How many requests the record stands for; left out for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub change: Option<serde_json::Value>,
}
