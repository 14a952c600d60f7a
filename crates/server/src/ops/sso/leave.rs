//! Signing out: at the provider too, and when the provider says so.

use std::sync::Arc;

use claviger_core::{
    action::SignIn,
    authorize::Permit,
    claims::{Logout, SKEW},
    digest::Digest,
    person::Session,
    time::Timestamp,
};
use claviger_store::{Acting, SignIn as StoredSignIn, StoreError, WhichSessions};
use serde_json::json;

use super::{provider, record_alone, unseal};
use crate::{
    app::App,
    clock,
    failure::Failure,
    ops::narrowing_failed,
    people::LiveSession,
    provider::{LogoutUrl, Private, ProviderError},
};

/// Where the browser goes so that the session at the provider ends too; `None` where there is no
/// such place.
pub(crate) async fn logout_url(app: &App, session: &Session) -> Option<String> {
    let provider = app.provider.as_ref()?;
    let sealed = app.store.find_sealed(session.id).await.ok().flatten();
    let given = sealed.and_then(|sealed| unseal(app, session.id, &sealed));
    let id_token = given.and_then(|given| given.id_token).map(Private::new);
    let base = app.config.public_url.as_deref()?;
    let logout = LogoutUrl {
        id_token: id_token.as_ref(),
        provider_session: session.provider_session.as_deref(),
        return_to: &format!("{base}/canvas/sign-in?reason=signed_out"),
        now: clock::now(),
    };
    match provider.logout_url(&logout).await {
        Ok(url) => url.map(String::from),
        Err(error) => {
            tracing::warn!(
                cause = error.cause(),
                "cannot sign out at the identity provider"
            );
            None
        }
    }
}

/// Ends what the provider has signed out (`OpenID` Connect Back-Channel Logout 1.0): the sessions
/// that belong to one of its own, or all of a person. Gives how many.
///
/// # Errors
/// 400 for a token that does not hold, or that came before.
pub async fn back_channel(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    token: &str,
) -> Result<usize, Failure> {
    let provider = provider(app)?;
    let now = clock::now();
    let logout = provider
        .verify_logout_token(token, now)
        .await
        .map_err(|error| match error {
            ProviderError::Refused(refusal) => bad(refusal.to_string()),
            other => other.into(),
        })?;
    let mark = mark_of(&logout);
    remember(app, &logout, (mark, now)).await?;
    // Alone: a session that has just begun is known here before it is looked for.
    let alone = app.births.write().await;
    let found = meant(app, &logout);
    for live in &found {
        if let Err(failure) = end(app, &live.session).await {
            // The provider says it once more, and must be heard then.
            drop(app.store.take_sign_in(mark, now).await);
            return Err(failure);
        }
    }
    drop(alone);
    Ok(found.len())
}

/// Ends a session; its org's trail says so, for the request of the provider is of no org.
async fn end(app: &Arc<App>, session: &Session) -> Result<(), Failure> {
    let which = WhichSessions::One(session.person.clone(), session.id);
    let change = json!({
        "sessions_ended": [session.id.to_string()],
        "why": "the identity provider has signed it out",
    });
    let record = record_alone(session.org, &session.person, change);
    let written = app.store.end_sessions(session.org, which, record).await;
    written.map_err(|error| narrowing_failed(app, error))?;
    app.sessions.end(|other| other.id == session.id);
    Ok(())
}

fn bad(reason: String) -> Failure {
    Failure::Malformed {
        code: "bad_logout_token",
        field: Some("logout_token".to_owned()),
        reason,
    }
}

/// The sessions that are meant.
fn meant(app: &App, logout: &Logout) -> Vec<Arc<LiveSession>> {
    app.sessions.select(|session: &Session| {
        let is_person = |subject: &String| session.person.as_str() == subject;
        // Whoever has signed in since is not meant; the two clocks may differ.
        let had_begun = session.created_at <= logout.issued_at.plus(SKEW);
        let is_named = match (&logout.provider_session, &logout.subject) {
            (Some(sid), subject) => {
                session.provider_session.as_ref() == Some(sid)
                    && subject.as_ref().is_none_or(is_person)
            }
            (None, Some(subject)) => is_person(subject),
            (None, None) => false,
        };
        had_begun && is_named
    })
}

/// What a token is remembered by. It is the digest of no text that anybody could bring, so no
/// sign-in can take it away.
fn mark_of(logout: &Logout) -> [u8; 32] {
    let text = format!("claviger logout\n{}", logout.token_id);
    Digest::of(text.as_bytes()).as_bytes().map(|byte| !byte)
}

/// A token counts once (2.6): later it would end sessions that began after it.
async fn remember(
    app: &App,
    logout: &Logout,
    (digest, now): ([u8; 32], Timestamp),
) -> Result<(), Failure> {
    let used = StoredSignIn {
        digest,
        org: None,
        payload: "{}".to_owned(),
        expires_at: logout.remember_until,
        maker: None,
    };
    let acting = Acting {
        key: None,
        prefix: None,
        session: None,
        now,
    };
    match app.store.put_sign_in(used, acting, None).await {
        Ok(_) => Ok(()),
        Err(StoreError::Exists(_)) => Err(bad("the token was used before".to_owned())),
        // That somebody is out is worth more than that nobody is put out twice.
        Err(StoreError::LimitReached { .. }) => {
            tracing::warn!("no room to remember a logout token");
            Ok(())
        }
        Err(other) => Err(other.into()),
    }
}
