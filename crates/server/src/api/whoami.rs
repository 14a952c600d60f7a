//! `GET /org/whoami`.

use claviger_core::{
    action::WhoAmI,
    json::{push, push_string},
    ledger::entry::push_actor,
    tier::Principal,
};
use claviger_wire::whoami::OwnPerson;
use http::StatusCode;

use super::grant_view;
use crate::{
    failure::Failure,
    gate::{Call, KeySlot, Reply},
    ops::sign_ins,
};

/// Room for the answer to a plain key.
const BYTES: usize = 768;

/// The caller's own principal, from memory alone.
///
/// # Errors
/// None of its own.
pub async fn whoami(call: Call<WhoAmI>) -> Result<Reply, Failure> {
    let principal = call.permit.principal();
    let org = call.app.orgs.name(principal.org).unwrap_or_default();
    let person = own_person(&call);
    let answer = render(principal, &org, (call.key().as_ref(), person.as_ref()));
    Ok(Reply::body(StatusCode::OK, "application/json", answer))
}

/// The person, where the caller is one.
fn own_person(call: &Call<WhoAmI>) -> Option<OwnPerson> {
    let expires_at = call.ends_at()?;
    let principal = call.permit.principal();
    let person = sign_ins::person(&call.app, principal)?;
    Some(OwnPerson {
        id: person.id.to_string(),
        email: person.email,
        name: person.name,
        role: person.role,
        impersonator: principal.impersonator.as_deref().map(str::to_owned),
        session: principal.session.map(|id| id.to_string()),
        expires_at: expires_at.to_string(),
    })
}

/// The JSON of [`claviger_wire::whoami::WhoAmI`], written by hand: this is the route that every
/// gateway and health check calls, and the shape as a value took five times as long to write.
fn render(
    principal: &Principal,
    org: &str,
    (slot, person): (Option<&KeySlot>, Option<&OwnPerson>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(BYTES);
    let to = &mut out;
    push(to, "{\"actor\":");
    push_actor(to, &principal.actor);
    push(to, ",\"tier\":");
    push_string(to, principal.tier.as_str());
    push(to, ",\"org\":{\"id\":\"");
    principal.org.push_to(to);
    push(to, "\",\"name\":");
    push_string(to, org);
    push(to, "},\"key\":");
    match slot {
        Some(slot) => push_key(to, slot),
        None => push(to, "null"),
    }
    if let Some(person) = person {
        push(to, ",\"person\":");
        to.extend(serde_json::to_vec(person).unwrap_or_default());
    }
    push(to, ",\"root\":");
    push_actor(to, principal.root());
    let mut lead = ",\"grant\":";
    let layers = principal.authority.layers();
    for (at, grant) in layers.iter().enumerate() {
        push(to, lead);
        if grant.is_unlimited() {
            push(to, "{\"permissions\":[\"*\"],\"workspaces\":\"*\"}");
        } else {
            // Our own shapes always serialize.
            to.extend(serde_json::to_vec(&grant_view(grant)).unwrap_or_default());
        }
        lead = if at == 0 { ",\"within\":[" } else { "," };
    }
    push(
        to,
        if layers.len() > 1 {
            "]"
        } else {
            ",\"within\":[]"
        },
    );
    if let Some(ceiling) = principal.authority.ceiling() {
        push(to, ",\"policy\":");
        to.extend(serde_json::to_vec(&grant_view(ceiling)).unwrap_or_default());
    }
    to.push(b'}');
    out
}

fn push_key(to: &mut Vec<u8>, slot: &KeySlot) {
    let key = &slot.credential;
    push(to, "{\"id\":\"");
    key.id.push_to(to);
    push(to, "\",\"name\":");
    push_string(to, &key.name);
    push(to, ",\"prefix\":");
    push_string(to, key.prefix.as_str());
    push(to, ",\"created_by\":");
    push_actor(to, &key.minter.created_by);
    push(to, ",\"created_at\":\"");
    key.id.created_at().push_to(to);
    push(to, "\",\"expires_at\":");
    match key.expires() {
        Some(at) => {
            to.push(b'"');
            at.push_to(to);
            to.push(b'"');
        }
        None => push(to, "null"),
    }
    to.push(b'}');
}
