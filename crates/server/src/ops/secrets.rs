//! Workspace secrets: sealed on the way in, opened for those who may.

use std::{collections::BTreeMap, sync::Arc};

use claviger_core::{
    action::{RevealSecrets, WriteSecrets},
    authorize::Permit,
};
use claviger_store::{NewSecret, Recorder, SecretName, Written};
use zeroize::Zeroizing;

use crate::{
    app::App,
    failure::Failure,
    seal::{Place, Sealer},
};

/// Sets a secret.
///
/// # Errors
/// 404 when the workspace is gone, 409 when it has too many secrets.
pub async fn put(
    app: &Arc<App>,
    permit: &Permit<WriteSecrets>,
    name: String,
    value: Zeroizing<String>,
    record: Recorder<SecretName>,
) -> Result<Written<SecretName>, Failure> {
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let org = permit.org();
    let acting = super::acting(permit.principal());
    // Random bits are drawn here: the store has no way to take a failure inside its transaction.
    let nonce = Sealer::nonce()?;
    let seal: claviger_store::Sealer = {
        let (app, name) = (Arc::clone(app), name.clone());
        Box::new(move |version| {
            let place = Place::Secret {
                org,
                workspace,
                name: &name,
                version,
            };
            // Only a value of many gigabytes cannot be encrypted; values are limited to far less.
            app.sealer
                .seal_with(nonce, place, value.as_bytes())
                .unwrap_or_default()
        })
    };
    let created_by = permit.principal().actor.clone();
    let secret = NewSecret {
        name,
        created_by,
        seal,
    };
    Ok(app
        .store
        .put_secret(org, workspace, secret, acting, record)
        .await?)
}

/// All values of the workspace.
///
/// # Errors
/// 404 when the workspace is gone, 500 when a value does not open.
pub async fn reveal(
    app: &App,
    permit: &Permit<RevealSecrets>,
) -> Result<BTreeMap<String, String>, Failure> {
    let workspace = permit.workspace().ok_or(Failure::NotFound("workspace"))?;
    let org = permit.org();
    let acting = super::acting(permit.principal());
    let rows = app.store.reveal_secrets(org, workspace, acting).await?;
    let open = |row: &claviger_store::SecretRow| {
        let place = Place::Secret {
            org,
            workspace,
            name: &row.name,
            version: row.version,
        };
        let plain = app.sealer.open(place, &row.sealed)?;
        match String::from_utf8(plain.to_vec()) {
            Ok(text) => Ok((row.name.clone(), text)),
            Err(_) => Err(Failure::Internal(format!(
                "secret `{}` is not text",
                row.name
            ))),
        }
    };
    rows.iter().map(open).collect()
}
