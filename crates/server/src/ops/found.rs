//! Secrets that somebody found: who presents a whole one may have it ended.

use std::{net::IpAddr, sync::Arc};

use claviger_core::{
    action::ReportFound,
    authorize::Permit,
    digest::Digest,
    found::{FoundKind, FoundStatus, Reading, read, standing},
    grant::Workspaces,
    id::{Id, Key, OrgId, WorkspaceId},
    key::{Credential, KeyState, KeyStatus, Revocation},
    scan::redact,
    tier::{Actor, Minter, Tier},
    time::Timestamp,
    token::Prefix,
};
use claviger_store::{
    Acting, Receipt, Recorder, Revocations, Revoked, Rotated, RotationEnd, StoreError, Written,
};
use serde_json::{Value, json};

use super::{lines::drop_keys, rotations::follow, workspaces::drop_tokens};
use crate::{app::App, clock, failure::Failure, trace::Trace};

/// A text that somebody took for a secret.
pub struct Find {
    /// The text.
    pub text: String,
    /// Where it was found.
    pub source: Option<String>,
}

impl std::fmt::Debug for Find {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Find").finish_non_exhaustive()
    }
}

/// A report, checked.
#[derive(Debug)]
pub struct Report {
    /// What was found.
    pub finds: Vec<Find>,
    /// Who found it, in words for the reason of a revocation; `None` for whoever calls.
    pub finder: Option<&'static str>,
    /// Whether to change nothing.
    pub is_dry: bool,
}

/// What became of one text.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it begins like.
    pub kind: Option<FoundKind>,
    /// Its public name.
    pub prefix: Option<Prefix>,
    /// How it stands, or what was done.
    pub status: FoundStatus,
    /// The id of the key or token.
    pub id: Option<String>,
    /// When it ended.
    pub revoked_at: Option<Timestamp>,
    /// How many keys died with it.
    pub descendants: Option<usize>,
}

/// What became of a report.
#[derive(Debug)]
pub struct Reported {
    /// One for each text, in order.
    pub outcomes: Vec<Outcome>,
    /// Proof that the request is recorded with a change that it made.
    pub receipt: Option<Receipt>,
}

/// Says how found secrets stand and, unless it is dry, ends them: when this returns, no request with
/// any of them is accepted. Each is done by itself, so to repeat a report that failed is safe.
///
/// # Errors
/// 503 when the store does not answer for one of them.
pub async fn report(
    app: &Arc<App>,
    permit: &Permit<ReportFound>,
    report: Report,
    trace: &Arc<Trace>,
) -> Result<Reported, Failure> {
    let brands = [app.brands.org_key, app.brands.workspace_token];
    let by = report
        .finder
        .map_or(String::new(), |name| format!(" by {name}"));
    let mut work = Work {
        app,
        trace,
        is_dry: report.is_dry,
        is_stranger: permit.principal().tier == Tier::Anonymous,
        own_org: permit.org(),
        reason: String::new(),
        source: None,
        receipt: None,
    };
    let mut outcomes = Vec::with_capacity(report.finds.len());
    for find in report.finds {
        // People paste keys into addresses, too.
        work.source = find.source.map(|source| redact(&brands, &source));
        work.reason = match &work.source {
            Some(source) => format!("reported as found{by}: {source}"),
            None => format!("reported as found{by}"),
        };
        let outcome = work.look(&read(&find.text, &app.brands)).await?;
        app.metrics.note_found(outcome.status.as_str());
        outcomes.push(outcome);
    }
    Ok(Reported {
        outcomes,
        receipt: work.receipt,
    })
}

/// A report under way.
struct Work<'a> {
    app: &'a Arc<App>,
    trace: &'a Arc<Trace>,
    is_dry: bool,
    is_stranger: bool,
    own_org: OrgId,
    reason: String,
    source: Option<String>,
    /// Of the change whose record is the request's own.
    receipt: Option<Receipt>,
}

impl Work<'_> {
    async fn look(&mut self, reading: &Reading) -> Result<Outcome, Failure> {
        let outcome = match (reading.kind, reading.digest) {
            (Some(FoundKind::OrgKey), Some(digest)) => self.key(digest).await?,
            (Some(FoundKind::WorkspaceToken), Some(digest)) => self.workspace_token(digest).await?,
            (Some(_), None) | (None, _) => Outcome::of(FoundStatus::Malformed),
        };
        Ok(Outcome {
            kind: reading.kind,
            prefix: reading.prefix,
            ..outcome
        })
    }

    async fn key(&mut self, digest: Digest) -> Result<Outcome, Failure> {
        let app = self.app;
        let Some(known) = app.keys.find(&digest) else {
            return Ok(Outcome::of(FoundStatus::Unknown));
        };
        let id = known.credential.id;
        // Looked at in its turn: a rotation under way decides which of its secrets this one is.
        let turn = match self.is_dry {
            true => None,
            false => Some(app.key_turns.take(id).await),
        };
        let now = clock::now();
        app.old_secrets
            .settle_one(&app.keys, id, (now, app.started_at));
        let (Some(slot), Some(own)) = (app.keys.find(&digest), app.keys.find_by_id(id)) else {
            return Ok(Outcome::of(FoundStatus::Unknown));
        };
        let presented = &slot.credential;
        let key = if presented.is_replaced {
            &own.credential
        } else {
            presented
        };
        let status = standing(presented, key, above(app, &key.minter, now), now);
        let mut outcome = if key.state == KeyState::Revoked {
            let row = app.store.find_key(key.org, id).await?;
            let end = row.and_then(|row| row.revocation);
            Outcome {
                revoked_at: end.map(|end| end.at),
                ..Outcome::of(FoundStatus::AlreadyRevoked)
            }
        } else if self.is_dry || status == FoundStatus::RotatedOut {
            Outcome::of(status)
        } else if presented.is_replaced {
            self.end_overlap(presented).await?
        } else {
            self.revoke(presented).await?
        };
        drop(turn);
        outcome.id = Some(id.to_string());
        Ok(outcome)
    }

    /// Revokes a key with what it minted.
    async fn revoke(&mut self, key: &Credential<Key>) -> Result<Outcome, Failure> {
        let now = clock::now();
        let end = Revocation {
            at: now,
            by: if key.org == self.trace.principal.org {
                self.trace.principal.actor.clone()
            } else {
                // Whom another org knows by that label is nothing to this one.
                Actor::Anonymous
            },
            reason: Some(self.reason.clone()),
        };
        let source = self.source.clone();
        let (app, org) = (self.app, key.org);
        let (trace, is_own) = (Arc::clone(self.trace), self.is_own(org));
        let record = Box::new(move |revoked: &Revoked| {
            let id = revoked.key.id.to_string();
            let count = revoked.descendants.len();
            let said = said((&id, revoked.key.prefix), "revoked", &source, count);
            let mut entries = vec![trace.entry_in(org, is_own, &said)];
            // One for each death that comes with it.
            entries.extend(revoked.descendants.iter().map(|key| {
                let said = json!({"revoked": {
                    "id": key.id.to_string(),
                    "prefix": key.prefix.as_str(),
                    "with": id,
                }});
                trace.entry_beside(org, 200, &said)
            }));
            entries
        });
        let outcome = app
            .store
            .revoke_key(org, key.id, end, by_itself(now), record)
            .await;
        let (status, revoked) = match outcome {
            Ok(Revocations::Now(Written { value, receipt })) => {
                self.keep(org, receipt);
                self.warn(&value.key.id.to_string(), value.key.prefix, "revoked");
                (FoundStatus::Revoked, value)
            }
            Ok(Revocations::Before(revoked)) => (FoundStatus::AlreadyRevoked, revoked),
            // With its org.
            Err(StoreError::NotFound(_)) => return Ok(Outcome::of(FoundStatus::AlreadyRevoked)),
            Err(error) => return Err(super::narrowing_failed(app, error)),
        };
        drop_keys(app, &revoked, None).await;
        let is_now = status == FoundStatus::Revoked;
        Ok(Outcome {
            revoked_at: Some(revoked.at),
            descendants: is_now.then_some(revoked.descendants.len()),
            ..Outcome::of(status)
        })
    }

    /// Ends the overlap of a replaced secret: the key lives on with its new one.
    async fn end_overlap(&mut self, old: &Credential<Key>) -> Result<Outcome, Failure> {
        let (app, org, id) = (self.app, old.org, old.id);
        let source = self.source.clone();
        let record = self.recorder(org, move |rotated: &Rotated| {
            let id = rotated.key.id.to_string();
            said((&id, rotated.old.prefix), "ended", &source, 0)
        });
        let birth = app.births.read().await;
        let ended = app
            .store
            .end_rotation(
                org,
                id,
                RotationEnd::Finish,
                by_itself(clock::now()),
                record,
            )
            .await;
        let outcome = match ended {
            Ok(Written { value, receipt }) => {
                follow(app, &value)?;
                self.keep(org, receipt);
                self.warn(&id.to_string(), value.old.prefix, "ended");
                Outcome {
                    revoked_at: Some(value.old.ends_at),
                    ..Outcome::of(FoundStatus::Ended)
                }
            }
            Err(StoreError::NotFound("rotation")) => {
                // Ended by a request whose answer got lost: the index is told, as there.
                app.take_in_old_secrets(|other| other == id).await?;
                Outcome::of(FoundStatus::RotatedOut)
            }
            Err(StoreError::NotFound(_) | StoreError::Gone(_)) => {
                Outcome::of(FoundStatus::AlreadyRevoked)
            }
            Err(error) => return Err(super::narrowing_failed(app, error)),
        };
        drop(birth);
        Ok(outcome)
    }

    async fn workspace_token(&mut self, digest: Digest) -> Result<Outcome, Failure> {
        let app = self.app;
        let Some(slot) = app.workspace_tokens.find(&digest) else {
            return Ok(Outcome::of(FoundStatus::Unknown));
        };
        let (token, now) = (&slot.credential, clock::now());
        let status = match standing(token, token, above(app, &token.minter, now), now) {
            // The whole tier is off, and may be turned on again.
            FoundStatus::Live if !app.config.workspace_tokens => FoundStatus::Suspended,
            status => status,
        };
        let mut outcome = match &token.grant.workspaces {
            Workspaces::Ids(ids) if !self.is_dry && token.state != KeyState::Revoked => {
                let workspace = ids.first().copied();
                let workspace = workspace.ok_or(Failure::NotFound("workspace"))?;
                self.revoke_workspace_token(token, workspace, now).await?
            }
            Workspaces::Ids(_) | Workspaces::All | Workspaces::Labels(_) => Outcome::of(status),
        };
        outcome.id = Some(token.id.to_string());
        Ok(outcome)
    }

    async fn revoke_workspace_token(
        &mut self,
        token: &Credential<claviger_core::id::WorkspaceToken>,
        workspace: WorkspaceId,
        now: Timestamp,
    ) -> Result<Outcome, Failure> {
        let (app, org) = (self.app, token.org);
        let source = self.source.clone();
        let record = self.recorder(org, move |revoked: &claviger_store::RevokedKey<Id<_>>| {
            let id = revoked.id.to_string();
            said((&id, revoked.prefix), "revoked", &source, 0)
        });
        let revoked = app
            .store
            .revoke_workspace_token(org, workspace, token.id, by_itself(now), record)
            .await;
        let outcome = match revoked {
            Ok(Written { value, receipt }) => {
                self.keep(org, receipt);
                self.warn(&value.id.to_string(), value.prefix, "revoked");
                Outcome {
                    revoked_at: Some(now),
                    ..Outcome::of(FoundStatus::Revoked)
                }
            }
            // Before, or with its workspace or its org.
            Err(StoreError::NotFound(_)) => Outcome::of(FoundStatus::AlreadyRevoked),
            Err(error) => return Err(super::narrowing_failed(app, error)),
        };
        drop_tokens(app, &[*token.digest.as_bytes()]).await;
        Ok(outcome)
    }

    /// Whether the record of a change in this org is the request's own. A stranger has no other.
    fn is_own(&self, org: OrgId) -> bool {
        self.receipt.is_none() && (self.is_stranger || org == self.own_org)
    }

    fn recorder<T: 'static>(
        &self,
        org: OrgId,
        change: impl FnOnce(&T) -> Value + Send + 'static,
    ) -> Recorder<T> {
        let (trace, is_own) = (Arc::clone(self.trace), self.is_own(org));
        Box::new(move |value| trace.entry_in(org, is_own, &change(value)))
    }

    fn keep(&mut self, org: OrgId, receipt: Receipt) {
        if self.is_own(org) {
            self.receipt = Some(receipt);
        }
    }

    fn warn(&self, id: &str, prefix: Prefix, what: &str) {
        let client: IpAddr = self.trace.client;
        let source = self.source.as_deref().unwrap_or("not said");
        tracing::warn!(%prefix, id, %client, source, what, "a secret was reported as found");
    }
}

impl Outcome {
    const fn of(status: FoundStatus) -> Self {
        Self {
            kind: None,
            prefix: None,
            status,
            id: None,
            revoked_at: None,
            descendants: None,
        }
    }
}

/// The whole secret was presented, and that is all the authority that its end needs: whoever speaks
/// may hold another key, and may have reported that too.
const fn by_itself(now: Timestamp) -> Acting {
    Acting {
        session: None,
        key: None,
        prefix: None,
        now,
    }
}

fn said(
    (id, prefix): (&str, Prefix),
    what: &str,
    source: &Option<String>,
    descendants: usize,
) -> Value {
    json!({"found": {
        "id": id,
        "prefix": prefix.as_str(),
        "status": what,
        "source": source,
        "descendants": descendants,
    }})
}

/// How the keys above a credential stand, nearest first. One that is not known was revoked long ago.
fn above(app: &App, minter: &Minter, now: Timestamp) -> Vec<KeyStatus> {
    let stand = |id: &Id<Key>| {
        let slot = app.keys.find_by_id(*id);
        slot.map_or(KeyStatus::Revoked, |slot| slot.credential.status(now))
    };
    minter.chain.iter().map(stand).collect()
}
