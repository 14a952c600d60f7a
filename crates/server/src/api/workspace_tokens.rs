//! `/workspaces/{id}/tokens`: the deprecated tier 3.

use claviger_core::{
    action::ManageWorkspaceTokens,
    id::WorkspaceTokenId,
    key::SHOWN_ONCE,
    text::{NAME_CHARS_MAX, parse_name},
};
use claviger_store::{RevokedKey, Written};
use claviger_wire::workspaces as wire;
use http::{StatusCode, header};
use serde_json::json;

use super::keys::next_cursor;
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::workspace_tokens,
};

/// `POST /workspaces/{id}/tokens`.
///
/// # Errors
/// As [`workspace_tokens::mint`].
pub async fn mint(mut call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let body: wire::NewWorkspaceToken = call.json_or_default().await?;
    let name = match body.name.as_deref() {
        None | Some("") => String::new(),
        Some(raw) => {
            parse_name(raw, NAME_CHARS_MAX).map_err(|error| Failure::out_of_range("name", error))?
        }
    };
    let (token, secret, receipt) =
        workspace_tokens::mint(&call.app, &call.permit, name, &call.trace).await?;
    let answer = wire::MintedWorkspaceToken {
        id: token.id.to_string(),
        prefix: token.prefix.to_string(),
        auth_token: secret.expose().to_owned(),
        warning: SHOWN_ONCE.to_owned(),
    };
    Ok(Reply::json(StatusCode::CREATED, &answer)
        .with(
            header::LOCATION,
            &format!("/workspaces/{}/tokens/{}", token.workspace, token.id),
        )
        .written(receipt))
}

/// `GET /workspaces/{id}/tokens`.
///
/// # Errors
/// 404, 503.
pub async fn list(call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let page = call
        .query(&["limit", "cursor"])?
        .page::<WorkspaceTokenId>()?;
    let limit = page.limit;
    let found = call
        .app
        .store
        .list_workspace_tokens(call.org(), call.workspace()?, page)
        .await?;
    let answer = wire::WorkspaceTokenList {
        next_cursor: next_cursor(&found, limit, |token| token.id.to_string()),
        tokens: found
            .iter()
            .map(|token| {
                let known = call.app.workspace_tokens.find_by_id(token.id);
                let used = token
                    .last_used_at
                    .max(known.and_then(|slot| slot.last_used()));
                wire::WorkspaceToken {
                    id: token.id.to_string(),
                    name: token.name.clone(),
                    prefix: token.prefix.to_string(),
                    created_by: token.minter.created_by.to_string(),
                    created_at: token.created_at.to_string(),
                    last_used_at: used.map(|at| at.to_string()),
                }
            })
            .collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `DELETE /workspaces/{id}/tokens/{tid}`.
///
/// # Errors
/// 404, 503.
pub async fn revoke(call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let id: WorkspaceTokenId = call.id(1, "workspace token")?;
    let written = end(&call, id, StatusCode::OK).await?;
    let answer = wire::RevokedWorkspaceToken {
        revoked: id.to_string(),
        revoked_at: clock::now().to_string(),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

/// Revokes a token; the record says that this status was answered.
pub(crate) async fn end(
    call: &Call<ManageWorkspaceTokens>,
    id: WorkspaceTokenId,
    status: StatusCode,
) -> Result<Written<RevokedKey<WorkspaceTokenId>>, Failure> {
    let record = call.recorder(status, |token: &RevokedKey<WorkspaceTokenId>| {
        json!({"revoked_workspace_token": {"id": token.id.to_string(), "prefix": token.prefix.as_str()}})
    });
    workspace_tokens::revoke(&call.app, &call.permit, id, record).await
}
