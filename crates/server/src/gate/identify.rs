//! Who asks: the tiers in order. A bad credential is never ignored in favour of a weaker one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use claviger_core::{
    authenticate,
    denial::Denial,
    evidence::{Arrival, Presented, presented},
    id::{Key, KeyId, OrgId, WorkspaceToken},
    key::{Credential, Use},
    tier::{Actor, Authority, Principal, Tier},
    time::Timestamp,
};
use claviger_wire::headers;
use http::{header, request::Parts};

use super::{
    sessions::{accept_session, cookie_of, with_session},
    strangers::nobody,
    tokens::accept_bearer,
};
use claviger_store::StoreError;

use crate::{
    acceptance::{accept_key, accept_workspace_token},
    app::App,
    failure::Failure,
    index::Slot,
    ops::{sign_ins, sso::Bearer},
    people::LiveSession,
};

/// The key that was presented, as the index holds it.
pub type KeySlot = Arc<Slot<Key>>;

/// What a principal was accepted for, to be looked at again when time has passed.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Tier 0.
    Bootstrap,
    /// An org API key.
    Key(KeySlot),
    /// A workspace token.
    WorkspaceToken(Arc<Slot<WorkspaceToken>>),
    /// The `ADMIN_TOKEN` of this generation.
    AdminToken(u64),
    /// A person's session.
    Session(Arc<LiveSession>),
    /// A person's access token.
    Person(Arc<Bearer>),
}

impl Proof {
    /// The key, where it is one.
    #[must_use]
    pub const fn key(&self) -> Option<&KeySlot> {
        match self {
            Self::Key(slot) => Some(slot),
            Self::Bootstrap
            | Self::WorkspaceToken(_)
            | Self::AdminToken(_)
            | Self::Session(_)
            | Self::Person(_) => None,
        }
    }

    /// The person's session, where it is one.
    #[must_use]
    pub const fn session(&self) -> Option<&Arc<LiveSession>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Bootstrap
            | Self::WorkspaceToken(_)
            | Self::AdminToken(_)
            | Self::Key(_)
            | Self::Person(_) => None,
        }
    }

    /// When it ends if it is not used for so long, where it is a person's.
    #[must_use]
    pub fn ends_at(&self, app: &App) -> Option<Timestamp> {
        match self {
            Self::Session(live) => Some(sign_ins::end_of(app, live)),
            Self::Person(bearer) => Some(bearer.expires_at),
            Self::Bootstrap | Self::WorkspaceToken(_) | Self::AdminToken(_) | Self::Key(_) => None,
        }
    }

    /// Whether it would still be accepted: a request whose body took its time must not pass on
    /// what was revoked meanwhile.
    ///
    /// # Errors
    /// The denial that a new request would get.
    pub fn check_again(
        &self,
        app: &App,
        before: &Principal,
        now: Timestamp,
    ) -> Result<(), Failure> {
        match self.principal_now(app, now)? {
            // What was decided, was decided for another authority: whoever asks anew gets the right
            // answer.
            Some(after)
                if after.authority != before.authority
                    || after.replaced_until.is_some() != before.replaced_until.is_some() =>
            {
                Err(StoreError::Stale("credential").into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Who it is now; `None` for those whose authority never changes.
    fn principal_now(&self, app: &App, now: Timestamp) -> Result<Option<Principal>, Denial> {
        match self {
            Self::Bootstrap if app.bootstrap.is_open() => Ok(None),
            Self::Bootstrap => Err(Denial::NoCredential),
            Self::AdminToken(generation) if *generation == app.admin_token.generation() => Ok(None),
            Self::AdminToken(_) => Err(Denial::Unknown),
            Self::Key(slot) => {
                let found = app.keys.find(&slot.credential.digest);
                let slot = found.ok_or(Denial::Unknown)?;
                accept_key(app, &slot.credential, now).map(Some)
            }
            Self::WorkspaceToken(slot) => {
                let found = app.workspace_tokens.find(&slot.credential.digest);
                let slot = found.ok_or(Denial::Unknown)?;
                accept_workspace_token(app, &slot.credential, now).map(Some)
            }
            Self::Session(session) if app.sessions.has(session) => {
                accept_session(app, session, now).map(Some)
            }
            Self::Session(_) => Err(Denial::SessionEnded),
            Self::Person(bearer) => accept_bearer(app, bearer, now).map(Some),
        }
    }
}

/// The outcome: a principal for the record in any case, and whether it is accepted.
pub(super) struct Identified {
    pub(super) principal: Arc<Principal>,
    pub(super) identity: Result<Proof, Denial>,
}

impl Identified {
    fn accepted(principal: Principal, proof: Proof) -> Self {
        Self {
            principal: Arc::new(principal),
            identity: Ok(proof),
        }
    }

    pub(super) fn refused(app: &App, denial: Denial) -> Self {
        Self {
            principal: Arc::new(nobody(app.default_org)),
            identity: Err(denial),
        }
    }
}

/// Identifies the caller of a request.
///
/// `peer` is the other end of the connection, `client` where the request comes from, as far as
/// trusted proxies say.
pub(super) fn identify(
    app: &App,
    parts: &Parts,
    (peer, client): (SocketAddr, IpAddr),
    (now, is_page, comes_from_us): (Timestamp, bool, bool),
) -> Identified {
    let bearers = parts
        .headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|value| value.as_bytes());
    match presented(bearers, &app.brands) {
        Err(denial) => Identified::refused(app, denial),
        Ok(Presented::Nothing) => match cookie_of(app, parts) {
            // Tier 0 is for programs.
            Ok(None) if is_page => Identified::refused(app, Denial::NoCredential),
            Ok(None) => without_credential(app, parts, peer),
            Ok(Some(id)) => with_session(app, parts, id, (client, now, comes_from_us)),
            Err(denial) => Identified::refused(app, denial),
        },
        Ok(Presented::OrgKey(digest)) => match app.keys.find(&digest) {
            Some(slot) => with_key(app, parts, slot, (client, now)),
            None => Identified::refused(app, Denial::Unknown),
        },
        Ok(Presented::WorkspaceToken(digest)) => match app.workspace_tokens.find(&digest) {
            Some(_) if !app.config.workspace_tokens => {
                Identified::refused(app, Denial::WorkspaceTokensOff)
            }
            Some(slot) => match accept_workspace_token(app, &slot.credential, now) {
                Ok(principal) => {
                    app.workspace_tokens.touch(&slot, now, client);
                    in_its_org(app, parts, principal, Proof::WorkspaceToken(slot))
                }
                Err(denial) => attributed(&slot.credential, Tier::WorkspaceToken, denial),
            },
            None => Identified::refused(app, Denial::Unknown),
        },
        Ok(Presented::Opaque(text)) => {
            // Read first: a token that is replaced in between is found out later.
            let generation = app.admin_token.generation();
            if app.admin_token.matches(text) {
                with_admin_token(app, parts, generation)
            } else {
                Identified::refused(app, Denial::Unknown)
            }
        }
    }
}

/// Tier 0, or nobody.
fn without_credential(app: &App, parts: &Parts, peer: SocketAddr) -> Identified {
    let text = |name: &http::HeaderName| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    let host = match (parts.uri.authority(), hosts) {
        (_, 2..) => None,
        (Some(authority), 0) => Some(authority.as_str()),
        (Some(authority), _) => text(&header::HOST).filter(|host| *host == authority.as_str()),
        (None, _) => text(&header::HOST),
    };
    // Given more than once, the one that speaks against the caller counts.
    let harmless = ["none", "same-origin"];
    let sites = parts.headers.get_all(headers::SEC_FETCH_SITE).iter();
    let mut sites = sites.map(|value| value.to_str().unwrap_or("unreadable"));
    let first = sites.next();
    let fetch_site = sites.find(|site| !harmless.contains(site)).or(first);
    let arrival = Arrival {
        peer: peer.ip(),
        host,
        is_forwarded: headers::FORWARDING
            .iter()
            .any(|name| parts.headers.contains_key(*name)),
        has_origin: parts.headers.contains_key(header::ORIGIN),
        fetch_site,
    };
    // Proxies that say nothing of themselves speak HTTP/1.0 to what they stand in front of.
    let is_old = parts.version < http::Version::HTTP_11;
    if is_old || app.admin_token.is_set() || !app.bootstrap.admits(&arrival) {
        return Identified::refused(app, Denial::NoCredential);
    }
    tracing::warn!(
        method = %parts.method,
        path = parts.uri.path(),
        %peer,
        "tier 0: a request without a credential is let in until the first key is minted"
    );
    let principal = authenticate::bootstrap(app.default_org, Arc::clone(&app.full_grant));
    in_its_org(app, parts, principal, Proof::Bootstrap)
}

/// Tier 2a.
fn with_key(
    app: &App,
    parts: &Parts,
    slot: KeySlot,
    (client, now): (IpAddr, Timestamp),
) -> Identified {
    match accept_key(app, &slot.credential, now) {
        Ok(principal) => {
            if slot.last_used().is_none() && !slot.credential.is_replaced {
                app.old_secrets
                    .start_clock(&app.keys, slot.credential.id, now);
            }
            if slot.credential.is_replaced {
                let (id, prefix) = (slot.credential.id, slot.credential.prefix);
                let new = Use {
                    at: now,
                    from: Some(client),
                };
                app.old_secrets.note_use(id, prefix, new);
                app.other_uses.keep(id, new);
            }
            app.keys.touch(&slot, now, client);
            in_its_org(app, parts, principal, Proof::Key(slot))
        }
        Err(denial) => attributed(&slot.credential, Tier::OrgKey, denial),
    }
}

/// Tier 2b: acts on the org that `X-Org-Id` names, else on `default`.
fn with_admin_token(app: &App, parts: &Parts, generation: u64) -> Identified {
    let (org, denial) = match named_org(app, parts) {
        Ok(named) => (named.unwrap_or(app.default_org), None),
        Err(denial) => (app.default_org, Some(denial)),
    };
    let principal = authenticate::admin_token(org, Arc::clone(&app.full_grant));
    match denial {
        None => Identified::accepted(principal, Proof::AdminToken(generation)),
        Some(denial) => Identified {
            principal: Arc::new(principal),
            identity: Err(denial),
        },
    }
}

/// Any other principal may name its own org and no other.
pub(super) fn in_its_org(
    app: &App,
    parts: &Parts,
    principal: Principal,
    proof: Proof,
) -> Identified {
    match named_org(app, parts) {
        Ok(None) => Identified::accepted(principal, proof),
        Ok(Some(org)) if org == principal.org => Identified::accepted(principal, proof),
        // Whether another org exists is not for it to know.
        Ok(Some(_)) | Err(_) => Identified {
            principal: Arc::new(principal),
            identity: Err(Denial::OtherOrg),
        },
    }
}

fn named_org(app: &App, parts: &Parts) -> Result<Option<OrgId>, Denial> {
    let mut named = parts.headers.get_all(headers::X_ORG_ID).iter();
    let Some(first) = named.next() else {
        return Ok(None);
    };
    let text = first.to_str().or(Err(Denial::UnknownOrg))?;
    if named.next().is_some() {
        return Err(Denial::UnknownOrg);
    }
    app.orgs.find(text).map(Some).ok_or(Denial::UnknownOrg)
}

/// A refusal of a credential that is known: the record says whose it was, with no authority.
fn attributed<K>(credential: &Credential<K>, tier: Tier, denial: Denial) -> Identified
where
    Credential<K>: KeyOf,
{
    let actor = match tier {
        Tier::WorkspaceToken => Actor::WorkspaceToken(credential.prefix),
        _ => Actor::OrgKey(credential.prefix),
    };
    let principal = Principal {
        tier,
        org: credential.org,
        actor,
        key: credential.key_of(),
        minter: Some(Arc::clone(&credential.minter)),
        own_workspace: None,
        replaced_until: None,
        impersonator: None,
        session: None,
        is_break_glass: false,
        authority: Authority::default(),
    };
    Identified {
        principal: Arc::new(principal),
        identity: Err(denial),
    }
}

/// The id of an org API key, where the credential is one.
trait KeyOf {
    fn key_of(&self) -> Option<KeyId>;
}

impl KeyOf for Credential<Key> {
    fn key_of(&self) -> Option<KeyId> {
        Some(self.id)
    }
}

impl KeyOf for Credential<WorkspaceToken> {
    fn key_of(&self) -> Option<KeyId> {
        None
    }
}
