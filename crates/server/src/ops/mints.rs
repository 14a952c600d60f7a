//! Minting: a key for somebody who may pass on what it holds.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    action::MintKey,
    authorize::Permit,
    delegation,
    digest::Digest,
    grant::Grant,
    id::{KeyId, OrgId},
    key::{Metadata, OrgKey, OwnSecret},
    policy::NewKeyFacts,
    tier::{Authority, Minter, Principal, Tier},
    time::{Timestamp, format_duration},
    token::{Prefix, Secret},
};
use claviger_store::{Idempotency, MintLimits, NewKey, Receipt, Recorder, StoreError, Written};
use serde_json::json;

use crate::{app::App, clock, entropy, failure::Failure, policies::InForce, trace::Trace};

/// How often a mint is tried with another secret when its prefix is taken: at a million keys that
/// happens once in a hundred million mints.
pub(super) const PREFIX_TRIES: usize = 5;
/// The most keys above a key: each of them is looked at for each request.
pub(super) const CHAIN_MAX: usize = 16;

/// A key to be minted, checked.
#[derive(Debug, Clone)]
pub struct Mint {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// Whether its permissions were asked for, and not inherited.
    pub are_permissions_asked: bool,
    /// The end that was asked for, and the field that asks for it.
    pub end: Option<(&'static str, Timestamp)>,
    /// Free pairs.
    pub metadata: Metadata,
    /// How often it is to get another secret.
    pub rotate_every: Option<Duration>,
    /// What makes a repetition recognisable.
    pub idempotency: Option<Idempotency>,
}

/// A key that was minted, with its secret.
pub struct Minted {
    /// The key.
    pub key: OrgKey,
    /// The secret: for the one response that shows it.
    pub secret: Secret,
    /// Proof that it is recorded.
    pub receipt: Receipt,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What a mint would come to now: the grant and the end. Nothing is minted.
///
/// # Errors
/// As [`mint`], but for a repetition and the mint limit.
pub fn preview(
    app: &App,
    permit: &Permit<MintKey>,
    mint: &Mint,
) -> Result<(Grant, Option<Timestamp>), Failure> {
    let principal = permit.principal();
    if let Some(field) = permit.field_beyond(&mint.grant) {
        return Err(Failure::BeyondMinter(field));
    }
    let minter = principal.as_minter();
    minting(app, principal, &minter).conform(mint, clock::now())
}

/// Mints a key.
///
/// # Errors
/// 403 for a grant beyond the minter's, 409 for a repetition, 429 beyond the mint limit.
pub async fn mint(
    app: &Arc<App>,
    permit: &Permit<MintKey>,
    mint: Mint,
    trace: &Arc<Trace>,
) -> Result<Minted, Failure> {
    let principal = permit.principal();
    if let Some(field) = permit.field_beyond(&mint.grant) {
        return Err(Failure::BeyondMinter(field));
    }
    let minter = principal.as_minter();
    if minter.chain.len() > CHAIN_MAX {
        return Err(Failure::Refused(
            "a key may stand at most 16 mints below the org",
        ));
    }
    let now = clock::now();
    app.mint_limiter.check(principal, now)?;
    for _ in 0..PREFIX_TRIES {
        let secret = Secret::from_entropy(&app.config.brand, &entropy::for_secret()?);
        // A policy comes into force when no mint is under way: what it is now, it is at the commit.
        let birth = app.births.read().await;
        let (grant, expires_at) = minting(app, principal, &minter).conform(&mint, now)?;
        let key = OrgKey {
            grant,
            expires_at,
            ..new_key(principal.org, &minter, &mint, (secret.prefix(), now))
        };
        let new = NewKey {
            key,
            digest: *secret.digest().as_bytes(),
            is_bootstrap: principal.tier == Tier::Bootstrap,
            idempotency: mint.idempotency.clone(),
            limits: minting(app, principal, &minter).limits(),
        };
        let acting = super::acting(principal);
        let outcome = app.store.mint_key(new, acting, record_mint(trace)).await;
        match outcome {
            Ok(Written {
                value: key,
                receipt,
            }) => {
                take_in(app, &key, secret.digest())?;
                drop(birth);
                return Ok(Minted {
                    key,
                    secret,
                    receipt,
                });
            }
            Err(StoreError::PrefixTaken) => {}
            Err(StoreError::BootstrapClosed) => {
                app.bootstrap.close();
                return Err(StoreError::BootstrapClosed.into());
            }
            Err(error) => {
                let is_unknown = matches!(error, StoreError::Unavailable { .. });
                if is_unknown && principal.tier == Tier::Bootstrap {
                    app.settle_bootstrap();
                }
                return Err(error.into());
            }
        }
    }
    Err(Failure::Internal("no free prefix was found".to_owned()))
}

fn new_key(org: OrgId, minter: &Minter, mint: &Mint, (prefix, now): (Prefix, Timestamp)) -> OrgKey {
    OrgKey {
        id: KeyId::from_parts(now, entropy::bits()),
        org,
        name: mint.name.clone(),
        prefix,
        minter: minter.clone(),
        created_at: now,
        expires_at: None,
        grant: mint.grant.clone(),
        metadata: mint.metadata.clone(),
        suspension: None,
        resumed_at: None,
        revocation: None,
        last_use: None,
        secret: OwnSecret {
            since: now,
            last_use: None,
        },
        rotate_every: mint.rotate_every,
    }
}

pub(super) fn minting<'a>(app: &App, principal: &'a Principal, minter: &'a Minter) -> Minting<'a> {
    Minting {
        tier: principal.minting_tier(),
        policy: app.policies.of(principal.org),
        authority: &principal.authority,
        above: &minter.chain,
        ends: principal.key.and_then(|id| {
            let slot = app.keys.find_by_id(id)?;
            slot.credential.expires()
        }),
    }
}

/// What bounds a mint, whoever asks for it.
pub(super) struct Minting<'a> {
    /// How the minter proved itself, as a policy sees it.
    pub(super) tier: Tier,
    /// The org's policy.
    pub(super) policy: Option<Arc<InForce>>,
    /// What the minter holds.
    pub(super) authority: &'a Authority,
    /// The keys above the new one, nearest first.
    pub(super) above: &'a [KeyId],
    /// When the minter ends.
    pub(super) ends: Option<Timestamp>,
}

impl Minting<'_> {
    /// The grant and the end that a mint comes to: what was left out is cut to what the keys above
    /// and the org's policy allow; what was asked for beyond it is refused.
    pub(super) fn conform(
        &self,
        mint: &Mint,
        now: Timestamp,
    ) -> Result<(Grant, Option<Timestamp>), Failure> {
        let policy = self.policy.as_ref().map(|policy| &policy.policy);
        let mut grant = mint.grant.clone();
        if let Some(policy) = policy.filter(|_| !mint.are_permissions_asked) {
            grant.permissions = grant.permissions.intersection(policy.ceiling);
        }
        let lifetimes = [
            delegation::lifetime_max(self.authority),
            policy.and_then(|policy| policy.lifetime_max),
        ];
        let allowed = lifetimes.into_iter().flatten().map(|span| now.plus(span));
        let latest = allowed.chain(self.ends).min();
        let end = match (mint.end, self.ends) {
            (None, _) => latest,
            (Some((field, at)), Some(ends)) if at > ends => {
                return Err(Failure::BeyondMinter(field));
            }
            (Some((_, at)), _) => Some(at),
        };
        if end.is_some_and(|end| end <= now) {
            return Err(Failure::out_of_range("expires_in", "must be in the future"));
        }
        let lifetime = end.map(|end| end.since(now));
        delegation::check(self.authority, lifetime)?;
        if let Some(policy) = policy {
            policy.check_mint(NewKeyFacts {
                tier: self.tier,
                depth: self.above.len(),
                grant: &grant,
                lifetime,
                metadata: &mint.metadata,
            })?;
        }
        Ok((grant, end))
    }

    /// How many keys there may be with the new one.
    pub(super) fn limits(&self) -> MintLimits {
        let policy = self.policy.as_ref();
        MintLimits {
            keys_max: policy.and_then(|policy| policy.policy.keys_max),
            below: delegation::counts(self.above, self.authority),
        }
    }
}

fn record_mint(trace: &Arc<Trace>) -> Recorder<OrgKey> {
    let trace = Arc::clone(trace);
    Box::new(move |key: &OrgKey| {
        let grant: serde_json::Value =
            serde_json::from_str(&key.grant.to_json()).unwrap_or_default();
        let change = json!({"minted": {
            "id": key.id.to_string(),
            "name": key.name,
            "prefix": key.prefix.as_str(),
            "expires_at": key.expires_at.map(|at| at.to_string()),
            "rotate_every": key.rotate_every.map(format_duration),
            "grant": grant,
        }});
        trace.entry_of_change(201, &change)
    })
}

/// From the commit on the key is accepted, and tier 0 is closed.
pub(super) fn take_in(app: &App, key: &OrgKey, digest: Digest) -> Result<(), Failure> {
    app.bootstrap.close();
    let credential = app
        .interner
        .minted(key, digest)
        .map_err(Failure::Internal)?;
    app.keys.put(credential, None);
    app.policies.look_again(key);
    Ok(())
}
