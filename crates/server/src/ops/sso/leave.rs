//! Signing out: at the provider too, and when the provider says so.

use std::sync::Arc;

use claviger_core::{action::SignIn, authorize::Permit, claims::SKEW, person::Session};
use claviger_store::WhichSessions;
use serde_json::json;

use super::{provider, record_alone, unseal};
use crate::{
    app::App,
    clock,
    failure::Failure,
    ops::narrowing_failed,
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
/// 400 for a token that does not hold.
pub async fn back_channel(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    token: &str,
) -> Result<usize, Failure> {
    let now = clock::now();
    let logout = provider(app)?
        .verify_logout_token(token, now)
        .await
        .map_err(|error| match error {
            ProviderError::Refused(refusal) => Failure::Malformed {
                code: "bad_logout_token",
                field: Some("logout_token".to_owned()),
                reason: refusal.to_string(),
            },
            other => other.into(),
        })?;
    // Presented again it ends nothing more.
    if app.logouts.is_known(&logout.token_id, now) {
        return Ok(0);
    }
    let is_meant = |session: &Session| {
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
    };
    let found = app.sessions.select(is_meant);
    for live in &found {
        end(app, &live.session).await?;
    }
    app.logouts
        .remember(logout.token_id, (now, logout.remember_until));
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
