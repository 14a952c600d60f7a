//! What the gate asks of pages, and of whoever uses a session.

use claviger_core::{
    action::{Action, Needs, UseAccount},
    denial::Denial,
    evidence::FetchSite,
    tier::Tier,
};
use claviger_wire::headers;
use http::{Method, request::Parts};

use super::{Admitted, Proof, Wants};
use crate::{app::App, trace::Trace};

/// Whether a browser would use a session for this request, by what it says of its site.
pub(super) fn comes_from_us(app: &App, parts: &Parts, is_page: bool) -> bool {
    // Given more than once, it says nothing that counts.
    let text = |name: &str| {
        let mut all = parts.headers.get_all(name).iter();
        let first = all.next()?.to_str().unwrap_or("unreadable");
        Some(if all.next().is_none() {
            first
        } else {
            "repeated"
        })
    };
    let host = text("host").unwrap_or_default();
    let own = match &app.config.public_url {
        Some(url) => url.clone(),
        None => format!("http://{host}"),
    };
    let fetch = FetchSite {
        site: text(headers::SEC_FETCH_SITE),
        mode: text(headers::SEC_FETCH_MODE),
        dest: text(headers::SEC_FETCH_DEST),
        origin: text("origin"),
        own: &own,
        is_read: matches!(parts.method, Method::GET | Method::HEAD),
        is_page,
    };
    fetch.may_use_session()
}

/// A session about which the provider has not been heard for too long only reads.
pub(super) fn check_freshness(wants: Wants, trace: &Trace, proof: &Proof) -> Result<(), Denial> {
    let Some(live) = proof.session() else {
        return Ok(());
    };
    let fresh_until = live.session.fresh_until;
    let is_stale = fresh_until.is_some_and(|until| until <= trace.at);
    if is_stale && wants_fresh_word(wants, &trace.method) {
        return Err(Denial::Stale);
    }
    Ok(())
}

/// Whether a request is only for sessions about which the provider was heard.
pub(super) fn wants_fresh_word(wants: Wants, method: &Method) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    // Whoever signs out, or looks after its own sessions, gives up and gains nothing.
    let gives_up = wants.name == UseAccount::NAME;
    !gives_up && (!is_read || wants.reveals())
}

/// Pages are for people: a session, or nobody where nobody is asked for.
pub(super) fn check_page(wants: Wants, admitted: &Admitted) -> Result<(), Denial> {
    let trace = &*admitted.trace;
    // Also where nobody need be signed in: as an image on another site a page would spend the
    // visitor's attempts to sign in.
    if !admitted.comes_from_us {
        return Err(Denial::CrossSite);
    }
    match trace.principal.tier {
        Tier::Session => Ok(()),
        _ if wants.needs == Needs::NoCredential => Ok(()),
        Tier::Bootstrap | Tier::Anonymous => Err(Denial::NoCredential),
        Tier::OrgKey | Tier::AdminToken | Tier::WorkspaceToken => Err(Denial::PeopleOnly),
    }
}
