//! What every backend tells of what lies in workspaces, for those who ask what a key reaches.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, WorkspaceId},
    time::Timestamp,
};

use crate::Result;

/// How much a workspace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentCount {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// How many channels.
    pub channels: u64,
    /// How many secrets.
    pub secrets: u64,
}

/// The name of something in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentName {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What people call it.
    pub name: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is in workspaces, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Channels, oldest first within each workspace.
    pub channels: Vec<ContentName>,
    /// Secrets, by name within each workspace.
    pub secrets: Vec<ContentName>,
}

/// What lies in workspaces. Lists of workspaces are of one org: those of another are as if they were
/// not named.
#[async_trait]
pub trait ReachStore: Send + Sync + 'static {
    /// How much each of these workspaces holds, by id; those that hold nothing too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn count_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
    ) -> Result<Vec<ContentCount>>;

    /// The names of what these workspaces hold, by the id of the workspace; at most `limit` channels
    /// and as many secrets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn name_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
        limit: u32,
    ) -> Result<Contents>;
}
