//! What the gate asks of pages, and of whoever uses a session.

use claviger_core::{
    action::{Action, Needs},
    denial::Denial,
    evidence::FetchSite,
    tier::Tier,
};
use claviger_wire::headers;
use http::{Method, request::Parts};

use super::Admitted;
use crate::app::App;

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

/// Pages are for people: a session, or nobody where nobody is asked for.
pub(super) fn check_page<A: Action>(admitted: &Admitted) -> Result<(), Denial> {
    let trace = &*admitted.trace;
    let is_read = matches!(trace.method, Method::GET | Method::HEAD);
    if !is_read && !admitted.comes_from_us {
        return Err(Denial::CrossSite);
    }
    match trace.principal.tier {
        Tier::Session => Ok(()),
        _ if A::NEEDS == Needs::NoCredential => Ok(()),
        Tier::Bootstrap | Tier::Anonymous => Err(Denial::NoCredential),
        Tier::OrgKey | Tier::AdminToken | Tier::WorkspaceToken => Err(Denial::PeopleOnly),
    }
}
