//! `/org/members` and `/org/sessions`.

use std::sync::Arc;

use claviger_core::{
    action::{ManagePeople, ReadPeople, SignOut, UseAccount},
    id::SessionId,
    person::{PersonId, PersonState},
};
use claviger_store::{PersonRow, Written};
use claviger_wire::people as wire;
use http::StatusCode;

use super::keys::reason;
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::{people, sign_ins},
    people::LiveSession,
};

/// Lists people.
///
/// # Errors
/// 400 and 422 for the query.
pub async fn list(call: Call<ReadPeople>) -> Result<Reply, Failure> {
    let page = call.query(&["limit", "cursor"])?.page::<PersonId>()?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let found = people::list(&call.app, &call.permit, page).await?;
    let next = found.last().filter(|_| found.len() == limit);
    let answer = wire::MemberList {
        next_cursor: next.map(|row| row.person.id.to_string()),
        members: found.iter().map(view).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// Gets a person.
///
/// # Errors
/// 404.
pub async fn get(call: Call<ReadPeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let found = people::get(&call.app, &call.permit, &id).await?;
    Ok(Reply::json(StatusCode::OK, &view(&found)))
}

/// Suspends a person.
///
/// # Errors
/// As [`people::turn`].
pub async fn suspend(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    turn(call, PersonState::Suspended).await
}

/// Restores a person who was suspended or removed.
///
/// # Errors
/// As [`people::turn`].
pub async fn restore(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    turn(call, PersonState::Active).await
}

async fn turn(mut call: Call<ManagePeople>, state: PersonState) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let body: wire::MemberTurn = call.json_or_default().await?;
    let why = reason(body.reason.as_deref())?;
    let turned = people::turn(&call.app, &call.permit, (id, state, why), &call.trace).await?;
    let row = call
        .app
        .store
        .find_person(call.org(), &turned.value.id)
        .await?;
    let row = row.ok_or(Failure::NotFound("person"))?;
    Ok(Reply::json(StatusCode::OK, &view(&row)).written(turned.receipt))
}

/// Removes a person.
///
/// # Errors
/// As [`people::remove`].
pub async fn remove(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let query = call.query(&["hand_over_to", "reason"])?;
    let heir = query.parse("hand_over_to", "the id of a person")?;
    let why = reason(query.get("reason"))?;
    let Written {
        value: removed,
        receipt,
    } = people::remove(
        &call.app,
        &call.permit,
        (id, heir.clone(), why),
        &call.trace,
    )
    .await?;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let answer = wire::RemovedMember {
        removed: removed.person.id.to_string(),
        removed_at: removed.at.to_string(),
        revoked_prefixes: removed
            .keys
            .iter()
            .map(|key| key.prefix.to_string())
            .collect(),
        handed_over: removed
            .handed_over
            .iter()
            .map(ToString::to_string)
            .collect(),
        hand_over_to: heir.map(|heir| heir.to_string()),
        workspace_tokens_revoked: count(removed.workspace_tokens.len()),
        workspace_tokens_handed_over: count(removed.tokens_handed_over.len()),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(receipt))
}

/// Lists the sessions of a person.
///
/// # Errors
/// 404.
pub async fn sessions(call: Call<ReadPeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    people::get(&call.app, &call.permit, &id).await?;
    let found = sign_ins::of_person(&call.app, call.org(), &id);
    Ok(Reply::json(
        StatusCode::OK,
        &session_list(&call.app, &found, None),
    ))
}

/// Ends every session of a person.
///
/// # Errors
/// As [`people::end_sessions`].
pub async fn end_sessions(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let ended = people::end_sessions(&call.app, &call.permit, id, &call.trace).await?;
    Ok(ended_reply(ended))
}

/// Lists the caller's own sessions.
///
/// # Errors
/// 403 for whoever is no person.
pub async fn own_sessions(call: Call<UseAccount>) -> Result<Reply, Failure> {
    sign_ins::person_id(call.permit.principal())?;
    let found = sign_ins::own_sessions(&call.app, &call.permit);
    let current = call.permit.principal().session;
    Ok(Reply::json(
        StatusCode::OK,
        &session_list(&call.app, &found, current),
    ))
}

/// Ends all of the caller's own sessions: signs out everywhere.
///
/// # Errors
/// 403 for whoever is no person.
pub async fn end_own_sessions(call: Call<SignOut>) -> Result<Reply, Failure> {
    let ended = sign_ins::end_own(&call.app, &call.permit, sign_ins::Own::All, &call.trace).await?;
    Ok(ended_reply(ended))
}

/// Ends one of the caller's own sessions.
///
/// # Errors
/// 403 for whoever is no person; 404.
pub async fn end_own_session(call: Call<SignOut>) -> Result<Reply, Failure> {
    let id: SessionId = call.id(0, "session")?;
    let which = sign_ins::Own::One(id);
    let ended = sign_ins::end_own(&call.app, &call.permit, which, &call.trace).await?;
    Ok(ended_reply(ended))
}

fn ended_reply(ended: Written<Vec<SessionId>>) -> Reply {
    let answer = wire::EndedSessions {
        ended: ended.value.iter().map(ToString::to_string).collect(),
    };
    Reply::json(StatusCode::OK, &answer).written(ended.receipt)
}

fn session_list(
    app: &App,
    found: &[Arc<LiveSession>],
    current: Option<SessionId>,
) -> wire::SessionList {
    let view = |live: &Arc<LiveSession>| {
        let session = &live.session;
        wire::Session {
            id: session.id.to_string(),
            method: session.method.as_str().to_owned(),
            created_at: session.created_at.to_string(),
            last_used_at: live.seen_at().to_string(),
            expires_at: sign_ins::end_of(app, live).to_string(),
            client: session.client.map(|client| client.to_string()),
            user_agent: session.user_agent.clone(),
            impersonator: session.impersonator.clone(),
            is_current: Some(session.id) == current,
        }
    };
    wire::SessionList {
        sessions: found.iter().map(view).collect(),
    }
}

fn view(row: &PersonRow) -> wire::Member {
    let person = &row.person;
    let decision = person.decision.as_ref();
    wire::Member {
        id: person.id.to_string(),
        issuer: person.issuer.clone(),
        email: person.email.clone(),
        name: person.name.clone(),
        role: person.role.clone(),
        permissions: person.permissions.patterns(),
        state: person.state.as_str().to_owned(),
        first_seen_at: person.first_seen_at.to_string(),
        last_seen_at: person.last_seen_at.to_string(),
        keys: row.keys,
        sessions: row.sessions,
        decided_at: decision.map(|decision| decision.at.to_string()),
        decided_by: decision.map(|decision| decision.by.to_string()),
        reason: decision.and_then(|decision| decision.reason.clone()),
    }
}
