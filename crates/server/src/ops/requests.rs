//! Requests for keys: ask, decide, withdraw, collect.

use std::sync::Arc;

use claviger_core::{
    action::{Action, AskForKey, CollectKey, DecideRequest, ReadRequests, WithdrawRequest},
    authorize::Permit,
    denial::Denial,
    grant::Grant,
    id::{KeyId, OrgId, RequestId},
    key::{KeyStatus, Metadata, OrgKey, OwnSecret},
    permission::Permission,
    request::{
        Approved, Asker, Decision, KeyRequest, METADATA_NAME, PENDING_FOR, Status, Step, Void,
        Wanted,
    },
    text::LABELS_MAX,
    tier::{Authority, Minter, Principal, Tier},
    time::Timestamp,
    token::{Prefix, Secret},
};
use claviger_store::{Acting, Collected, MintLimits, NewKey, Recorder, StoreError, Written};
use serde_json::json;

use super::mints::{CHAIN_MAX, Mint, Minted, Minting, PREFIX_TRIES, minting, take_in};
use crate::{app::App, clock, entropy, failure::Failure, trace::Trace};

/// What a request inherits where it says nothing.
#[derive(Debug)]
pub struct Base {
    /// The grant.
    pub grant: Grant,
    /// The end.
    pub ends: Option<Timestamp>,
}

/// Asks for a key; `make` says what is wanted, given what is inherited.
///
/// # Errors
/// 403 for a key that is neither the asker's own nor minted by it, 404, 409 beyond the limits, and
/// whatever `make` refuses.
pub async fn ask(
    app: &Arc<App>,
    permit: &Permit<AskForKey>,
    (for_key, justification): (Option<KeyId>, String),
    make: impl FnOnce(&Base, Timestamp) -> Result<Wanted, Failure>,
    record: Recorder<KeyRequest>,
) -> Result<Written<KeyRequest>, Failure> {
    let principal = permit.principal();
    let base = base(app, permit, for_key).await?;
    let acting = super::acting(principal);
    let request = KeyRequest {
        id: RequestId::from_parts(acting.now, entropy::bits()),
        org: principal.org,
        asker: Asker::of(principal),
        asked_by: principal.actor.clone(),
        asked_at: acting.now,
        justification,
        wanted: make(&base, acting.now)?,
        for_key,
        expires_at: acting.now.plus(PENDING_FOR),
        stage: Status::Pending,
        decision: None,
        approved: None,
        collection: None,
    };
    let written = app.store.insert_request(request, acting, record).await?;
    app.waiting.follow(&written.value);
    Ok(written)
}

/// What the key that `for` names is and may do, or else the asker.
async fn base(
    app: &App,
    permit: &Permit<AskForKey>,
    for_key: Option<KeyId>,
) -> Result<Base, Failure> {
    let principal = permit.principal();
    let Some(id) = for_key else {
        let own = principal.authority.layers().first();
        return Ok(Base {
            grant: Grant::clone(own.unwrap_or(&app.full_grant)),
            ends: end_of(app, principal),
        });
    };
    let key = app.store.find_key(principal.org, id).await?;
    let key = key.ok_or(Failure::NotFound("key"))?;
    let is_own = match principal.key {
        Some(own) => own == id || key.minter.chain.contains(&own),
        None => key.minter.root == principal.actor,
    };
    if !is_own {
        return Err(Failure::NotYourKey);
    }
    Ok(Base {
        grant: key.grant,
        ends: key.expires_at,
    })
}

/// When the key that acts ends.
fn end_of(app: &App, principal: &Principal) -> Option<Timestamp> {
    let slot = app.keys.find_by_id(principal.key?)?;
    slot.credential.expires()
}

/// Whose requests a caller sees: with `org:admin`, on the routes of its grant, those of the org.
#[must_use]
pub fn seen(permit: &Permit<ReadRequests>, trace: &Trace) -> Option<Asker> {
    // The action itself asks for nothing, so that everybody sees its own.
    let sees_all = permit.has(Permission::OrgAdmin)
        && permit.reaches_endpoint(trace.method.as_str(), &trace.path);
    (!sees_all).then(|| Asker::of(permit.principal()))
}

/// A request that the caller may see.
///
/// # Errors
/// 404, also for one of somebody else.
pub async fn get(
    app: &App,
    permit: &Permit<ReadRequests>,
    id: RequestId,
    trace: &Trace,
) -> Result<KeyRequest, Failure> {
    let request = find(app, permit.org(), id).await?;
    match seen(permit, trace) {
        Some(asker) if asker != request.asker => Err(Failure::NotFound("request")),
        Some(_) | None => Ok(request),
    }
}

async fn find(app: &App, org: OrgId, id: RequestId) -> Result<KeyRequest, Failure> {
    let found = app.store.find_request(org, id).await?;
    found.ok_or(Failure::NotFound("request"))
}

/// The caller's own request; that of anybody else is a 404.
async fn own<A: Action>(
    app: &App,
    permit: &Permit<A>,
    id: RequestId,
) -> Result<KeyRequest, Failure> {
    let request = find(app, permit.org(), id).await?;
    if request.asker == Asker::of(permit.principal()) {
        Ok(request)
    } else {
        Err(Failure::NotFound("request"))
    }
}

/// Approves a request; `make` says what is approved, given what was asked. Whoever approves is the
/// minter of what is collected, so it must hold all of that, and the right to mint.
///
/// # Errors
/// 403 for a request of the approver itself or of a key above it, without the right to mint, and for
/// what is beyond the approver; 404; 409 when it is not pending; whatever `make` refuses.
pub async fn approve(
    app: &Arc<App>,
    permit: &Permit<DecideRequest>,
    (id, note): (RequestId, Option<String>),
    make: impl FnOnce(&KeyRequest, Timestamp) -> Result<(Approved, &'static str), Failure>,
    record: Recorder<KeyRequest>,
) -> Result<Written<KeyRequest>, Failure> {
    let principal = permit.principal();
    // As with a collection: it must not give out power for the time after its end.
    if principal.replaced_until.is_some() {
        return Err(Denial::ReplacedSecret.into());
    }
    let request = find(app, permit.org(), id).await?;
    if request.asker == Asker::of(principal) || request.asker.is_above(principal) {
        return Err(Failure::OwnRequest);
    }
    let acting = super::acting(principal);
    match request.status(acting.now) {
        Status::Pending => {}
        status => return Err(StoreError::WrongStatus(status).into()),
    }
    if !permit.has(Permission::TokensMint) {
        return Err(Denial::MissingPermission(Permission::TokensMint).into());
    }
    let (approved, field) = make(&request, acting.now)?;
    if let Some(field) = permit.field_beyond(&approved.grant) {
        return Err(Failure::BeyondMinter(field));
    }
    let end = approved.lifetime.end(acting.now);
    if end.is_some_and(|end| end <= acting.now) {
        return Err(StoreError::ApprovalVoid(Void::Over).into());
    }
    if let (Some(end), Some(own)) = (end, end_of(app, principal))
        && end > own
    {
        return Err(Failure::BeyondMinter(field));
    }
    let minter = principal.as_minter();
    if minter.chain.len() > CHAIN_MAX {
        let reason = "a key may stand at most 16 mints below the org";
        return Err(Failure::Refused(reason));
    }
    // What could not be collected is not approved.
    let mint = Mint {
        name: request.wanted.name.clone(),
        grant: approved.grant.clone(),
        are_permissions_asked: true,
        end: end.map(|end| (field, end)),
        metadata: metadata(&request),
        rotate_every: None,
        idempotency: None,
    };
    minting(app, principal, &minter).conform(&mint, acting.now)?;
    let step = Step::Approve(decision(principal, acting.now, note), approved);
    take(app, (permit.org(), id), step, acting, record).await
}

/// Denies a request, or takes an approval back that was not collected.
///
/// # Errors
/// 404; 409 when it is closed.
pub async fn deny(
    app: &Arc<App>,
    permit: &Permit<DecideRequest>,
    (id, note): (RequestId, Option<String>),
    record: Recorder<KeyRequest>,
) -> Result<Written<KeyRequest>, Failure> {
    let principal = permit.principal();
    let acting = super::acting(principal);
    let step = Step::Deny(decision(principal, acting.now, note));
    take(app, (permit.org(), id), step, acting, record).await
}

/// Takes a step, and counts what still waits.
async fn take(
    app: &App,
    (org, id): (OrgId, RequestId),
    step: Step,
    acting: Acting,
    record: Recorder<KeyRequest>,
) -> Result<Written<KeyRequest>, Failure> {
    let written = app
        .store
        .step_request(org, id, step, acting, record)
        .await?;
    app.waiting.follow(&written.value);
    Ok(written)
}

fn decision(by: &Principal, at: Timestamp, note: Option<String>) -> Decision {
    Decision {
        by: by.actor.clone(),
        key: by.key,
        tier: by.minting_tier(),
        at,
        note,
    }
}

/// Takes the caller's own request back.
///
/// # Errors
/// 404, also for one of somebody else; 409 when it is closed.
pub async fn withdraw(
    app: &Arc<App>,
    permit: &Permit<WithdrawRequest>,
    id: RequestId,
    record: Recorder<KeyRequest>,
) -> Result<Written<KeyRequest>, Failure> {
    own(app, permit, id).await?;
    let acting = super::acting(permit.principal());
    take(app, (permit.org(), id), Step::Withdraw, acting, record).await
}

/// Mints the key of the caller's own approved request, once. Its minter is whoever approved.
///
/// # Errors
/// 403 for a replaced secret; 404, also for a request of somebody else; 409 when it is not approved,
/// or when the approver does not hold any more what it approved; 429 beyond the mint limit.
pub async fn collect(
    app: &Arc<App>,
    permit: &Permit<CollectKey>,
    id: RequestId,
    trace: &Arc<Trace>,
) -> Result<Minted, Failure> {
    let principal = permit.principal();
    // A secret that was replaced, perhaps because it leaked, must not get a new key with it.
    if principal.replaced_until.is_some() {
        return Err(Denial::ReplacedSecret.into());
    }
    let request = own(app, permit, id).await?;
    let now = clock::now();
    let draft = Draft::of(app, &request, now)?;
    app.mint_limiter.check(principal, now)?;
    for _ in 0..PREFIX_TRIES {
        let secret = Secret::from_entropy(&app.config.brand, &entropy::for_secret()?);
        let acting = super::acting(principal);
        // As with a mint: whoever revokes the approver waits until the index has the key, and the
        // policy is what it is at the commit.
        let birth = app.births.read().await;
        let (grant, expires_at, limits) = draft.conform(app)?;
        let new = NewKey {
            key: OrgKey {
                grant,
                expires_at,
                ..draft.key(secret.prefix())
            },
            digest: *secret.digest().as_bytes(),
            is_bootstrap: principal.tier == Tier::Bootstrap,
            idempotency: None,
            limits,
        };
        let outcome = app
            .store
            .collect_request(id, new, acting, record_collection(trace))
            .await;
        match outcome {
            Ok(Written { value, receipt }) => {
                take_in(app, &value.key, secret.digest())?;
                drop(birth);
                return Ok(Minted {
                    key: value.key,
                    secret,
                    receipt,
                });
            }
            Err(StoreError::PrefixTaken) => {}
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

/// The key of a request, but for its secret.
struct Draft<'a> {
    request: &'a KeyRequest,
    grant: &'a Grant,
    minter: Minter,
    /// How the minter had proved itself.
    tier: Tier,
    expires_at: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Draft<'a> {
    fn of(app: &App, request: &'a KeyRequest, now: Timestamp) -> Result<Self, Failure> {
        let (approved, decision) = match (&request.approved, &request.decision) {
            (Some(approved), Some(decision)) if request.status(now) == Status::Approved => {
                (approved, decision)
            }
            _ => return Err(StoreError::WrongStatus(request.status(now)).into()),
        };
        let (minter, minter_ends) = minter(app, decision, now)?;
        let expires_at = request.end_of_key(approved, minter_ends, now);
        if expires_at.is_some_and(|end| end <= now) {
            return Err(StoreError::ApprovalVoid(Void::Over).into());
        }
        Ok(Self {
            request,
            grant: &approved.grant,
            minter,
            tier: decision.tier,
            expires_at,
            now,
        })
    }

    fn key(&self, prefix: Prefix) -> OrgKey {
        OrgKey {
            id: KeyId::from_parts(self.now, entropy::bits()),
            org: self.request.org,
            name: self.request.wanted.name.clone(),
            prefix,
            minter: self.minter.clone(),
            created_at: self.now,
            expires_at: self.expires_at,
            grant: self.grant.clone(),
            metadata: metadata(self.request),
            suspension: None,
            resumed_at: None,
            revocation: None,
            last_use: None,
            secret: OwnSecret {
                since: self.now,
                last_use: None,
            },
            rotate_every: None,
        }
    }

    /// The grant and the end that the key gets, and how many keys there may be with it: what bounds
    /// a mint by the approver bounds this one.
    fn conform(&self, app: &App) -> Result<(Grant, Option<Timestamp>, MintLimits), Failure> {
        let slots = self.minter.chain.iter().map(|id| app.keys.find_by_id(*id));
        let slots: Option<Vec<_>> = slots.collect();
        let slots = slots.ok_or(StoreError::ApprovalVoid(Void::ApproverEnded))?;
        let grants = slots.iter().map(|slot| Arc::clone(&slot.credential.grant));
        let authority = Authority::of(grants.collect());
        let minting = Minting {
            tier: self.tier,
            policy: app.policies.of(self.request.org),
            authority: &authority,
            above: &self.minter.chain,
            ends: slots.first().and_then(|slot| slot.credential.expires()),
        };
        let mint = Mint {
            name: self.request.wanted.name.clone(),
            grant: self.grant.clone(),
            are_permissions_asked: true,
            end: self.expires_at.map(|at| ("expires_in", at)),
            metadata: metadata(self.request),
            rotate_every: None,
            idempotency: None,
        };
        let (grant, end) = minting.conform(&mint, self.now)?;
        Ok((grant, end, minting.limits()))
    }
}

/// What was asked for, and the id of the request where that name is free.
fn metadata(request: &KeyRequest) -> Metadata {
    let mut metadata = request.wanted.metadata.clone();
    if metadata.len() < LABELS_MAX {
        let name = METADATA_NAME.to_owned();
        metadata.entry(name).or_insert(request.id.to_string());
    }
    metadata
}

/// Whoever approved, as the minter, and when it ends.
fn minter(
    app: &App,
    decision: &Decision,
    now: Timestamp,
) -> Result<(Minter, Option<Timestamp>), Failure> {
    let created_by = decision.by.clone();
    let Some(id) = decision.key else {
        let root = created_by.clone();
        let chain = Vec::new();
        let minter = Minter {
            created_by,
            root,
            chain,
        };
        return Ok((minter, None));
    };
    let slot = app.keys.find_by_id(id);
    let slot = slot.filter(|slot| slot.credential.status(now) == KeyStatus::Active);
    let slot = slot.ok_or(StoreError::ApprovalVoid(Void::ApproverEnded))?;
    let above = &slot.credential.minter;
    let minter = Minter {
        created_by,
        root: above.root.clone(),
        chain: std::iter::once(&id).chain(&above.chain).copied().collect(),
    };
    Ok((minter, slot.credential.expires()))
}

fn record_collection(trace: &Arc<Trace>) -> Recorder<Collected> {
    let trace = Arc::clone(trace);
    Box::new(move |collected: &Collected| {
        let key = &collected.key;
        let grant: serde_json::Value =
            serde_json::from_str(&key.grant.to_json()).unwrap_or_default();
        let change = json!({"collected": {
            "id": collected.request.id.to_string(),
            "token_id": key.id.to_string(),
            "name": key.name,
            "prefix": key.prefix.as_str(),
            "approved_by": key.minter.created_by.to_string(),
            "expires_at": key.expires_at.map(|at| at.to_string()),
            "grant": grant,
        }});
        trace.entry_of_change(201, &change)
    })
}
