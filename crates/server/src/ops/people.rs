//! People: who has signed in, and what becomes of whoever leaves.

use std::sync::Arc;

use claviger_core::{
    action::{ManagePeople, ReadPeople},
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    id::{KeyId, SessionId, WorkspaceTokenId},
    key::{Credential, KeyState, Revocation},
    ledger::entry::Entry,
    permission::Permission,
    person::{Person, PersonDecision, PersonId, PersonState},
    tier::Minter,
};
use claviger_store::{
    Judge, Page, PersonRow, PersonTurn, Recorder, Removal, Removed, Verdict, WhichSessions, Written,
};
use serde_json::json;

use super::sign_ins;
use crate::{app::App, failure::Failure, trace::Trace};

/// People of the org, by id.
///
/// # Errors
/// That of the store.
pub async fn list(
    app: &App,
    permit: &Permit<ReadPeople>,
    page: Page<PersonId>,
) -> Result<Vec<PersonRow>, Failure> {
    Ok(app.store.list_people(permit.org(), page).await?)
}

/// A person of the org.
///
/// # Errors
/// 404.
pub async fn get(
    app: &App,
    permit: &Permit<ReadPeople>,
    id: &PersonId,
) -> Result<PersonRow, Failure> {
    let found = app.store.find_person(permit.org(), id).await?;
    found.ok_or(Failure::NotFound("person"))
}

/// Suspends a person or restores one: a suspended person has no session, may not sign in, and the
/// keys that go back to it are refused, from when this returns on.
///
/// # Errors
/// 403 for somebody wider than the caller; 404; 409 for oneself, and where nothing would change.
pub async fn turn(
    app: &Arc<App>,
    permit: &Permit<ManagePeople>,
    (id, state, reason): (PersonId, PersonState, Option<String>),
    trace: &Arc<Trace>,
) -> Result<Written<Person>, Failure> {
    target(app, permit, &id).await?;
    let principal = permit.principal();
    let acting = super::acting(principal);
    let turn = PersonTurn {
        state,
        decision: PersonDecision {
            at: acting.now,
            by: principal.actor.clone(),
            reason: reason.clone(),
        },
    };
    let word = match state {
        PersonState::Active => "person_restored",
        PersonState::Suspended => "person_suspended",
        PersonState::Removed => "person_removed",
    };
    let record: Recorder<Person> = {
        let trace = Arc::clone(trace);
        Box::new(move |person: &Person| {
            let said = json!({"id": person.id.as_str(), "email": person.email, "reason": reason});
            trace.entry_of_change(trace.status_of_change(), &json!({word: said}))
        })
    };
    // Alone: nobody signs in, and nothing is born of the person, until the index knows.
    let alone = app.births.write().await;
    let written = app
        .store
        .turn_person(permit.org(), id.clone(), turn, acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    app.people.set(written.value.clone());
    if state != PersonState::Active {
        end_in_memory(app, permit, &id);
    }
    drop(alone);
    Ok(written)
}

/// The person to be acted on: not oneself, and nobody who holds more.
async fn target(
    app: &App,
    permit: &Permit<ManagePeople>,
    id: &PersonId,
) -> Result<Person, Failure> {
    if permit.principal().actor == id.actor() {
        return Err(Failure::Refused(
            "nobody suspends or removes itself: ask another admin of the org",
        ));
    }
    let found = app.store.find_person(permit.org(), id).await?;
    let person = found.ok_or(Failure::NotFound("person"))?.person;
    if !permit.covers(&person.grant()) {
        return Err(Denial::WiderPerson.into());
    }
    Ok(person)
}

fn end_in_memory(app: &App, permit: &Permit<ManagePeople>, id: &PersonId) {
    let (org, actor) = (permit.org(), id.actor());
    app.sessions.end(|session| {
        let root = session.minter.as_ref().map(|minter| &minter.root);
        session.org == org && (session.person == *id || root == Some(&actor))
    });
}

/// Removes a person: its sessions end, it may not sign in, and what goes back to it is revoked, or
/// handed over to somebody. When this returns, no request of what was revoked is accepted. Somebody
/// who was removed can be restored; what was revoked stays revoked.
///
/// # Errors
/// 403 for somebody wider than the caller, and for a key to be handed over that holds more than the
/// caller; 404; 409 for oneself, for one who was removed, and for an heir who is not active.
pub async fn remove(
    app: &Arc<App>,
    permit: &Permit<ManagePeople>,
    (id, heir, reason): (PersonId, Option<PersonId>, Option<String>),
    trace: &Arc<Trace>,
) -> Result<Written<Removed>, Failure> {
    target(app, permit, &id).await?;
    if let Some(heir) = &heir {
        if *heir == id {
            let reason = "must be somebody else";
            return Err(Failure::out_of_range("hand_over_to", reason));
        }
        if !permit.has(Permission::TokensMint) {
            return Err(Denial::MissingPermission(Permission::TokensMint).into());
        }
    }
    let principal = permit.principal();
    let acting = super::acting(principal);
    let removal = Removal {
        end: Revocation {
            at: acting.now,
            by: principal.actor.clone(),
            reason: reason.or_else(|| Some(format!("{} was removed", id.actor()))),
        },
        heir: heir.clone(),
    };
    // Handing a key over may give it back what its last owner had lost: nobody gives what it lacks.
    let judge: Judge = {
        let permit = permit.clone();
        Box::new(move |key| {
            if permit.covers(&key.grant) {
                Verdict::Take
            } else {
                Verdict::Refuse
            }
        })
    };
    let record = record_removal(trace, heir.clone());
    let alone = app.births.write().await;
    let store = &app.store;
    let written = store
        .remove_person(permit.org(), id.clone(), (removal, judge), acting, record)
        .await
        .map_err(|error| super::narrowing_failed(app, error))?;
    let removed = &written.value;
    app.people.set(removed.person.clone());
    end_in_memory(app, permit, &id);
    follow(app, removed, heir.as_ref());
    drop(alone);
    Ok(written)
}

/// Makes the index say what was revoked, and to whom the rest goes back now.
fn follow(app: &App, removed: &Removed, heir: Option<&PersonId>) {
    for key in &removed.keys {
        app.keys
            .change(&Digest::from_bytes(key.digest), |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
    }
    for token in &removed.workspace_tokens {
        let digest = Digest::from_bytes(token.digest);
        app.workspace_tokens.change(&digest, |old| Credential {
            state: KeyState::Revoked,
            ..old.clone()
        });
    }
    let Some(heir) = heir else {
        return;
    };
    let after = |minter: &Minter| {
        Arc::new(Minter {
            root: heir.actor(),
            ..minter.clone()
        })
    };
    for id in &removed.handed_over {
        if let Some(slot) = app.keys.find_by_id(*id) {
            let minter = after(&slot.credential.minter);
            app.keys.change(&slot.credential.digest, |old| Credential {
                minter,
                ..old.clone()
            });
        }
    }
    for id in &removed.tokens_handed_over {
        if let Some(slot) = app.workspace_tokens.find_by_id(*id) {
            let minter = after(&slot.credential.minter);
            let digest = &slot.credential.digest;
            app.workspace_tokens.change(digest, |old| Credential {
                minter,
                ..old.clone()
            });
        }
    }
}

/// One record of the removal, and one of each key and token that died or changed hands with it.
fn record_removal(trace: &Arc<Trace>, heir: Option<PersonId>) -> Recorder<Removed, Vec<Entry>> {
    let trace = Arc::clone(trace);
    Box::new(move |removed: &Removed| {
        let person = removed.person.id.as_str();
        let org = removed.person.org;
        let said = json!({
            "id": person,
            "email": removed.person.email,
            "keys_revoked": removed.keys.len(),
            "keys_handed_over": removed.handed_over.len(),
            "workspace_tokens_revoked": removed.workspace_tokens.len(),
            "workspace_tokens_handed_over": removed.tokens_handed_over.len(),
            "hand_over_to": heir.as_ref().map(PersonId::as_str),
        });
        let mut entries =
            vec![trace.entry_of_change(trace.status_of_change(), &json!({"person_removed": said}))];
        let ended = |id: String, prefix: &str| {
            let said = json!({"id": id, "prefix": prefix, "with": person});
            trace.entry_beside(org, 200, &json!({"revoked": said}))
        };
        let keys = removed.keys.iter();
        entries.extend(keys.map(|key| ended(key.id.to_string(), key.prefix.as_str())));
        let tokens = removed.workspace_tokens.iter();
        entries.extend(tokens.map(|token| ended(token.id.to_string(), token.prefix.as_str())));
        let handed_over = |id: String| {
            let to = heir.as_ref().map(PersonId::as_str);
            let said = json!({"id": id, "from": person, "to": to});
            trace.entry_beside(org, 200, &json!({"handed_over": said}))
        };
        let keys = removed.handed_over.iter().map(KeyId::to_string);
        let tokens = removed.tokens_handed_over.iter();
        let tokens = tokens.map(WorkspaceTokenId::to_string);
        entries.extend(keys.chain(tokens).map(handed_over));
        entries
    })
}

/// Ends every session of a person: when it returns, no request with any of them is accepted.
///
/// # Errors
/// 403 for somebody wider than the caller; 404.
pub async fn end_sessions(
    app: &Arc<App>,
    permit: &Permit<ManagePeople>,
    id: PersonId,
    trace: &Arc<Trace>,
) -> Result<Written<Vec<SessionId>>, Failure> {
    target(app, permit, &id).await?;
    sign_ins::end(app, permit.org(), WhichSessions::OfPerson(id), trace).await
}

/// Ends one session of a person.
///
/// # Errors
/// 403 for somebody wider than the caller; 404 for a session that is not that person's, or has ended.
pub async fn end_session(
    app: &Arc<App>,
    permit: &Permit<ManagePeople>,
    (id, session): (PersonId, SessionId),
    trace: &Arc<Trace>,
) -> Result<Written<Vec<SessionId>>, Failure> {
    target(app, permit, &id).await?;
    let living = sign_ins::of_person(app, permit.org(), &id);
    if living.iter().all(|live| live.session.id != session) {
        return Err(Failure::NotFound("session"));
    }
    sign_ins::end(app, permit.org(), WhichSessions::One(id, session), trace).await
}
