//! `/workspaces`.

use claviger_core::{
    action::{ChangeWorkspace, CreateWorkspace, DeleteWorkspace, ListWorkspaces, ReadWorkspace},
    id::WorkspaceId,
};
use claviger_store::{Workspace, WorkspaceChange, WorkspaceDeletion, Written};
use claviger_wire::{map::TextMap, workspaces as wire};
use http::{StatusCode, header};
use serde_json::json;

use super::{name, texts};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::workspaces,
};

/// `POST /workspaces`.
///
/// # Errors
/// As [`workspaces::create`].
pub async fn create(mut call: Call<CreateWorkspace>) -> Result<Reply, Failure> {
    let body: wire::NewWorkspace = call.json().await?;
    let written = make(&call, body, StatusCode::CREATED).await?;
    Ok(Reply::json(StatusCode::CREATED, &view(&written.value))
        .with(
            header::LOCATION,
            &format!("/workspaces/{}", written.value.id),
        )
        .written(written.receipt))
}

/// Creates a workspace as it is asked for; the record says that this status was answered.
pub(crate) async fn make(
    call: &Call<CreateWorkspace>,
    asked: wire::NewWorkspace,
    status: StatusCode,
) -> Result<Written<Workspace>, Failure> {
    let new = (
        name(&asked.name)?,
        texts("labels", asked.labels.unwrap_or_default())?,
    );
    let record = call.recorder(
        status,
        |workspace: &Workspace| json!({"created": described(workspace)}),
    );
    workspaces::create(&call.app, &call.permit, new, record).await
}

/// `GET /workspaces`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 503.
pub async fn list(call: Call<ListWorkspaces>) -> Result<Reply, Failure> {
    let page = call.query(&["limit", "cursor"])?.page::<WorkspaceId>()?;
    let (found, next) = workspaces::list(&call.app, &call.permit, page).await?;
    let answer = wire::WorkspaceList {
        workspaces: found.iter().map(view).collect(),
        next_cursor: next.map(|id| id.to_string()),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /workspaces/{id}`.
///
/// # Errors
/// 404, 503.
pub async fn get(call: Call<ReadWorkspace>) -> Result<Reply, Failure> {
    let found = call
        .app
        .store
        .find_workspace(call.org(), call.workspace()?)
        .await?;
    Ok(Reply::json(
        StatusCode::OK,
        &view(&found.ok_or(Failure::NotFound("workspace"))?),
    ))
}

/// `PATCH /workspaces/{id}`.
///
/// # Errors
/// As [`workspaces::change`].
pub async fn change(mut call: Call<ChangeWorkspace>) -> Result<Reply, Failure> {
    let body: wire::WorkspaceChange = call.json().await?;
    let written = apply(&call, body, StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value)).written(written.receipt))
}

/// Changes a workspace as it is asked for; the record says that this status was answered.
pub(crate) async fn apply(
    call: &Call<ChangeWorkspace>,
    asked: wire::WorkspaceChange,
    status: StatusCode,
) -> Result<Written<Workspace>, Failure> {
    let change = WorkspaceChange {
        name: asked.name.as_deref().map(name).transpose()?,
        labels: asked.labels.map(|map| texts("labels", map)).transpose()?,
        at: clock::now(),
    };
    let record = call.recorder(
        status,
        |workspace: &Workspace| json!({"changed": described(workspace)}),
    );
    workspaces::change(&call.app, &call.permit, change, record).await
}

/// `DELETE /workspaces/{id}`.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: Call<DeleteWorkspace>) -> Result<Reply, Failure> {
    let id = call.workspace()?;
    let written = drop_whole(&call, StatusCode::OK).await?;
    let answer = wire::DeletedWorkspace {
        deleted: id.to_string(),
        channels: written.value.channels,
        secrets: written.value.secrets,
        tokens_revoked: u64::try_from(written.value.tokens.len()).unwrap_or(u64::MAX),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

/// Deletes the workspace of the call; the record says that this status was answered.
pub(crate) async fn drop_whole(
    call: &Call<DeleteWorkspace>,
    status: StatusCode,
) -> Result<Written<WorkspaceDeletion>, Failure> {
    let id = call.workspace()?;
    let record = call.recorder(status, move |deletion: &WorkspaceDeletion| {
        json!({"deleted": {
            "id": id.to_string(),
            "channels": deletion.channels,
            "secrets": deletion.secrets,
            "tokens": deletion.tokens.len(),
        }})
    });
    workspaces::delete(&call.app, &call.permit, record).await
}

fn described(workspace: &Workspace) -> serde_json::Value {
    json!({
        "id": workspace.id.to_string(),
        "name": workspace.name,
        "labels": workspace.labels,
    })
}

fn view(workspace: &Workspace) -> wire::Workspace {
    wire::Workspace {
        id: workspace.id.to_string(),
        name: workspace.name.clone(),
        labels: TextMap(workspace.labels.clone()),
        created_by: workspace.created_by.to_string(),
        created_at: workspace.created_at.to_string(),
        updated_at: workspace.updated_at.to_string(),
    }
}
