//! Asking the provider again about a session whose word from it has aged.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use claviger_core::{digest::Digest, time::Timestamp};
use claviger_store::WhichSessions;
use serde_json::json;

use super::{meet, newest, person_of, record_alone, seal, told, unseal};
use crate::{
    app::App,
    failure::Failure,
    people::LiveSession,
    provider::{Due, Private, ProviderError, Refusal, Verified},
};

/// For how long a provider that did not answer is left alone by a session.
const ASK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Asks the provider again about a session whose word from it has aged. A session that it has ended
/// ends here too; one that it does not answer about goes on, for reading.
pub(crate) async fn freshen(app: &Arc<App>, live: &Arc<LiveSession>, now: Timestamp) {
    let is_due = live.session.fresh_until.is_some_and(|until| until <= now);
    if !is_due || app.provider.is_none() || live.is_left_alone(now) {
        return;
    }
    let (app, live) = (Arc::clone(app), Arc::clone(live));
    // A task of its own: whoever hangs up halfway would lose the new token.
    let asked = tokio::spawn(async move { ask_again(&app, &live, now).await });
    if let Err(error) = asked.await {
        tracing::error!(%error, "cannot ask the identity provider again");
    }
}

async fn ask_again(app: &Arc<App>, live: &Arc<LiveSession>, now: Timestamp) {
    let Some(provider) = &app.provider else {
        return;
    };
    let id = live.session.id;
    let turn = Digest::of(id.to_string().as_bytes());
    let (kept, is_lost) = (parking_lot::Mutex::new(None), AtomicBool::new(false));
    let load = async {
        // Another request may have been first.
        let current = app.sessions.find_same(live)?;
        current.session.fresh_until.filter(|until| *until <= now)?;
        let sealed = app.store.find_sealed(id).await.ok()?;
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
    match provider.refresh_in_turn(&turn, load, keep).await {
        Ok(None) if is_lost.load(Ordering::Relaxed) => {
            end_quietly(app, live, "the identity provider cannot be asked again").await;
        }
        Ok(None | Some(Ok(()))) => {}
        Ok(Some(Err(failure))) => {
            tracing::warn!(%failure, session = %id, "cannot keep what the identity provider said");
            end_quietly(app, live, "the identity provider's word cannot be kept").await;
        }
        Err(ProviderError::Refused(refusal)) => {
            tracing::info!(%refusal, session = %id, "the identity provider has ended a session");
            end_quietly(app, live, refusal.code()).await;
        }
        Err(error) => {
            tracing::warn!(
                cause = error.cause(),
                "the identity provider does not answer"
            );
            live.leave_alone(now.plus(ASK_AGAIN_AFTER));
        }
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
