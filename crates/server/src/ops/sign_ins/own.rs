//! The sessions of whoever asks, and ending sessions.

use std::sync::Arc;

use claviger_core::{
    action::{Action, SignOut},
    authorize::Permit,
    denial::Denial,
    id::{OrgId, SessionId},
    person::{Person, PersonId},
    tier::{Actor, Principal},
    time::Timestamp,
};
use claviger_store::{Recorder, WhichSessions, Written};
use serde_json::json;

use crate::{
    app::App, clock, failure::Failure, ops::narrowing_failed, people::LiveSession, trace::Trace,
};

/// Ends sessions of the caller. When it returns, no request with any of them is accepted. A session
/// that a key began has those for its own that the same key began, or one that it minted.
///
/// # Errors
/// 403 for whoever is no person; 404 for a session of somebody else; that of the store.
pub async fn end_own(
    app: &Arc<App>,
    permit: &Permit<SignOut>,
    which: Own,
    trace: &Arc<Trace>,
) -> Result<Written<Vec<SessionId>>, Failure> {
    let principal = permit.principal();
    let person = person_id(principal)?;
    let own = principal.session;
    let which = match (which, own, principal.key) {
        (Own::One(id), ..) => {
            let mut all = own_sessions(app, permit).into_iter();
            if all.all(|live| live.session.id != id) {
                return Err(Failure::NotFound("session"));
            }
            WhichSessions::One(person, id)
        }
        (Own::Others, Some(own), Some(key)) => WhichSessions::OthersOfKey(key, own),
        (Own::Others, Some(own), None) => WhichSessions::OthersOf(person, own),
        (Own::All | Own::Others, _, Some(key)) => WhichSessions::OfKey(key),
        (Own::All | Own::Others, _, None) => WhichSessions::OfPerson(person),
    };
    end(app, permit.org(), which, trace).await
}

/// Sessions of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// This one.
    One(SessionId),
    /// All but the one that asks.
    Others,
    /// All of them.
    All,
}

/// The person that acts.
///
/// # Errors
/// 403 for whoever is no person.
pub fn person_id(principal: &Principal) -> Result<PersonId, Denial> {
    match &principal.actor {
        Actor::Session(id) => id.parse().map_err(|_not_an_id| Denial::PersonWanted),
        _ => Err(Denial::PersonWanted),
    }
}

pub(crate) async fn end(
    app: &Arc<App>,
    org: OrgId,
    which: WhichSessions,
    trace: &Arc<Trace>,
) -> Result<Written<Vec<SessionId>>, Failure> {
    let record: Recorder<Vec<SessionId>> = {
        let trace = Arc::clone(trace);
        Box::new(move |ended| {
            let ended: Vec<_> = ended.iter().map(ToString::to_string).collect();
            trace.entry_of_change(trace.status_of_change(), &json!({"sessions_ended": ended}))
        })
    };
    // Alone: a session that has just begun is known here before it is ended.
    let alone = app.births.write().await;
    let written = app.store.end_sessions(org, which, record).await;
    let written = written.map_err(|error| narrowing_failed(app, error))?;
    app.sessions
        .end(|session| session.org == org && written.value.contains(&session.id));
    drop(alone);
    Ok(written)
}

/// The sessions of the caller, the one used last first.
#[must_use]
pub fn own_sessions<A: Action>(app: &App, permit: &Permit<A>) -> Vec<Arc<LiveSession>> {
    let principal = permit.principal();
    let Ok(person) = person_id(principal) else {
        return Vec::new();
    };
    let mut own = of_person(app, permit.org(), &person);
    if let Some(key) = principal.key {
        let began = |live: &Arc<LiveSession>| {
            let minter = live.session.minter.as_ref();
            minter.is_some_and(|minter| minter.chain.contains(&key))
        };
        own.retain(began);
    }
    own
}

/// When a session ends if it is not used meanwhile: with the keys that it ends with at the latest.
pub(crate) fn end_of(app: &App, live: &LiveSession) -> Timestamp {
    let session = &live.session;
    let own = session.ends_at.min(live.seen_at().plus(app.sessions.idle));
    let slots = session.chain().iter().map(|id| app.keys.find_by_id(*id));
    let ends = slots.flatten().map(|slot| slot.credential.expires_at);
    ends.fold(own, Timestamp::min)
}

/// The sessions of a person, the one used last first.
pub(crate) fn of_person(app: &App, org: OrgId, person: &PersonId) -> Vec<Arc<LiveSession>> {
    let now = clock::now();
    let mut own = app.sessions.of_person(org, person);
    own.retain(|live| !live.session.is_over(live.seen_at(), app.sessions.idle, now));
    own.sort_by_key(|live| std::cmp::Reverse(live.seen_at()));
    own
}

/// Who the caller is, as it is kept.
#[must_use]
pub fn person(app: &App, principal: &Principal) -> Option<Person> {
    let Actor::Session(id) = &principal.actor else {
        return None;
    };
    let known = app.people.get(principal.org, id)?;
    Some(known.person.clone())
}
