//! Workspaces: create, list, change, delete.

use std::sync::Arc;

use claviger_core::{
    action::{ChangeWorkspace, CreateWorkspace, DeleteWorkspace, ListWorkspaces},
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    grant::{Labels, WorkspaceFacts},
    id::WorkspaceId,
    key::{Credential, KeyState},
    permission::Permission,
};
use claviger_store::{Page, Recorder, Workspace, WorkspaceChange, WorkspaceDeletion, Written};

use crate::{app::App, clock, entropy, failure::Failure};

/// Creates a workspace; a bound caller only one that lies within its binding.
///
/// # Errors
/// 403 when the new workspace would be outside the binding.
pub async fn create(
    app: &App,
    permit: &Permit<CreateWorkspace>,
    (name, labels): (String, Labels),
    record: Recorder<Workspace>,
) -> Result<Written<Workspace>, Failure> {
    let principal = permit.principal();
    let now = clock::now();
    let id = WorkspaceId::from_parts(now, entropy::bits());
    if !permit.reaches(WorkspaceFacts {
        id,
        labels: Some(&labels),
    }) {
        return Err(Denial::OutsideWorkspaces.into());
    }
    // Labels decide what other keys reach.
    if !labels.is_empty() && !permit.is_unbound() && !permit.has(Permission::OrgAdmin) {
        return Err(Denial::MissingPermission(Permission::OrgAdmin).into());
    }
    let workspace = Workspace {
        id,
        org: principal.org,
        name,
        labels,
        created_by: principal.actor.clone(),
        created_at: now,
        updated_at: now,
    };
    let acting = super::acting(principal);
    Ok(app
        .store
        .insert_workspace(workspace, acting, record)
        .await?)
}

/// How many workspaces are looked at in one go.
const SCAN_PAGE: u32 = 500;

/// The part of the list that the caller reaches, filled up to the limit.
///
/// # Errors
/// 503.
pub async fn list(
    app: &App,
    permit: &Permit<ListWorkspaces>,
    page: Page<WorkspaceId>,
) -> Result<(Vec<Workspace>, Option<WorkspaceId>), Failure> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut after = page.after;
    loop {
        let part = app
            .store
            .list_workspaces(
                permit.org(),
                Page {
                    after,
                    limit: SCAN_PAGE,
                },
            )
            .await?;
        let is_last = u32::try_from(part.len()).is_ok_and(|count| count < SCAN_PAGE);
        for workspace in part {
            after = Some(workspace.id);
            let facts = WorkspaceFacts {
                id: workspace.id,
                labels: Some(&workspace.labels),
            };
            if permit.reaches(facts) {
                found.push(workspace);
                if found.len() == limit {
                    return Ok((found, after));
                }
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
}

/// Changes name and labels; labels widen other keys' selectors, so they need more.
///
/// # Errors
/// 403 without `org:admin` or an unbound grant, 404.
pub async fn change(
    app: &App,
    permit: &Permit<ChangeWorkspace>,
    change: WorkspaceChange,
    record: Recorder<Workspace>,
) -> Result<Written<Workspace>, Failure> {
    let id = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    if change.labels.is_some() && !permit.is_unbound() && !permit.has(Permission::OrgAdmin) {
        return Err(Denial::MissingPermission(Permission::OrgAdmin).into());
    }
    let acting = super::acting(permit.principal());
    Ok(app
        .store
        .change_workspace(permit.org(), id, change, acting, record)
        .await?)
}

/// Deletes a workspace with its channels and secrets; its tokens are refused from then on.
///
/// # Errors
/// 404.
pub async fn delete(
    app: &Arc<App>,
    permit: &Permit<DeleteWorkspace>,
    record: Recorder<WorkspaceDeletion>,
) -> Result<Written<WorkspaceDeletion>, Failure> {
    let id = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let acting = super::acting(permit.principal());
    let written = app
        .store
        .delete_workspace(permit.org(), id, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    drop_tokens(app, &written.value.tokens).await;
    Ok(written)
}

/// Refuses workspace tokens from now on.
pub(super) async fn drop_tokens(app: &App, digests: &[[u8; 32]]) {
    let alone = app.births.write().await;
    for digest in digests {
        app.workspace_tokens
            .change(&Digest::from_bytes(*digest), |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
    }
    drop(alone);
}
