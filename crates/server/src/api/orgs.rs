//! `/admin/orgs`.

use claviger_core::{action::ManageOrgs, id::OrgId};
use claviger_store::{Org, OrgDeletion};
use claviger_wire::orgs as wire;
use http::{StatusCode, header};
use serde_json::json;

use super::keys::next_cursor;
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::orgs,
};

/// The longest name of an org.
const ORG_NAME_CHARS_MAX: usize = 63;

/// `POST /admin/orgs`.
///
/// # Errors
/// 409 when the name is taken, 422 when it is no name.
pub async fn create(mut call: Call<ManageOrgs>) -> Result<Reply, Failure> {
    let body: wire::NewOrg = call.json().await?;
    let is_good = (1..=ORG_NAME_CHARS_MAX).contains(&body.name.len())
        && body
            .name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !body.name.starts_with('-')
        && !body.name.ends_with('-');
    if !is_good {
        return Err(Failure::out_of_range(
            "name",
            "must be 1 to 63 lower-case letters, digits and `-`, and not begin or end with `-`",
        ));
    }
    let record = call.recorder(
        StatusCode::CREATED,
        |org: &Org| json!({"created_org": {"id": org.id.to_string(), "name": org.name}}),
    );
    let written = orgs::create(&call.app, &call.permit, body.name, record).await?;
    Ok(Reply::json(StatusCode::CREATED, &view(&written.value))
        .with(
            header::LOCATION,
            &format!("/admin/orgs/{}", written.value.id),
        )
        .written(written.receipt))
}

/// `GET /admin/orgs`.
///
/// # Errors
/// 503.
pub async fn list(call: Call<ManageOrgs>) -> Result<Reply, Failure> {
    let page = call.query(&["limit", "cursor"])?.page::<OrgId>()?;
    let limit = page.limit;
    let found = call.app.store.list_orgs(page).await?;
    let answer = wire::OrgList {
        next_cursor: next_cursor(&found, limit, |org| org.id.to_string()),
        orgs: found.iter().map(view).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `DELETE /admin/orgs/{id}`.
///
/// # Errors
/// As [`orgs::delete`].
pub async fn delete(call: Call<ManageOrgs>) -> Result<Reply, Failure> {
    let id: OrgId = call.id(0, "org")?;
    let record = call.recorder(StatusCode::OK, |deletion: &OrgDeletion| {
        json!({"deleted_org": {
            "id": deletion.org.id.to_string(),
            "name": deletion.org.name,
            "keys": deletion.keys.len(),
            "workspace_tokens": deletion.workspace_tokens.len(),
        }})
    });
    let written = orgs::delete(&call.app, &call.permit, id, record).await?;
    let count = |digests: &[[u8; 32]]| u64::try_from(digests.len()).unwrap_or(u64::MAX);
    let answer = wire::DeletedOrg {
        deleted: id.to_string(),
        keys_revoked: count(&written.value.keys),
        workspace_tokens_revoked: count(&written.value.workspace_tokens),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

fn view(org: &Org) -> wire::Org {
    wire::Org {
        id: org.id.to_string(),
        name: org.name.clone(),
        created_at: org.created_at.to_string(),
    }
}
