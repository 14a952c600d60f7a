//! Workspaces, and their deprecated tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::map::TextMap;

/// `POST /workspaces`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkspace {
    /// What people will call it: 1 to 100 characters.
    #[schema(example = "data-pipeline")]
    pub name: String,
    /// Labels, which grants can select by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<TextMap>,
}

/// `PATCH /workspaces/{id}`. A field that is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceChange {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new labels, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<TextMap>,
}

/// A workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: TextMap,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// `GET /workspaces`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceList {
    /// The workspaces that the caller reaches, newest first.
    pub workspaces: Vec<Workspace>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `DELETE /workspaces/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedWorkspace {
    /// The id of the deleted workspace.
    pub deleted: String,
    /// How many channels went with it.
    pub channels: u64,
    /// How many secrets went with it.
    pub secrets: u64,
    /// How many of its tokens were revoked.
    pub tokens_revoked: u64,
}

/// `POST /workspaces/{id}/tokens`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkspaceToken {
    /// What people will call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The one answer that shows the secret of a workspace token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MintedWorkspaceToken {
    /// Its id.
    pub id: String,
    /// The public name of its secret.
    pub prefix: String,
    /// The secret. It is shown here and nowhere else.
    pub auth_token: String,
    /// `copy this token now; it will not be shown again`
    pub warning: String,
}

impl std::fmt::Debug for MintedWorkspaceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedWorkspaceToken")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A workspace token as it is listed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceToken {
    /// Its id.
    pub id: String,
    /// Its name; may be empty.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last accepted.
    pub last_used_at: Option<String>,
}

/// `GET /workspaces/{id}/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceTokenList {
    /// The living tokens, newest first.
    pub tokens: Vec<WorkspaceToken>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `DELETE /workspaces/{id}/tokens/{tid}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevokedWorkspaceToken {
    /// The id of the revoked token.
    pub revoked: String,
    /// When.
    pub revoked_at: String,
}
