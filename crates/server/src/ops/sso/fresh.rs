//! Asking the provider again about a session whose word from it has aged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claviger_core::{digest::Digest, id::SessionId, person::Session, time::Timestamp};
use claviger_store::{RefreshTurn, StoreError, WhichSessions};
use serde_json::json;

use super::{meet, newest, person_of, record_alone, seal, told, unseal};
use crate::{
    app::App,
    clock,
    failure::Failure,
    people::LiveSession,
    provider::{Due, Private, Provider, ProviderError, Refusal, Turn, Verified},
};

/// For how long a session is left alone about which the provider said what cannot be used.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// For how long a node has the turn to ask about a session: longer than the provider is waited for, so that
/// it ends by itself only where the node has died.
const TURN_LASTS: Duration = Duration::from_secs(20);

/// How often it is looked whether the turn of another node has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Asks the provider again about a session whose word from it has aged. A session that it has ended
/// ends here too; one that it does not answer about goes on, for reading. While it is being asked,
/// only what `waits` waits for the answer.
pub(crate) async fn freshen(
    app: &Arc<App>,
    live: &Arc<LiveSession>,
    (now, waits): (Timestamp, bool),
) {
    let Some(provider) = &app.provider else {
        return;
    };
    if !is_due(app, provider, live, now) {
        return;
    }
    let place = Digest::of(live.session.id.to_string().as_bytes());
    let turn = match provider.turns().try_take(&place) {
        Some(turn) => turn,
        None if waits => provider.turns().take(&place).await,
        None => return,
    };
    let (app, live) = (Arc::clone(app), Arc::clone(live));
    // A task of its own: whoever hangs up halfway would lose the new token.
    let asked = tokio::spawn(async move { ask_again(&app, &live, (turn, waits)).await });
    if let Err(error) = asked.await {
        tracing::error!(%error, "cannot ask the identity provider again");
    }
}

/// Whether the provider is to be asked about a session now. What another provider gave for asking
/// is not for this one to see.
fn is_due(app: &App, provider: &Provider, live: &LiveSession, now: Timestamp) -> bool {
    let session = &live.session;
    let is_aged = session.fresh_until.is_some_and(|until| until <= now);
    is_aged
        && !session.is_over(live.seen_at(), app.sessions.idle, now)
        && !live.is_left_alone(now)
        && !provider.turns().is_silent(now)
        && app
            .people
            .get(session.org, session.person.as_str())
            .is_some_and(|known| app.is_vouched_for(&known.person))
}

async fn ask_again(app: &Arc<App>, live: &Arc<LiveSession>, (turn, waits): (Turn, bool)) {
    let Some(provider) = &app.provider else {
        return;
    };
    let id = live.session.id;
    // The turn may have been long in coming, and all may be otherwise by now.
    let now = clock::now();
    let (kept, is_lost) = (parking_lot::Mutex::new(None), AtomicBool::new(false));
    let load = async {
        // Another request may have been first, with or without an answer.
        let current = app.sessions.find_same(live)?;
        if !is_due(app, provider, &current, now) {
            return None;
        }
        let (session, sealed) = turn_of_nodes(app, id, waits).await?;
        if session.fresh_until > current.session.fresh_until {
            // Another node has asked; its token is the one that counts.
            app.sessions.renew(&current, session);
            give_back(app, id).await;
            return None;
        }
        let given = sealed.as_ref().and_then(|sealed| unseal(app, id, sealed));
        let Some(refresh) = given.and_then(|given| given.refresh) else {
            // The master key was changed: nobody can be asked about it any more.
            is_lost.store(true, Ordering::Relaxed);
            return None;
        };
        *kept.lock() = sealed;
        Some(Due {
            token: Private::new(refresh),
            subject: live.session.person.to_string(),
            now,
        })
    };
    let keep = async |verified: Verified| {
        let before = kept.lock().clone();
        keep_answer(app, live, (verified, before), now).await
    };
    match provider.refresh_in_turn(turn, load, keep).await {
        Ok(None) if is_lost.load(Ordering::Relaxed) => {
            end_quietly(app, live, "the identity provider cannot be asked again").await;
        }
        Ok(None | Some(Ok(()))) => {}
        Ok(Some(Err(failure))) => {
            tracing::warn!(%failure, session = %id, "cannot keep what the identity provider said");
            end_quietly(app, live, "the identity provider's word cannot be kept").await;
        }
        Err(ProviderError::Refused(refusal)) => {
            // The turn ends with the session.
            tracing::info!(%refusal, session = %id, "the identity provider has ended a session");
            end_quietly(app, live, refusal.code()).await;
        }
        Err(error) => {
            tracing::warn!(
                cause = error.cause(),
                "the identity provider does not answer"
            );
            give_back(app, id).await;
            // From when it was given up, and not from when it was asked.
            let now = clock::now();
            live.leave_alone(now.plus(ASK_AGAIN_AFTER));
            // One that answers, though with what cannot be used, may do better about others.
            if matches!(error, ProviderError::Unreachable { .. }) {
                provider.turns().note_silence(now);
            }
        }
    }
}

/// Takes the turn to ask about a session, of all nodes over the database; while another has it, waits if it
/// may. Gives the session as it is kept, and what the provider gave; nothing when it has ended, or cannot be
/// had.
async fn turn_of_nodes(
    app: &App,
    id: SessionId,
    waits: bool,
) -> Option<(Session, Option<Vec<u8>>)> {
    // Whoever waits longer than two turns waits for a row that is not in order.
    let limit = tokio::time::Instant::now() + TURN_LASTS * 2;
    loop {
        let now = clock::now();
        let turn = app.store.take_refresh_turn(id, now, now.plus(TURN_LASTS));
        match turn.await {
            Ok(RefreshTurn::Ours { session, sealed }) => return Some((*session, sealed)),
            Ok(RefreshTurn::Others) if waits && tokio::time::Instant::now() < limit => {
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            Ok(RefreshTurn::Others) | Err(StoreError::NotFound(_)) => return None,
            Err(error) => {
                tracing::warn!(%error, session = %id, "cannot take the turn to ask the identity provider");
                return None;
            }
        }
    }
}

/// Ends a turn in which nothing new was kept. If that fails it ends by itself.
async fn give_back(app: &App, id: SessionId) {
    if let Err(error) = app.store.end_refresh_turn(id).await {
        tracing::warn!(%error, session = %id, "other nodes wait with asking the identity provider");
    }
}

/// Keeps what the provider said anew.
async fn keep_answer(
    app: &Arc<App>,
    live: &Arc<LiveSession>,
    (verified, before): (Verified, Option<Vec<u8>>),
    now: Timestamp,
) -> Result<(), Failure> {
    let person = newest(app, person_of(app, &verified, now)?);
    if person.org != live.session.org {
        // Another org is another session.
        return Err(Refusal::OtherPerson.into());
    }
    let session = told(live.session.clone(), &verified);
    let sealed = seal(app, session.id, &verified)?;
    app.store
        .renew_session(&session, before, Some(sealed))
        .await?;
    meet(app, person, now).await?;
    app.sessions.renew(live, session);
    Ok(())
}

/// Ends a session that nobody asked to end.
async fn end_quietly(app: &Arc<App>, live: &Arc<LiveSession>, why: &str) {
    let session = &live.session;
    let which = WhichSessions::One(session.person.clone(), session.id);
    let record = record_alone(
        session.org,
        &session.person,
        json!({
            "sessions_ended": [session.id.to_string()],
            "why": why,
        }),
    );
    app.sessions.end(|other| other.id == session.id);
    if let Err(error) = app.store.end_sessions(session.org, which, record).await {
        tracing::warn!(%error, "a session that has ended may come back with a restart");
    }
}
