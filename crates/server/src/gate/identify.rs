//! Who asks: the tiers in order. A bad credential is never ignored in favour of a weaker one.

use std::{net::SocketAddr, sync::Arc};

use claviger_core::{
    authenticate,
    denial::Denial,
    evidence::{Arrival, Presented, presented},
    id::{Key, OrgId},
    key::{Credential, KeyStatus},
    tier::{Actor, Authority, Principal, Tier},
    time::Timestamp,
};
use claviger_wire::headers;
use http::{header, request::Parts};

use super::nobody;
use crate::{app::App, index::Slot};

/// The key that was presented, as the index holds it.
pub(super) type KeySlot = Arc<Slot<Key>>;

/// The outcome: a principal for the record in any case, and whether it is accepted.
pub(super) struct Identified {
    pub(super) principal: Arc<Principal>,
    pub(super) identity: Result<Option<KeySlot>, Denial>,
}

impl Identified {
    fn accepted(principal: Principal, slot: Option<KeySlot>) -> Self {
        Self {
            principal: Arc::new(principal),
            identity: Ok(slot),
        }
    }

    fn refused(app: &App, denial: Denial) -> Self {
        Self {
            principal: Arc::new(nobody(app.default_org)),
            identity: Err(denial),
        }
    }
}

/// Identifies the caller of a request.
pub(super) fn identify(app: &App, parts: &Parts, peer: SocketAddr, now: Timestamp) -> Identified {
    let bearers = parts
        .headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|value| value.as_bytes());
    match presented(bearers, &app.brands) {
        Err(denial) => Identified::refused(app, denial),
        Ok(Presented::Nothing) => without_credential(app, parts, peer),
        Ok(Presented::OrgKey(digest)) => match app.keys.find(&digest) {
            Some(slot) => with_key(app, parts, slot, now),
            None => Identified::refused(app, Denial::Unknown),
        },
        Ok(Presented::WorkspaceToken(digest)) => match app.workspace_tokens.find(&digest) {
            Some(_) if !app.config.workspace_tokens => {
                Identified::refused(app, Denial::WorkspaceTokensOff)
            }
            Some(slot) => match authenticate::workspace_token(&slot.credential, now) {
                Ok(principal) => {
                    app.workspace_tokens.touch(&slot, now);
                    in_its_org(app, parts, principal, None)
                }
                Err(denial) => attributed(&slot.credential, Tier::WorkspaceToken, denial),
            },
            None => Identified::refused(app, Denial::Unknown),
        },
        Ok(Presented::Opaque(text)) => {
            if app.admin_token.matches(text) {
                with_admin_token(app, parts)
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
    in_its_org(app, parts, principal, None)
}

/// Tier 2a.
fn with_key(app: &App, parts: &Parts, slot: KeySlot, now: Timestamp) -> Identified {
    let mut above = Vec::new();
    for id in &slot.credential.minter.chain {
        match app.keys.find_by_id(*id) {
            Some(minter) if minter.credential.status(now) == KeyStatus::Active => {
                above.push(Arc::clone(&minter.credential.grant));
            }
            Some(_) | None => {
                // Its own state is the better news, if it has any.
                let denial = authenticate::org_key(&slot.credential, [], now).err();
                let denial = denial.unwrap_or(Denial::MinterInactive);
                return attributed(&slot.credential, Tier::OrgKey, denial);
            }
        }
    }
    match authenticate::org_key(&slot.credential, above, now) {
        Ok(principal) => {
            app.keys.touch(&slot, now);
            in_its_org(app, parts, principal, Some(slot))
        }
        Err(denial) => attributed(&slot.credential, Tier::OrgKey, denial),
    }
}

/// Tier 2b: acts on the org that `X-Org-Id` names, else on `default`.
fn with_admin_token(app: &App, parts: &Parts) -> Identified {
    let (org, denial) = match named_org(app, parts) {
        Ok(named) => (named.unwrap_or(app.default_org), None),
        Err(denial) => (app.default_org, Some(denial)),
    };
    let principal = authenticate::admin_token(org, Arc::clone(&app.full_grant));
    match denial {
        None => Identified::accepted(principal, None),
        Some(denial) => Identified {
            principal: Arc::new(principal),
            identity: Err(denial),
        },
    }
}

/// Any other principal may name its own org and no other.
fn in_its_org(app: &App, parts: &Parts, principal: Principal, slot: Option<KeySlot>) -> Identified {
    match named_org(app, parts) {
        Ok(None) => Identified::accepted(principal, slot),
        Ok(Some(org)) if org == principal.org => Identified::accepted(principal, slot),
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
        authority: Authority::default(),
    };
    Identified {
        principal: Arc::new(principal),
        identity: Err(denial),
    }
}

/// The id of an org API key, where the credential is one.
trait KeyOf {
    fn key_of(&self) -> Option<claviger_core::id::KeyId>;
}

impl KeyOf for Credential<Key> {
    fn key_of(&self) -> Option<claviger_core::id::KeyId> {
        Some(self.id)
    }
}

impl KeyOf for Credential<claviger_core::id::WorkspaceToken> {
    fn key_of(&self) -> Option<claviger_core::id::KeyId> {
        None
    }
}
