//! People, their sessions, and how they sign in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A link with which one browser signs in, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginLink {
    /// The address to open; what proves anything stands behind `#`, where no server and no log
    /// sees it.
    pub url: String,
    /// Until when it works.
    pub expires_at: String,
}

/// A person of the org.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its stable id, as the identity provider has it.
    pub id: String,
    /// Who vouches for it: the provider's issuer, or `local`.
    pub issuer: String,
    /// Shown beside the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// As people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The last known role.
    pub role: String,
    /// What that role comes to.
    pub permissions: Vec<String>,
    /// `active`, `suspended` or `removed`.
    pub state: String,
    /// When it first signed in.
    pub first_seen_at: String,
    /// When it last signed in.
    pub last_seen_at: String,
    /// How many living keys go back to it.
    pub keys: u64,
    /// How many sessions it has.
    pub sessions: u64,
    /// When it was suspended, removed or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// People of the org, by id.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MemberList {
    /// This part of them.
    pub members: Vec<Member>,
    /// Where the next part begins.
    pub next_cursor: Option<String>,
}

/// Why a person is suspended or restored.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberTurn {
    /// At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the removal of a person came to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RemovedMember {
    /// The person.
    pub removed: String,
    /// When the change was committed.
    pub removed_at: String,
    /// Keys that are refused from now on, by the public names of their secrets.
    pub revoked_prefixes: Vec<String>,
    /// Keys that go back to somebody else now.
    pub handed_over: Vec<String>,
    /// Who that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over_to: Option<String>,
    /// How many workspace tokens were revoked.
    pub workspace_tokens_revoked: u64,
    /// How many workspace tokens go back to somebody else now.
    pub workspace_tokens_handed_over: u64,
}

/// A session in a browser.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id; no secret.
    pub id: String,
    /// `link`, `admin_token`, `oidc` or `workos`.
    pub method: String,
    /// When it began.
    pub created_at: String,
    /// When it was last used, within some seconds.
    pub last_used_at: String,
    /// When it ends at the latest.
    pub expires_at: String,
    /// From where it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The browser, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Who acts as the person, where the provider says that somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    /// Whether the request itself came with it.
    pub is_current: bool,
}

/// Sessions, the one used last first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// All of them.
    pub sessions: Vec<Session>,
}

/// Sessions that ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EndedSessions {
    /// Their ids.
    pub ended: Vec<String>,
}
