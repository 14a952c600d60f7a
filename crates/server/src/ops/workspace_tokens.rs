//! The deprecated tokens of one workspace.

use std::sync::Arc;

use claviger_core::{
    action::ManageWorkspaceTokens,
    authorize::Permit,
    grant::Grant,
    id::WorkspaceTokenId,
    key::WorkspaceTokenRow,
    token::{Brand, Secret},
};
use claviger_store::{Receipt, Recorder, RevokedKey, StoreError, Written};

use crate::{
    app::App, clock, entropy, failure::Failure, load::workspace_token_credential, trace::Trace,
};

const PREFIX_TRIES: usize = 5;

/// Makes a token; its secret is in the answer and nowhere else.
///
/// # Errors
/// 404 when the workspace is gone, 429 beyond the mint limit.
pub async fn mint(
    app: &App,
    permit: &Permit<ManageWorkspaceTokens>,
    name: String,
    trace: &Arc<Trace>,
) -> Result<(WorkspaceTokenRow, Secret, Receipt), Failure> {
    let principal = permit.principal();
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    // What the token may do must be within what its maker may do.
    if let Some(field) = permit.field_beyond(&Grant::workspace_token(workspace)) {
        return Err(Failure::BeyondMinter(field));
    }
    let now = clock::now();
    app.mint_limiter.check(principal, now)?;
    for _ in 0..PREFIX_TRIES {
        let secret = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &entropy::for_secret()?);
        let digest = *secret.digest().as_bytes();
        let token = WorkspaceTokenRow {
            id: WorkspaceTokenId::from_parts(now, entropy::bits()),
            org: principal.org,
            workspace,
            name: name.clone(),
            prefix: secret.prefix(),
            minter: principal.as_minter(),
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        let record = {
            let trace = Arc::clone(trace);
            Box::new(move |token: &WorkspaceTokenRow| {
                let made = serde_json::json!({"id": token.id.to_string(), "prefix": token.prefix.as_str()});
                trace.entry_of_change(201, &serde_json::json!({"minted_workspace_token": made}))
            })
        };
        let acting = super::acting(principal);
        let birth = app.births.read().await;
        let outcome = app
            .store
            .insert_workspace_token(token, digest, acting, record)
            .await;
        match outcome {
            Ok(Written {
                value: token,
                receipt,
            }) => {
                app.workspace_tokens
                    .put(workspace_token_credential(&token, digest), None);
                drop(birth);
                return Ok((token, secret, receipt));
            }
            Err(StoreError::PrefixTaken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Internal("no free prefix was found".to_owned()))
}

/// Revokes a token.
///
/// # Errors
/// 404.
pub async fn revoke(
    app: &Arc<App>,
    permit: &Permit<ManageWorkspaceTokens>,
    id: WorkspaceTokenId,
    record: Recorder<RevokedKey<WorkspaceTokenId>>,
) -> Result<Written<RevokedKey<WorkspaceTokenId>>, Failure> {
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let acting = super::acting(permit.principal());
    let written = app
        .store
        .revoke_workspace_token(permit.org(), workspace, id, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    super::workspaces::drop_tokens(app, &[written.value.digest]).await;
    Ok(written)
}
