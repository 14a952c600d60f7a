//! `GET /org/whoami`.

use claviger_core::action::WhoAmI;
use claviger_wire::whoami as wire;
use http::StatusCode;

use super::grant_view;
use crate::{
    failure::Failure,
    gate::{Call, Reply},
};

/// The caller's own principal, from memory alone.
///
/// # Errors
/// None of its own.
pub async fn whoami(call: Call<WhoAmI>) -> Result<Reply, Failure> {
    let principal = call.permit.principal();
    let mut grants = principal
        .authority
        .layers()
        .iter()
        .map(|grant| grant_view(grant));
    let own = grants
        .next()
        .ok_or_else(|| Failure::Internal("a principal without authority".to_owned()))?;
    let answer = wire::WhoAmI {
        actor: principal.actor.to_string(),
        tier: principal.tier.as_str().to_owned(),
        org: wire::OrgName {
            id: principal.org.to_string(),
            name: call
                .app
                .orgs
                .name(principal.org)
                .unwrap_or_default()
                .to_string(),
        },
        key: call.slot.as_ref().map(|slot| {
            let key = &slot.credential;
            wire::OwnKey {
                id: key.id.to_string(),
                name: key.name.to_string(),
                prefix: key.prefix.to_string(),
                created_by: key.minter.created_by.to_string(),
                created_at: key.id.created_at().to_string(),
                expires_at: key.expires().map(|at| at.to_string()),
            }
        }),
        root: principal.root().to_string(),
        grant: own,
        within: grants.collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}
