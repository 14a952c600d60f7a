//! Workspace secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::map::TextMap;

/// `POST` or `PUT /workspaces/{id}/secrets`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Its name: letters, digits, `_`, `.` and `-`, at most 128.
    #[schema(example = "OPENAI_API_KEY")]
    pub key: String,
    /// Its value, at most 64 KiB.
    pub value: String,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A secret without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub key: String,
    /// How often it was set.
    pub version: u64,
    /// Who set it first.
    pub created_by: String,
    /// When it was first set.
    pub created_at: String,
    /// When it was last set.
    pub updated_at: String,
}

/// `GET /workspaces/{id}/secrets`: names, never values.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// The secrets, by name.
    pub secrets: Vec<Secret>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `GET /workspaces/{id}/secrets/values`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretValues {
    /// The values by name.
    pub values: TextMap,
}

impl std::fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretValues")
            .field("count", &self.values.0.len())
            .finish_non_exhaustive()
    }
}
