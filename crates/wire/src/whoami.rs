//! `GET /org/whoami`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keys::Grant;

/// The caller's own principal: the first `curl` with a new key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The label in the audit trail.
    #[schema(example = "org-token:mole_a1b2c3d4")]
    pub actor: String,
    /// How the caller proved itself: `0`, `1`, `2a` or `2b`.
    pub tier: String,
    /// The org.
    pub org: OrgName,
    /// The key, where the caller is one.
    pub key: Option<OwnKey>,
    /// The person, where a session or an access token was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<OwnPerson>,
    /// Where the chain of authority began.
    pub root: String,
    /// The caller's own grant.
    pub grant: Grant,
    /// The grants of the keys above it, nearest first: each of them limits too.
    pub within: Vec<Grant>,
    /// The ceiling of the org's policy, where there is one: it limits too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Grant>,
}

/// An org by id and name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OrgName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The key that the caller presented.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// Who minted it.
    pub created_by: String,
    /// When it was minted.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
}

/// The person whose session or access token was presented.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnPerson {
    /// Its stable id, as the identity provider has it.
    pub id: String,
    /// Shown beside the id; never trusted for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// As people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The last known role.
    pub role: String,
    /// Who acts as the person, where the provider says that somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    /// The session, where it is one in a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When the access token ends, or the session if it is not used meanwhile.
    pub expires_at: String,
}
