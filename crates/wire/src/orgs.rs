//! Orgs: for `ADMIN_TOKEN` alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /admin/orgs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrg {
    /// Its name: 1 to 63 lower-case letters, digits and `-`.
    #[schema(example = "acme")]
    pub name: String,
}

/// An org.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Org {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: String,
}

/// `GET /admin/orgs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OrgList {
    /// The orgs, oldest first.
    pub orgs: Vec<Org>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `DELETE /admin/orgs/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedOrg {
    /// The id of the deleted org.
    pub deleted: String,
    /// How many keys were revoked with it.
    pub keys_revoked: u64,
    /// How many workspace tokens were revoked with it.
    pub workspace_tokens_revoked: u64,
}
