//! `/workspaces/{id}/secrets`.

use claviger_core::{
    action::{ListSecrets, RevealSecrets, WriteSecrets},
    text::{SECRET_VALUE_BYTES_MAX, parse_secret_name},
};
use claviger_store::{SecretName, Written};
use claviger_wire::{channels::Deleted, map::TextMap, secrets as wire};
use http::StatusCode;
use serde_json::json;
use zeroize::Zeroizing;

use super::keys::next_cursor;
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::secrets,
};

/// `POST` and `PUT /workspaces/{id}/secrets`.
///
/// # Errors
/// As [`secrets::put`], and 422 for a name or value that cannot be kept.
pub async fn put(mut call: Call<WriteSecrets>) -> Result<Reply, Failure> {
    let body: wire::NewSecret = call.json().await?;
    let is_post = call.trace.method == http::Method::POST;
    let status = move |secret: &SecretName| match (is_post, secret.version) {
        (true, 1) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let written = set(&call, body, status).await?;
    let status = status(&written.value);
    Ok(Reply::json(status, &view(&written.value)).written(written.receipt))
}

/// Sets a secret as it is asked for; the record says that this status was answered.
pub(crate) async fn set(
    call: &Call<WriteSecrets>,
    asked: wire::NewSecret,
    status: impl Fn(&SecretName) -> StatusCode + Send + 'static,
) -> Result<Written<SecretName>, Failure> {
    let value = Zeroizing::new(asked.value);
    let name =
        parse_secret_name(&asked.key).map_err(|error| Failure::out_of_range("key", error))?;
    if value.len() > SECRET_VALUE_BYTES_MAX {
        return Err(Failure::out_of_range(
            "value",
            format!("is longer than {SECRET_VALUE_BYTES_MAX} bytes"),
        ));
    }
    let trace = std::sync::Arc::clone(&call.trace);
    let record = Box::new(move |secret: &SecretName| {
        let change = json!({"set_secret": {"key": secret.name, "version": secret.version}});
        trace.entry_of_change(status(secret).as_u16(), &change)
    });
    secrets::put(&call.app, &call.permit, name, value, record).await
}

/// `GET /workspaces/{id}/secrets`.
///
/// # Errors
/// 404, 503.
pub async fn list(call: Call<ListSecrets>) -> Result<Reply, Failure> {
    let page = call.query(&["limit", "cursor"])?.page::<String>()?;
    let limit = page.limit;
    let found = call
        .app
        .store
        .list_secrets(call.org(), call.workspace()?, page)
        .await?;
    let answer = wire::SecretList {
        next_cursor: next_cursor(&found, limit, |secret| secret.name.clone()),
        secrets: found.iter().map(view).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /workspaces/{id}/secrets/values`.
///
/// # Errors
/// As [`secrets::reveal`].
pub async fn reveal(call: Call<RevealSecrets>) -> Result<Reply, Failure> {
    let values = TextMap(secrets::reveal(&call.app, &call.permit).await?);
    Ok(Reply::json(StatusCode::OK, &wire::SecretValues { values }))
}

/// `DELETE /workspaces/{id}/secrets/{key}`.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: Call<WriteSecrets>) -> Result<Reply, Failure> {
    let name = call.param(1).to_owned();
    let written = remove(&call, &name, StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &Deleted { deleted: name }).written(written.receipt))
}

/// Deletes a secret; the record says that this status was answered.
pub(crate) async fn remove(
    call: &Call<WriteSecrets>,
    name: &str,
    status: StatusCode,
) -> Result<Written<()>, Failure> {
    let said = name.to_owned();
    let record = call.recorder(
        status,
        move |(): &()| json!({"deleted_secret": {"key": said}}),
    );
    let (org, workspace) = (call.org(), call.workspace()?);
    let store = &call.app.store;
    let removed = store.delete_secret(org, workspace, name, call.acting(), record);
    Ok(removed.await?)
}

fn view(secret: &SecretName) -> wire::Secret {
    wire::Secret {
        key: secret.name.clone(),
        version: secret.version,
        created_by: secret.created_by.to_string(),
        created_at: secret.created_at.to_string(),
        updated_at: secret.updated_at.to_string(),
    }
}
