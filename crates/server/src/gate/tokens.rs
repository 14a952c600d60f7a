//! Tier 1 by the word of the identity provider: access tokens, and sessions that are to be asked
//! about again. Both may wait for the provider, so they come before everything else.

use std::sync::Arc;

use claviger_core::{
    authenticate,
    denial::Denial,
    digest::Digest,
    evidence::{Presented, presented},
    id::OrgId,
    tier::{Actor, Principal, Tier},
    time::Timestamp,
};
use http::{header, request::Parts};

use super::{
    identify::{Identified, Proof, in_its_org},
    sessions::cookie_of,
    strangers::nobody,
};
use crate::{
    app::App,
    clock,
    ops::sso::{self, Bearer, RefusedBearer},
};

/// What the identity provider was asked, if it was.
pub(super) enum Word {
    /// It was not, or about a session: then the session says the rest.
    NotAsked,
    /// The caller presents an access token of this person.
    Of(Bearer),
    /// The caller presents an access token that is not taken.
    Refused(RefusedBearer),
}

/// Asks what is to be asked before the caller can be told.
///
/// What `waits` waits for an answer about the session that another request has asked for.
pub(super) async fn word_of_provider(app: &Arc<App>, parts: &Parts, waits: bool) -> Word {
    let now = clock::now();
    let bearers = parts.headers.get_all(header::AUTHORIZATION).iter();
    match presented(bearers.map(|value| value.as_bytes()), &app.brands) {
        Ok(Presented::Opaque(text)) if looks_like_token(text) && !app.admin_token.matches(text) => {
            match sso::bearer(app, text, now).await {
                Ok(bearer) => Word::Of(bearer),
                Err(refused) => Word::Refused(refused),
            }
        }
        Ok(Presented::Nothing) => {
            if let Ok(Some(id)) = cookie_of(app, parts)
                && let Some(live) = app.sessions.find(&Digest::of(id.as_bytes()))
            {
                sso::freshen(app, &live, (now, waits)).await;
            }
            Word::NotAsked
        }
        _ => Word::NotAsked,
    }
}

/// Three parts with dots between (RFC 7519, 3.1).
fn looks_like_token(text: &str) -> bool {
    text.len() > 40 && text.bytes().filter(|b| *b == b'.').count() == 2
}

/// Tier 1: a person's access token.
pub(super) fn with_access_token(
    app: &App,
    parts: &Parts,
    bearer: &Bearer,
    now: Timestamp,
) -> Identified {
    match accept_bearer(app, bearer, now) {
        Ok(principal) => {
            let proof = Proof::Person(Arc::new(bearer.clone()));
            in_its_org(app, parts, principal, proof)
        }
        Err(denial) => {
            let (person, other) = (&bearer.known.person, bearer.impersonator.clone());
            in_name_of((person.org, person.id.actor()), other, denial)
        }
    }
}

/// The refusal of an access token: in the name of its person, where that is known.
pub(super) fn refused_token(app: &App, refused: &RefusedBearer) -> Identified {
    match &refused.whose {
        Some((known, other)) => {
            let whose = (known.person.org, known.person.id.actor());
            in_name_of(whose, other.clone(), Denial::Unknown)
        }
        None => Identified::refused(app, Denial::Unknown),
    }
}

/// A refusal of a person who proved who it is: the record says whose it was, with no authority.
pub(super) fn in_name_of(
    (org, actor): (OrgId, Actor),
    impersonator: Option<Arc<str>>,
    denial: Denial,
) -> Identified {
    Identified {
        principal: Arc::new(Principal {
            tier: Tier::Session,
            actor,
            impersonator,
            ..nobody(org)
        }),
        identity: Err(denial),
    }
}

/// Who a person is that presented an access token, if it is still accepted.
pub(super) fn accept_bearer(
    app: &App,
    bearer: &Bearer,
    now: Timestamp,
) -> Result<Principal, Denial> {
    let before = &bearer.known.person;
    if now >= bearer.expires_at || app.orgs.name(before.org).is_none() {
        return Err(Denial::SessionEnded);
    }
    let known = app.people.get(before.org, before.id.as_str());
    let known = known.ok_or(Denial::SessionEnded)?;
    // Never more than the token itself says, though it be older than the last word.
    let grants = bearer.said.iter().chain([&known.grant]).map(Arc::clone);
    authenticate::person(
        &known.person,
        grants.collect(),
        (None, bearer.impersonator.clone()),
    )
}
