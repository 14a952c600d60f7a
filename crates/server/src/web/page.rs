//! What surrounds the page of a request: who reads it, where it may go, what has just happened.

use claviger_core::{
    action::{
        Action, DecideRequest, ListWorkspaces, ReadAudit, ReadKeys, ReadPeople, ReadPolicy,
        ReadRequests, UseAccount,
    },
    authorize::{Facts, authorize},
    person::Person,
};

use super::{
    layout::{Nav, NavSet, Page, Who},
    parts::Flash,
};
use crate::{app::App, clock, gate::Call, ops::sign_ins, trace::Trace};

/// The page of a call, at a place of the navigation.
pub(crate) fn of<A: Action>(call: &Call<A>, title: &str, place: Nav) -> Page {
    surroundings(&call.app, &call.trace).titled(title, place)
}

/// What surrounds every page for whoever sent this request.
pub(crate) fn surroundings(app: &App, trace: &Trace) -> Page {
    let mut page = Page::new("", clock::now());
    page.theme = trace.theme;
    let Some(person) = sign_ins::person(app, &trace.principal) else {
        return page;
    };
    let org = app.orgs.name(person.org);
    page.org = org.map(|name| name.to_string()).unwrap_or_default();
    page.who = Some(who(&person));
    if may::<DecideRequest>(trace) {
        page.requests_waiting = app.waiting.count(person.org, page.now);
    }
    page.may = NavSet::NONE
        .with(Nav::Keys, may::<ReadKeys>(trace))
        .with(Nav::Requests, may::<ReadRequests>(trace))
        .with(Nav::Security, may::<ReadKeys>(trace))
        .with(Nav::Policy, may::<ReadPolicy>(trace))
        .with(Nav::Audit, may::<ReadAudit>(trace))
        .with(Nav::Workspaces, may::<ListWorkspaces>(trace))
        .with(Nav::Members, may::<ReadPeople>(trace))
        .with(Nav::Account, may::<UseAccount>(trace));
    page
}

/// Whether whoever sent this request may do something about the org.
pub(crate) fn may<A: Action>(trace: &Trace) -> bool {
    let facts = Facts {
        principal: &trace.principal,
        workspace: None,
        method: trace.method.as_str(),
        path: &trace.path,
        client: trace.client,
    };
    authorize::<A>(&facts).is_ok()
}

fn who(person: &Person) -> Who {
    let email = person.email.clone().unwrap_or_default();
    let name = person.name.clone().unwrap_or_default();
    Who {
        name: match (name.is_empty(), email.is_empty()) {
            (false, _) => name,
            (true, false) => email.clone(),
            (true, true) => person.id.to_string(),
        },
        email,
        role: person.role.clone(),
        label: person.id.actor().to_string(),
    }
}

/// What the page says of the form that led to it: `?done=` and one of these words.
pub(crate) fn flash(word: Option<&str>) -> Option<Flash> {
    let text = match word? {
        "revoked" => "Revoked. Every request with it is refused from now on.",
        "suspended" => "Suspended. It is refused until somebody resumes it.",
        "resumed" => "Resumed. It is accepted again.",
        "finished" => "The rotation is over. The old secret is refused from now on.",
        "cancelled" => "The rotation is undone. The new secret is refused from now on.",
        "saved" => "Saved.",
        "deleted" => "Deleted.",
        "narrowed" => "Narrowed. It may do what it uses, and no more, from now on.",
        "ends" => "It ends by itself now.",
        "policy" => "The policy is in force.",
        "approved" => "Approved. Whoever asked can collect the key within 24 hours.",
        "denied" => "Denied.",
        "withdrawn" => "Taken back.",
        _ => return None,
    };
    Some(Flash::done(text))
}
