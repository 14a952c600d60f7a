//! Tier 1: the session in the cookie of the Canvas.

use std::{net::IpAddr, sync::Arc};

use claviger_core::{
    authenticate,
    denial::Denial,
    digest::Digest,
    evidence::cookie,
    tier::{Authority, Principal},
    time::Timestamp,
};
use http::{header, request::Parts};

use super::{
    identify::{Identified, Proof, in_its_org},
    tokens::in_name_of,
};
use crate::{acceptance::accept_key, app::App, people::LiveSession};

/// The random id in the cookie of the Canvas.
pub(super) fn cookie_of<'a>(app: &App, parts: &'a Parts) -> Result<Option<&'a str>, Denial> {
    let headers = parts.headers.get_all(header::COOKIE).iter();
    cookie(headers.map(|value| value.as_bytes()), app.config.cookie())
}

/// Tier 1: the cookie of the Canvas.
pub(super) fn with_session(
    app: &App,
    parts: &Parts,
    id: &str,
    (client, now, comes_from_us): (IpAddr, Timestamp, bool),
) -> Identified {
    let Some(live) = app.sessions.find(&Digest::of(id.as_bytes())) else {
        return Identified::refused(app, Denial::SessionEnded);
    };
    match accept_session(app, &live, now) {
        // Its owner does not do this: it says so in the trail, and nothing is done.
        Ok(principal) if !comes_from_us => Identified {
            principal: Arc::new(Principal {
                authority: Authority::default(),
                ..principal
            }),
            identity: Err(Denial::CrossSite),
        },
        Ok(principal) => {
            live.touch(now);
            // What the key's own session does, the key does: but with no secret that it has.
            if let Some(key) = principal.key {
                app.other_uses.touch(key, now, client);
            }
            in_its_org(app, parts, principal, Proof::Session(live))
        }
        Err(denial) => {
            let session = &live.session;
            let other = session.impersonator.as_deref().map(Arc::from);
            in_name_of((session.org, session.person.actor()), other, denial)
        }
    }
}

/// Who a session is, if it is still accepted.
pub(super) fn accept_session(
    app: &App,
    live: &LiveSession,
    now: Timestamp,
) -> Result<Principal, Denial> {
    let session = &live.session;
    let is_over = session.is_over(live.seen_at(), app.sessions.idle, now);
    let is_of_old_token =
        session.admin_token.is_some() && session.admin_token != app.admin_token.fingerprint();
    if is_over || is_of_old_token || app.orgs.name(session.org).is_none() {
        return Err(Denial::SessionEnded);
    }
    let known = app
        .people
        .get(session.org, session.person.as_str())
        // People sign in at one place: where a provider is set, there, and with none, here.
        .filter(|known| app.is_vouched_for(&known.person))
        .ok_or(Denial::SessionEnded)?;
    let proof = (
        Some(session.id),
        session.impersonator.as_deref().map(Arc::from),
    );
    let maker = session.minter.as_ref().and_then(|m| m.chain.first());
    match maker {
        None => {
            let grants = vec![Arc::clone(&known.grant)];
            let person = authenticate::person(&known.person, grants, proof)?;
            Ok(Principal {
                is_break_glass: session.admin_token.is_some(),
                ..person
            })
        }
        Some(key) => {
            let slot = app.keys.find_by_id(*key).ok_or(Denial::SessionEnded)?;
            // How the key stands is for whoever holds its secret to know.
            let key = accept_key(app, &slot.credential, now).or(Err(Denial::SessionEnded))?;
            authenticate::through_key(&known.person, key, proof)
        }
    }
}
