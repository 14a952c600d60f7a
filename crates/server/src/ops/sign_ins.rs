//! Signing in and out: a session begins with a one-time link, with `ADMIN_TOKEN`, or with the word
//! of an identity provider.

mod own;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use claviger_core::{
    action::{MakeLoginLink, SignIn},
    authorize::Permit,
    denial::Denial,
    digest::Digest,
    id::{OrgId, SessionId},
    permission::PermissionSet,
    person::{LOCAL_ISSUER, Person, PersonId, PersonState, Session, SignInMethod},
    tier::{Minter, Principal, Tier},
    time::Timestamp,
};
use claviger_store::{
    Acting, Begun, LinkMaker, NewSession, Receipt, Recorder, SignIn as StoredSignIn, StoreError,
    Written,
};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

pub use own::{Own, end_own, own_sessions, person, person_id};
pub(crate) use own::{end, end_of, of_person};

use crate::{
    acceptance::accept_key, app::App, clock, entropy, failure::Failure, people::LiveSession,
    trace::Trace,
};

/// How long a link works.
pub const LINK_LASTS: Duration = Duration::from_secs(600);

/// A link that was made.
pub struct Link {
    /// What stands behind `#` in it.
    pub token: Zeroizing<String>,
    /// Until when it works.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A session that began, with what its cookie holds.
pub struct SignedIn {
    /// The random id: for the one answer that sets the cookie.
    pub cookie: Zeroizing<String>,
    /// The session.
    pub session: Session,
    /// Proof that it is recorded.
    pub receipt: Receipt,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What a link gives, as it is kept until somebody uses it.
#[derive(Debug, Serialize, Deserialize)]
struct LinkText {
    kind: Kind,
    /// Who made it.
    made_by: String,
    /// The root and the chain of keys that the session ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minter: Option<MinterText>,
    /// The session in which it was made: a link that was not used yet ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The `ADMIN_TOKEN` that the session ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    admin_token: Option<[u8; 32]>,
}

/// Tells a link from a way to the provider that was begun.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Link,
}

#[derive(Debug, Serialize, Deserialize)]
struct MinterText {
    created_by: String,
    root: String,
    chain: Vec<String>,
}

impl MinterText {
    fn of(minter: &Minter) -> Self {
        Self {
            created_by: minter.created_by.to_string(),
            root: minter.root.to_string(),
            chain: minter.chain.iter().map(ToString::to_string).collect(),
        }
    }

    fn read(&self) -> Option<Minter> {
        let chain = self.chain.iter().map(|id| id.parse().ok());
        Some(Minter {
            created_by: self.created_by.parse().ok()?,
            root: self.root.parse().ok()?,
            chain: chain.collect::<Option<_>>()?,
        })
    }
}

/// A random text of 256 bits.
pub(crate) fn random_text() -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(entropy::for_secret()?);
    Ok(Zeroizing::new(BASE64.encode(*bytes)))
}

/// Makes a link with which one browser signs in, once, as the local administrator. The session holds
/// no more than whoever made the link, and ends with it.
///
/// # Errors
/// 409 where an identity provider is set: people sign in there.
pub async fn make_link(
    app: &Arc<App>,
    permit: &Permit<MakeLoginLink>,
    (session, trace): (Option<&Arc<LiveSession>>, &Arc<Trace>),
) -> Result<Written<Link>, Failure> {
    require_no_provider(app)?;
    let principal = permit.principal();
    // A session would go on past the end of the overlap.
    if principal.replaced_until.is_some() {
        return Err(Denial::ReplacedSecret.into());
    }
    let minter = principal.as_minter();
    let text = LinkText {
        kind: Kind::Link,
        made_by: principal.actor.to_string(),
        minter: (!minter.chain.is_empty()).then(|| MinterText::of(&minter)),
        session: principal.session.map(|id| id.to_string()),
        admin_token: match principal.tier {
            Tier::AdminToken => app.admin_token.fingerprint(),
            _ => session.and_then(|live| live.session.admin_token),
        },
    };
    let acting = super::acting(principal);
    let trace = Arc::clone(trace);
    let record: Recorder<StoredSignIn> = Box::new(move |link| {
        let change = json!({"login_link": {"expires_at": link.expires_at.to_string()}});
        trace.entry_of_change(201, &change)
    });
    let maker = link_maker(principal);
    let link = (permit.org(), &text, maker);
    let (value, receipt) = put_link(app, link, acting, Some(record)).await?;
    let receipt = receipt.ok_or_else(|| Failure::Internal("a link has no record".to_owned()))?;
    Ok(Written { value, receipt })
}

/// The link that `serve` prints to a terminal.
///
/// # Errors
/// That of the store.
pub(crate) async fn console_link(app: &Arc<App>) -> Result<Link, Failure> {
    let text = LinkText {
        kind: Kind::Link,
        made_by: "console".to_owned(),
        minter: None,
        session: None,
        admin_token: None,
    };
    let acting = Acting {
        key: None,
        prefix: None,
        session: None,
        now: clock::now(),
    };
    let maker = LinkMaker {
        maker: text.made_by.clone(),
        line: text.made_by.clone(),
    };
    let link = (app.default_org, &text, maker);
    let (link, _) = put_link(app, link, acting, None).await?;
    Ok(link)
}

/// As whom the links of a principal are counted.
fn link_maker(principal: &Principal) -> LinkMaker {
    let maker = match principal.key {
        Some(id) => id.to_string(),
        None => principal.actor.to_string(),
    };
    let above = principal.minter.as_ref();
    let topmost = above.and_then(|minter| minter.chain.last());
    LinkMaker {
        line: topmost.map_or_else(|| maker.clone(), ToString::to_string),
        maker,
    }
}

async fn put_link(
    app: &App,
    (org, text, maker): (OrgId, &LinkText, LinkMaker),
    acting: Acting,
    record: Option<Recorder<StoredSignIn>>,
) -> Result<(Link, Option<Receipt>), Failure> {
    let token = random_text()?;
    let expires_at = acting.now.plus(LINK_LASTS);
    let sign_in = StoredSignIn {
        digest: *Digest::of(token.as_bytes()).as_bytes(),
        org: Some(org),
        payload: serde_json::to_string(text).unwrap_or_default(),
        expires_at,
        maker: Some(maker),
    };
    let receipt = app.store.put_sign_in(sign_in, acting, record).await?;
    Ok((Link { token, expires_at }, receipt))
}

/// The address to open, by which the caller reached this server.
#[must_use]
pub fn link_url(app: &App, headers: &HeaderMap, token: &str) -> String {
    let base = app.config.public_url.clone().unwrap_or_else(|| {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        format!("http://{}", host.unwrap_or("127.0.0.1:8080"))
    });
    format!("{base}/canvas/link#{token}")
}

/// Counts an attempt to sign in here. It comes before anything of the attempt is read.
///
/// # Errors
/// 409 where an identity provider is set; 429 beyond the limit.
pub fn attempt(app: &App, trace: &Trace) -> Result<Attempt, Failure> {
    require_no_provider(app)?;
    app.sign_in_limiter.check(trace.client, trace.at)?;
    Ok(Attempt(()))
}

/// Proof that an attempt to sign in was counted.
#[derive(Debug)]
pub struct Attempt(());

/// Signs in with a one-time link.
///
/// # Errors
/// 401 for a link that was used, has ended, or was never made; 403 for a suspended or removed person.
pub async fn use_link(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    (_counted, token): (Attempt, &str),
    trace: &Arc<Trace>,
) -> Result<SignedIn, Failure> {
    let digest = *Digest::of(token.as_bytes()).as_bytes();
    let taken = app.store.take_sign_in(digest, clock::now()).await?;
    let taken = taken.ok_or(Denial::BadLink)?;
    let text: LinkText =
        serde_json::from_str(&taken.payload).map_err(|_other_kind| Denial::BadLink)?;
    let minter = match &text.minter {
        None => None,
        Some(minter) => Some(minter.read().ok_or(Denial::BadLink)?),
    };
    if !has_living_maker(app, &text, minter.as_ref()) {
        return Err(Denial::BadLink.into());
    }
    let how = How {
        method: SignInMethod::Link,
        minter,
        admin_token: text.admin_token,
        made_by: Some(text.made_by),
    };
    begin_local(app, taken.org.unwrap_or(app.default_org), how, trace).await
}

/// Whether a session that begins with a link would be accepted, for all that made the link: nobody is
/// signed in only to be told that the session has ended.
fn has_living_maker(app: &App, text: &LinkText, minter: Option<&Minter>) -> bool {
    // Whoever has signed out everywhere has taken back what was made while signed in.
    let is_alive = |id: &String| !app.sessions.select(|s| s.id.to_string() == *id).is_empty();
    let has_session = text.session.as_ref().is_none_or(is_alive);
    let key = minter.and_then(|minter| minter.chain.first());
    let has_key = key.is_none_or(|id| {
        let slot = app.keys.find_by_id(*id);
        slot.is_some_and(|slot| accept_key(app, &slot.credential, clock::now()).is_ok())
    });
    let token = text.admin_token;
    let has_token = token.is_none() || token == app.admin_token.fingerprint();
    has_session && has_key && has_token
}

/// Signs in with `ADMIN_TOKEN`, as the local administrator of an org.
///
/// # Errors
/// 401 for any other text; 400 for an org that is not there.
pub async fn use_admin_token(
    app: &Arc<App>,
    _permit: &Permit<SignIn>,
    (_counted, token, org): (Attempt, &str, Option<&str>),
    trace: &Arc<Trace>,
) -> Result<SignedIn, Failure> {
    let fingerprint = app.admin_token.fingerprint();
    if !app.admin_token.matches(token) {
        return Err(Denial::Unknown.into());
    }
    let org = match org {
        Some(name) => app.orgs.find(name).ok_or(Denial::UnknownOrg)?,
        None => app.default_org,
    };
    let how = How {
        method: SignInMethod::AdminToken,
        minter: None,
        admin_token: fingerprint,
        made_by: None,
    };
    begin_local(app, org, how, trace).await
}

fn require_no_provider(app: &App) -> Result<(), Failure> {
    if app.has_provider() {
        return Err(Failure::Refused(
            "an identity provider is set: people sign in there",
        ));
    }
    Ok(())
}

/// How a local session began.
struct How {
    method: SignInMethod,
    minter: Option<Minter>,
    admin_token: Option<[u8; 32]>,
    made_by: Option<String>,
}

async fn begin_local(
    app: &Arc<App>,
    org: OrgId,
    how: How,
    trace: &Arc<Trace>,
) -> Result<SignedIn, Failure> {
    let now = clock::now();
    let person = Person {
        org,
        id: PersonId::local_admin(),
        issuer: LOCAL_ISSUER.to_owned(),
        email: None,
        name: Some("Local administrator".to_owned()),
        role: "admin".to_owned(),
        permissions: PermissionSet::ALL,
        told_at: now,
        first_seen_at: now,
        last_seen_at: now,
        state: PersonState::Active,
        decision: None,
    };
    let session = Session {
        method: how.method,
        minter: how.minter,
        admin_token: how.admin_token,
        ..new_session(app, &person, trace, now)
    };
    let by = how.made_by.map(|actor| json!(actor));
    begin(app, (person, session, None), by, trace).await
}

/// A session that is about to begin.
pub(crate) fn new_session(app: &App, person: &Person, trace: &Trace, now: Timestamp) -> Session {
    Session {
        id: SessionId::from_parts(now, entropy::bits()),
        org: person.org,
        person: person.id.clone(),
        method: SignInMethod::Oidc,
        created_at: now,
        seen_at: now,
        ends_at: now.plus(app.config.session_max),
        client: Some(trace.client),
        user_agent: trace.user_agent.clone(),
        minter: None,
        admin_token: None,
        provider_session: None,
        impersonator: None,
        fresh_until: None,
    }
}

/// Begins a session: from the commit on its cookie is accepted.
pub(crate) async fn begin(
    app: &Arc<App>,
    (person, session, sealed): (Person, Session, Option<Vec<u8>>),
    link_by: Option<serde_json::Value>,
    trace: &Arc<Trace>,
) -> Result<SignedIn, Failure> {
    let cookie = random_text()?;
    let digest = Digest::of(cookie.as_bytes());
    let new = NewSession {
        session: session.clone(),
        digest: *digest.as_bytes(),
        sealed,
    };
    let record: Recorder<Begun> = {
        let (trace, session) = (Arc::clone(trace), session.clone());
        Box::new(move |begun: &Begun| {
            let change = json!({"signed_in": {
                "session": session.id.to_string(),
                "method": session.method.as_str(),
                "role": begun.person.role,
                "link_by": link_by,
            }});
            trace.entry_of_sign_in(&begun.person, &session, &change)
        })
    };
    // Whoever suspends or removes the person waits until its session is known here.
    let birth = app.births.read().await;
    let written = app.store.sign_in(person, Some(new), record).await;
    let written = written.map_err(refusal)?;
    let begun = written.value;
    app.people.set(begun.person);
    app.sessions.put(session.clone(), &digest);
    app.sessions.end(|other| begun.ended.contains(&other.id));
    drop(birth);
    app.sign_in_limiter.forgive(trace.client, trace.at);
    Ok(SignedIn {
        cookie,
        session,
        receipt: written.receipt,
    })
}

/// A sign-in of somebody who may not is a refusal like any other.
pub(crate) fn refusal(error: StoreError) -> Failure {
    match error {
        StoreError::PersonInactive(PersonState::Suspended) => Denial::PersonSuspended.into(),
        StoreError::PersonInactive(PersonState::Removed) => Denial::PersonRemoved.into(),
        other => other.into(),
    }
}
