//! Signing in with the identity provider: there and back, asking again, and signing out.

mod fresh;
mod leave;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use claviger_core::{
    action::SignIn,
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    grant::Grant,
    id::{OrgId, SessionId},
    permission::PermissionSet,
    person::{Person, PersonId, PersonState, Session, SignInMethod},
    time::Timestamp,
};
use claviger_store::{Acting, Begun, Recorder, SignIn as StoredSignIn};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

pub(crate) use fresh::freshen;
pub use leave::back_channel;
pub(crate) use leave::logout_url;

use super::sign_ins::{self, SignedIn};
use crate::{
    app::App,
    clock, entropy,
    failure::Failure,
    people::Known,
    provider::{Begin, Finish, Private, Provider, ProviderError, Verified},
    seal::Place,
    trace::Trace,
};

/// How long a sign-in may take at the provider.
pub(crate) const SIGN_IN_LASTS: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a session lasts at most about which the provider cannot be asked again.
const UNASKED_LASTS: std::time::Duration = std::time::Duration::from_secs(3600);
/// How often the last sight of somebody with an access token is kept.
const SEEN_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// A sign-in that was begun.
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Journey {
    /// Where the browser goes.
    pub url: String,
    /// What stays in the browser: whoever ends the sign-in must bring it.
    pub browser: Zeroizing<String>,
}

/// What is kept while somebody is at the provider. The rest follows from what the browser holds.
#[derive(Debug, Serialize, Deserialize)]
struct Away {
    kind: Kind,
    /// SHA-256 of what the browser holds.
    browser: [u8; 32],
    next: String,
}

/// Tells it from a link.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Provider,
}

/// What a provider gives for asking again, as it is sealed.
#[derive(Serialize, Deserialize)]
struct Given {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

fn provider(app: &App) -> Result<&Provider, Failure> {
    let none = Failure::Refused("no identity provider is set");
    app.provider.as_ref().ok_or(none)
}

/// A text that follows from what the browser holds, and from which that does not follow.
fn derived(what: &str, browser: &str) -> Zeroizing<String> {
    let text = Zeroizing::new(format!("claviger {what}\n{browser}"));
    let digest = Digest::of(text.as_bytes());
    Zeroizing::new(BASE64.encode(digest.as_bytes()))
}

/// Sends somebody to the provider.
///
/// # Errors
/// 429 beyond the limit; 503 when the provider does not say where.
pub async fn begin(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    next: &str,
    trace: &Arc<Trace>,
) -> Result<Journey, Failure> {
    let provider = provider(app)?;
    app.away_limiter.check(trace.client, trace.at)?;
    let (state, browser) = (sign_ins::random_text()?, sign_ins::random_text()?);
    let now = clock::now();
    let url = provider
        .begin(&Begin {
            state: &state,
            nonce: &derived("nonce", &browser),
            verifier: &derived("verifier", &browser),
            org: None,
            now,
        })
        .await?;
    let away = Away {
        kind: Kind::Provider,
        browser: *Digest::of(browser.as_bytes()).as_bytes(),
        next: next.to_owned(),
    };
    let sign_in = StoredSignIn {
        digest: *Digest::of(state.as_bytes()).as_bytes(),
        org: None,
        payload: serde_json::to_string(&away).unwrap_or_default(),
        expires_at: now.plus(SIGN_IN_LASTS),
        maker: None,
    };
    let acting = Acting {
        key: None,
        prefix: None,
        session: None,
        now,
    };
    app.store.put_sign_in(sign_in, acting, None).await?;
    Ok(Journey {
        url: url.into(),
        browser,
    })
}

/// What a browser brings back from the provider.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Back<'a> {
    /// What tells the sign-in.
    pub state: &'a str,
    /// The code, or why there is none.
    pub code: Result<&'a str, &'a str>,
    /// The issuer that it names (RFC 9207).
    pub issuer: Option<&'a str>,
    /// What the browser has held.
    pub browser: Option<&'a str>,
}

/// Ends a sign-in: whoever comes back is signed in. Gives where to go on.
///
/// # Errors
/// 401 for a sign-in that was ended, took too long, or was begun in another browser, and for whatever
/// the provider refuses; 403 for somebody without a role or an org here; 503 when the provider does
/// not answer.
pub async fn finish(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    back: Back<'_>,
    trace: &Arc<Trace>,
) -> Result<(SignedIn, String), Failure> {
    let provider = provider(app)?;
    let now = clock::now();
    // Nobody comes back who was not sent off.
    let browser = back.browser.ok_or(Denial::SignInSpent)?;
    app.sign_in_limiter.check(trace.client, trace.at)?;
    let digest = *Digest::of(back.state.as_bytes()).as_bytes();
    let taken = app.store.take_sign_in(digest, now).await?;
    let taken = taken.ok_or(Denial::SignInSpent)?;
    let away: Away =
        serde_json::from_str(&taken.payload).map_err(|_other_kind| Denial::SignInSpent)?;
    if *Digest::of(browser.as_bytes()).as_bytes() != away.browser {
        return Err(Denial::SignInSpent.into());
    }
    let code = back.code.map_err(ProviderError::of_callback)?;
    let verified = provider
        .finish(&Finish {
            code,
            issuer: back.issuer,
            verifier: &derived("verifier", browser),
            nonce: &derived("nonce", browser),
            now,
        })
        .await?;
    let person = newest(app, person_of(app, &verified, now)?);
    let session = sign_ins::new_session(app, &person, trace, now);
    let session = told(session, &verified);
    let session = Session {
        method: if provider.is_workos() {
            SignInMethod::WorkOs
        } else {
            SignInMethod::Oidc
        },
        ..session
    };
    let sealed = seal(app, session.id, &verified)?;
    let begun = (person, session, Some(sealed));
    let signed_in = sign_ins::begin(app, begun, None, trace).await?;
    app.away_limiter.forgive(trace.client, trace.at);
    Ok((signed_in, away.next))
}

/// A session as the provider describes it now.
fn told(session: Session, verified: &Verified) -> Session {
    let again = verified.refresh_token.is_some();
    // Whoever is let go at the provider would otherwise stay for as long as a session may.
    let end = session.created_at.plus(UNASKED_LASTS);
    Session {
        ends_at: match again {
            true => session.ends_at,
            false => session.ends_at.min(end),
        },
        provider_session: verified
            .provider_session
            .clone()
            .or(session.provider_session),
        // Whoever began it as somebody else is behind it to its end, though a later word be silent.
        impersonator: verified
            .impersonator
            .as_ref()
            .map(|other| other.who.clone())
            .or(session.impersonator),
        fresh_until: again.then_some(verified.expires_at),
        ..session
    }
}

/// The person whom the provider vouches for.
fn person_of(app: &App, verified: &Verified, now: Timestamp) -> Result<Person, Failure> {
    let org = app.orgs.find(&verified.org).ok_or(Denial::NoOrgHere)?;
    let id: PersonId = verified
        .subject
        .parse()
        .map_err(|_not_an_id| Denial::BadSubject)?;
    let permissions = verified
        .role
        .map(|role| role.permissions())
        .unwrap_or_default()
        .union(verified.permissions);
    if permissions == PermissionSet::NONE {
        return Err(Denial::NoRoleHere.into());
    }
    let role = verified.role.map(|role| role.as_str().to_owned());
    Ok(Person {
        org,
        id,
        issuer: verified.issuer.clone(),
        email: verified.email.clone(),
        name: verified.name.clone(),
        role: role
            .or_else(|| verified.role_name.clone())
            .unwrap_or_else(|| "permissions".to_owned()),
        permissions,
        told_at: verified.issued_at.unwrap_or(now),
        first_seen_at: now,
        last_seen_at: now,
        state: PersonState::Active,
        decision: None,
    })
}

/// The same as the newest word: the provider has just said it itself, whatever its clock says.
fn newest(app: &App, person: Person) -> Person {
    let known = app.people.get(person.org, person.id.as_str());
    let before = known.map(|known| known.person.told_at);
    Person {
        told_at: before.map_or(person.told_at, |before| before.max(person.told_at)),
        ..person
    }
}

fn seal(app: &App, session: SessionId, verified: &Verified) -> Result<Vec<u8>, Failure> {
    let text = |private: &Option<Private>| private.as_ref().map(|text| text.expose().to_owned());
    let given = Given {
        refresh: text(&verified.refresh_token),
        id_token: text(&verified.id_token),
    };
    let plain = Zeroizing::new(serde_json::to_vec(&given).unwrap_or_default());
    let sealed = app.sealer.seal(Place::Session { id: session }, &plain);
    sealed.map_err(|error| Failure::Internal(error.to_string()))
}

fn unseal(app: &App, session: SessionId, sealed: &[u8]) -> Option<Given> {
    let plain = app
        .sealer
        .open(Place::Session { id: session }, sealed)
        .ok()?;
    serde_json::from_slice(&plain).ok()
}

/// A record of something about a person, outside any request.
fn record_alone<T>(org: OrgId, person: &PersonId, change: serde_json::Value) -> Recorder<T> {
    let actor = person.actor();
    Box::new(move |_: &T| {
        let change = crate::trace::ascii_json(&change);
        let mut draft = claviger_core::ledger::entry::Draft::of_operation(
            entropy::new_id(),
            entropy::bits(),
            clock::now(),
            org,
            &actor,
        );
        draft.change = Some(&change);
        draft.write()
    })
}

/// Keeps a person as the provider describes it, if anything about it is new.
async fn meet(app: &Arc<App>, person: Person, now: Timestamp) -> Result<Arc<Known>, Failure> {
    if let Some(known) = app.people.get(person.org, person.id.as_str()) {
        let before = &known.person;
        match before.state {
            PersonState::Active => {}
            PersonState::Suspended => return Err(Denial::PersonSuspended.into()),
            PersonState::Removed => return Err(Denial::PersonRemoved.into()),
        }
        let is_same = before.issuer == person.issuer
            && before.role == person.role
            && before.permissions == person.permissions
            && (person.email.is_none() || before.email == person.email)
            && (person.name.is_none() || before.name == person.name);
        if is_same && now.since(before.last_seen_at) < SEEN_EVERY {
            return Ok(known);
        }
    }
    // An access token says less than a sign-in: what it is silent about stays.
    let before = app.people.get(person.org, person.id.as_str());
    let person = match &before {
        Some(known) => Person {
            email: person.email.or_else(|| known.person.email.clone()),
            name: person.name.or_else(|| known.person.name.clone()),
            ..person
        },
        None => person,
    };
    let change = json!({"person_seen": {
        "id": person.id.as_str(),
        "email": person.email,
        "role": person.role,
        "permissions": person.permissions.patterns(),
    }});
    let record: Recorder<Begun> = record_alone(person.org, &person.id, change);
    let (org, id) = (person.org, person.id.clone());
    let birth = app.births.read().await;
    let written = app.store.sign_in(person, None, record).await;
    let written = written.map_err(sign_ins::refusal)?;
    app.people.set(written.value.person);
    drop(birth);
    app.people
        .get(org, id.as_str())
        .ok_or_else(|| Failure::Internal("a person is not where it was put".to_owned()))
}

/// Somebody who presented an access token.
#[derive(Debug, Clone)]
pub struct Bearer {
    pub(crate) known: Arc<Known>,
    /// What the token itself says that the person may do, if it speaks of that.
    pub(crate) said: Option<Arc<Grant>>,
    pub(crate) impersonator: Option<Arc<str>>,
    pub(crate) expires_at: Timestamp,
}

/// An access token that is not taken.
#[derive(Debug)]
pub(crate) struct RefusedBearer {
    pub(crate) failure: Failure,
    /// Whose it is, where the provider bears that out and the person is known here.
    pub(crate) whose: Option<(Arc<Known>, Option<Arc<str>>)>,
}

impl From<Failure> for RefusedBearer {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            whose: None,
        }
    }
}

impl From<ProviderError> for RefusedBearer {
    fn from(error: ProviderError) -> Self {
        Failure::from(error).into()
    }
}

/// Whose access token this is.
///
/// # Errors
/// 401 for one that the provider's keys or settings do not bear out; 503 when they are not to be had.
pub(crate) async fn bearer(
    app: &Arc<App>,
    token: &str,
    now: Timestamp,
) -> Result<Bearer, RefusedBearer> {
    let verified = provider(app)?.verify_access_token(token, now).await?;
    let org = app.orgs.find(&verified.org);
    let known = org.and_then(|org| app.people.get(org, &verified.subject));
    let known = known.filter(|known| known.person.issuer == verified.issuer);
    let impersonator = verified.impersonator.as_ref();
    let impersonator = impersonator.map(|other| Arc::from(other.who.as_str()));
    of_verified(app, verified, now)
        .await
        .map_err(|failure| RefusedBearer {
            failure,
            whose: known.map(|known| (known, impersonator)),
        })
}

async fn of_verified(
    app: &Arc<App>,
    verified: Verified,
    now: Timestamp,
) -> Result<Bearer, Failure> {
    // Its last minute is over on our clock as well: what it says is of no account any more.
    if verified.expires_at <= now {
        return Err(Denial::SessionEnded.into());
    }
    let org = app.orgs.find(&verified.org).ok_or(Denial::NoOrgHere)?;
    let known = app.people.get(org, &verified.subject);
    let is_silent = verified.role.is_none()
        && verified.role_name.is_none()
        && verified.permissions == PermissionSet::NONE;
    let (person, said) = match &known {
        Some(known) if is_silent && known.person.issuer == verified.issuer => {
            let person = Person {
                last_seen_at: now,
                ..known.person.clone()
            };
            (person, None)
        }
        _ => {
            let person = person_of(app, &verified, now)?;
            let said = Arc::new(person.grant());
            // A token that does not say since when is older than anything.
            let told_at = verified.issued_at.unwrap_or(Timestamp::from_millis(0));
            let person = Person { told_at, ..person };
            (word_of_token(known.as_deref(), person), Some(said))
        }
    };
    let expires_at = verified.expires_at;
    let impersonator = verified.impersonator.map(|other| Arc::from(other.who));
    let known = meet(app, person, now).await?;
    Ok(Bearer {
        known,
        said,
        impersonator,
        expires_at,
    })
}

/// What a token changes about a person: nothing, unless it is newer than the last word. Otherwise
/// whoever keeps an old one would get an old role back.
fn word_of_token(known: Option<&Known>, person: Person) -> Person {
    match known {
        Some(known) if known.person.told_at >= person.told_at => Person {
            role: known.person.role.clone(),
            permissions: known.person.permissions,
            told_at: known.person.told_at,
            ..person
        },
        _ => person,
    }
}
