//! Orgs: for `ADMIN_TOKEN` alone.

use std::sync::Arc;

use claviger_core::{
    action::ManageOrgs,
    authorize::Permit,
    digest::Digest,
    id::OrgId,
    key::{Credential, KeyState, Revocation},
};
use claviger_store::{Org, OrgDeletion, Recorder, Written};

use crate::{app::App, clock, entropy, failure::Failure};

/// Creates an org.
///
/// # Errors
/// 409 when a living org has the name.
pub async fn create(
    app: &App,
    _permit: &Permit<ManageOrgs>,
    name: String,
    record: Recorder<Org>,
) -> Result<Written<Org>, Failure> {
    let now = clock::now();
    let org = Org {
        id: OrgId::from_parts(now, entropy::bits()),
        name,
        created_at: now,
    };
    let written = app.store.insert_org(org, record).await?;
    app.orgs.insert(&written.value);
    Ok(written)
}

/// Deletes an org: its keys and tokens are refused from then on. The org `default` stays.
///
/// # Errors
/// 404; 409 for `default`.
pub async fn delete(
    app: &Arc<App>,
    permit: &Permit<ManageOrgs>,
    id: OrgId,
    record: Recorder<OrgDeletion>,
) -> Result<Written<OrgDeletion>, Failure> {
    if id == app.default_org {
        return Err(Failure::Refused(
            "the org `default` cannot be deleted: the audit trail of this API lives in it",
        ));
    }
    let end = Revocation {
        at: clock::now(),
        by: permit.principal().actor.clone(),
        reason: Some("the org was deleted".to_owned()),
    };
    let written = app
        .store
        .delete_org(id, end, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    let alone = app.births.write().await;
    for digest in &written.value.keys {
        app.keys
            .change(&Digest::from_bytes(*digest), |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
    }
    drop(alone);
    super::workspaces::drop_tokens(app, &written.value.workspace_tokens).await;
    app.orgs.remove(id);
    app.sessions.end(|session| session.org == id);
    app.people.forget_org(id);
    app.waiting.forget_org(id);
    Ok(written)
}
