//! `/org/tokens`.

use std::sync::Arc;

use claviger_core::{
    action::{ChangeKey, MintKey, ReadKeys, ResumeKey, RevokeKey, SuspendKey},
    id::KeyId,
    key::{KeyStatus, OrgKey, Overlap, SHOWN_ONCE, Use},
    ledger::entry::Entry,
    text::parse_name,
    time::{Timestamp, format_duration, parse_duration},
};
use claviger_store::{Idempotency, KeyChange, KeyFilter, Recorder, Revoked, Written};
use claviger_wire::{headers, keys as wire, map::TextMap};
use http::{StatusCode, header};
use serde_json::json;

use super::{
    grant_view,
    grants::{Asked, rotate_every},
    lines::{no_dry_resume, would_stop},
    name, texts,
};
use crate::{
    app::App,
    clock,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::{
        keys,
        lines::{self, End},
        mints::{self, Mint, Minted},
    },
    policies::block_of,
    trace::Trace,
};

/// The longest reason of a revocation, in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// `POST /org/tokens`.
///
/// # Errors
/// As [`mints::mint`], and 400 or 422 for a body that cannot be used.
pub async fn mint(mut call: Call<MintKey>) -> Result<Reply, Failure> {
    let (body, bytes) = call.json_and_bytes::<wire::MintRequest>().await?;
    let idempotency = idempotency(&call, &bytes)?;
    let mint = asked_mint(&call, body, idempotency)?;
    let minted = mints::mint(&call.app, &call.permit, mint, &call.trace).await?;
    let location = format!("/org/tokens/{}", minted.key.id);
    Ok(Reply::json(StatusCode::CREATED, &shown_once(&minted))
        .with(header::LOCATION, &location)
        .written(minted.receipt))
}

/// What a body asks for, checked; what it leaves out is that of the caller.
///
/// # Errors
/// 422 naming the field.
pub(crate) fn asked_mint(
    call: &Call<MintKey>,
    body: wire::MintRequest,
    idempotency: Option<Idempotency>,
) -> Result<Mint, Failure> {
    let own = call.permit.principal().authority.layers().first();
    let asked = Asked::from(&body);
    Ok(Mint {
        name: name(&body.name)?,
        grant: asked.grant(own.unwrap_or(&call.app.full_grant))?,
        are_permissions_asked: asked.is_about_permissions(),
        end: asked.end(clock::now())?,
        rotate_every: body
            .rotate_every
            .as_deref()
            .map(rotate_every)
            .transpose()?
            .flatten(),
        idempotency,
        metadata: texts("metadata", body.metadata.unwrap_or_default())?,
    })
}

/// A key with its secret: for the one answer that shows it.
pub(super) fn shown_once(minted: &Minted) -> wire::MintedKey {
    let key = &minted.key;
    wire::MintedKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        auth_token: minted.secret.expose().to_owned(),
        warning: SHOWN_ONCE.to_owned(),
        created_by: key.minter.created_by.to_string(),
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        grant: grant_view(&key.grant),
    }
}

fn idempotency(call: &Call<MintKey>, body: &[u8]) -> Result<Option<Idempotency>, Failure> {
    let mut values = call.headers.get_all(headers::IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let is_good = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len()) && values.next().is_none();
    if !is_good {
        return Err(Failure::Malformed {
            code: "bad_header",
            field: Some("Idempotency-Key".to_owned()),
            reason: format!(
                "`Idempotency-Key` must be given once and have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters"
            ),
        });
    }
    let request = *claviger_core::digest::Digest::of(body).as_bytes();
    Ok(Some(Idempotency {
        key: text.to_owned(),
        request,
    }))
}

/// `GET /org/tokens`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 503.
pub async fn list(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&[
        "status",
        "q",
        "created_by",
        "workspace",
        "expiring",
        "limit",
        "cursor",
    ])?;
    let page = query.page::<KeyId>()?;
    let now = clock::now();
    let filter = KeyFilter {
        statuses: statuses(&query)?,
        now,
        text: query
            .get("q")
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        created_by: query.get("created_by").map(str::to_owned),
        workspace: query.parse("workspace", "the id of a workspace")?,
        expires_before: query
            .get("expiring")
            .map(|text| within(text, now))
            .transpose()?,
    };
    let limit = page.limit;
    let place = call.app.scan_place().await?;
    let mut found = call.app.store.list_keys(call.org(), filter, page).await?;
    drop(place);
    found
        .iter_mut()
        .for_each(|key| keys::refresh_last_used(&call.app, key));
    let answer = wire::KeyList {
        next_cursor: next_cursor(&found, limit, |key| key.id.to_string()),
        tokens: found.iter().map(|key| view(&call.app, key)).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// The end of a span that begins now.
fn within(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let span = parse_duration(text).map_err(|error| Failure::Malformed {
        code: "bad_query",
        field: Some("expiring".to_owned()),
        reason: format!("query parameter `expiring` is {error}"),
    });
    Ok(now.plus(span?))
}

/// Live keys unless something else is asked for; `all` is everything.
fn statuses(query: &Query) -> Result<Vec<KeyStatus>, Failure> {
    let live = [
        KeyStatus::Active,
        KeyStatus::NotYetValid,
        KeyStatus::Suspended,
    ];
    let Some(text) = query.get("status") else {
        return Ok(live.to_vec());
    };
    if text == "all" {
        return Ok(KeyStatus::ALL.to_vec());
    }
    let words = text.split(',').map(|word| {
        KeyStatus::ALL
            .iter()
            .find(|status| status.as_str() == word)
            .copied()
            .ok_or_else(|| {
                let known: Vec<_> = KeyStatus::ALL
                    .iter()
                    .map(|status| status.as_str())
                    .collect();
                Failure::Malformed {
                    code: "bad_query",
                    field: Some("status".to_owned()),
                    reason: format!(
                        "`{word}` is no status; there are {} and all",
                        known.join(", ")
                    ),
                }
            })
    });
    words.collect()
}

/// `GET /org/tokens/{id}`.
///
/// # Errors
/// 404, 503.
pub async fn get(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let key = keys::get(&call.app, &call.permit, call.id(0, "key")?).await?;
    Ok(Reply::json(StatusCode::OK, &view(&call.app, &key)))
}

/// `PATCH /org/tokens/{id}`.
///
/// # Errors
/// As [`keys::change`].
pub async fn change(mut call: Call<ChangeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let body: wire::KeyChange = call.json().await?;
    let written = change_as(&call, id, body).await?;
    Ok(Reply::json(StatusCode::OK, &view(&call.app, &written.value)).written(written.receipt))
}

/// Changes a key as a body asks for it.
///
/// # Errors
/// As [`keys::change`].
pub(crate) async fn change_as(
    call: &Call<ChangeKey>,
    id: KeyId,
    body: wire::KeyChange,
) -> Result<Written<OrgKey>, Failure> {
    let new_name = body.name.as_deref().map(name).transpose()?;
    let metadata = body.metadata.clone();
    let metadata = metadata.map(|map| texts("metadata", map)).transpose()?;
    let now = clock::now();
    let end = Asked::from(&body).end(now)?;
    let rotate_every = body.rotate_every.as_deref().map(rotate_every).transpose()?;
    let make = |before: &OrgKey| {
        let asked = Asked::from(&body);
        let grant = asked.is_about_grant().then(|| asked.grant(&before.grant));
        Ok(KeyChange {
            name: new_name,
            metadata,
            grant: grant.transpose()?.map(|to| (before.grant.clone(), to)),
            expires_at: end.map(|(_, at)| at),
            turn: None,
            rotate_every,
        })
    };
    let said = serde_json::to_value(&body).unwrap_or_default();
    let record = call.recorder(
        StatusCode::OK,
        move |key: &OrgKey| json!({"changed": {"id": key.id.to_string(), "to": said}}),
    );
    keys::change(&call.app, &call.permit, id, make, record).await
}

/// `POST /org/tokens/{id}/suspend`.
///
/// # Errors
/// As [`keys::suspend`].
pub async fn suspend(mut call: Call<SuspendKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let body: wire::SuspensionRequest = call.json_or_default().await?;
    let reason = reason(body.reason.as_deref())?;
    if body.dry_run == Some(true) {
        let reach = lines::reach_of_key(&call.app, &call.permit, id).await?;
        return Ok(Reply::json(StatusCode::OK, &would_stop(&reach)));
    }
    let record = record_suspension(&call.trace, "suspended", reason.clone(), true);
    let written = keys::suspend(&call.app, &call.permit, (id, reason), record).await?;
    Ok(Reply::json(StatusCode::OK, &view(&call.app, &written.value)).written(written.receipt))
}

/// `POST /org/tokens/{id}/resume`.
///
/// # Errors
/// As [`keys::resume`]; 422 for `dry_run`.
pub async fn resume(mut call: Call<ResumeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let body: wire::SuspensionRequest = call.json_or_default().await?;
    let reason = reason(body.reason.as_deref())?;
    no_dry_resume(body.dry_run)?;
    let record = record_suspension(&call.trace, "resumed", reason, true);
    let written = keys::resume(&call.app, &call.permit, id, record).await?;
    Ok(Reply::json(StatusCode::OK, &view(&call.app, &written.value)).written(written.receipt))
}

/// The record of a suspension or its end: the request's own, or one of several.
pub(crate) fn record_suspension(
    trace: &Arc<Trace>,
    what: &'static str,
    reason: Option<String>,
    is_own: bool,
) -> Recorder<OrgKey> {
    let trace = Arc::clone(trace);
    Box::new(move |key: &OrgKey| {
        let said =
            json!({"id": key.id.to_string(), "prefix": key.prefix.as_str(), "reason": reason});
        let change = serde_json::Value::Object([(what.to_owned(), said)].into_iter().collect());
        trace.entry_in(trace.principal.org, is_own, &change)
    })
}

pub(crate) fn reason(text: Option<&str>) -> Result<Option<String>, Failure> {
    let parsed = text.map(|text| parse_name(text, REASON_CHARS_MAX));
    parsed
        .transpose()
        .map_err(|error| Failure::out_of_range("reason", error))
}

/// `DELETE /org/tokens/{id}`.
///
/// # Errors
/// As [`lines::revoke`].
pub async fn revoke(call: Call<RevokeKey>) -> Result<Reply, Failure> {
    let query = call.query(&["reason", "cascade"])?;
    let end = End {
        id: call.id(0, "key")?,
        reason: reason(query.get("reason"))?,
        cascades: query.parse("cascade", "`true` or `false`")?.unwrap_or(true),
    };
    let record = record_revocation(&call.trace, end.reason.clone(), true);
    let ended = lines::revoke(&call.app, &call.permit, end, record).await?;
    let all = std::iter::once(&ended.revoked.key).chain(&ended.revoked.descendants);
    let ids = ended
        .revoked
        .descendants
        .iter()
        .map(|key| key.id.to_string());
    let answer = wire::Revocation {
        revoked: ended.revoked.key.id.to_string(),
        revoked_at: ended.revoked.at.to_string(),
        effective_at: ended.effective_at.to_string(),
        prefixes: all.map(|key| key.prefix.to_string()).collect(),
        descendants: ids.collect(),
        kept: ended
            .revoked
            .heirs
            .iter()
            .map(|heir| heir.id.to_string())
            .collect(),
    };
    let reply = Reply::json(StatusCode::OK, &answer);
    Ok(match ended.receipt {
        Some(receipt) => reply.written(receipt),
        None => reply,
    })
}

/// One record of the revocation, the request's own or one of several, and one of each death that
/// came with it.
pub(crate) fn record_revocation(
    trace: &Arc<Trace>,
    reason: Option<String>,
    is_own: bool,
) -> Recorder<Revoked, Vec<Entry>> {
    let trace = Arc::clone(trace);
    Box::new(move |revoked: &Revoked| {
        let id = revoked.key.id.to_string();
        let said = json!({
            "id": id,
            "prefix": revoked.key.prefix.as_str(),
            "reason": reason,
            "descendants": revoked.descendants.len(),
            "kept": revoked.heirs.len(),
        });
        let org = trace.principal.org;
        let mut entries = vec![trace.entry_in(org, is_own, &json!({"revoked": said}))];
        entries.extend(revoked.descendants.iter().map(|key| {
            let said = json!({
                "id": key.id.to_string(),
                "prefix": key.prefix.as_str(),
                "with": id,
            });
            trace.entry_beside(trace.principal.org, 200, &json!({"revoked": said}))
        }));
        entries.extend(revoked.heirs.iter().map(|heir| {
            let said = json!({
                "id": heir.id.to_string(),
                "parent": heir.chain.first().map(ToString::to_string),
                "without": id,
            });
            trace.entry_beside(trace.principal.org, 200, &json!({"reparented": said}))
        }));
        entries
    })
}

/// A key as it is listed.
pub(super) fn view(app: &App, key: &OrgKey) -> wire::Key {
    let now = clock::now();
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let (end, stop) = (key.revocation.as_ref(), key.suspension.as_ref());
    let (used_at, used_from) = seen(key.last_use);
    let previous = previous(app, key, now);
    let policy = app.policies.of(key.org).filter(|_| end.is_none());
    wire::Key {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        status: key.status(now).as_str().to_owned(),
        created_by: key.minter.created_by.to_string(),
        parent_id: key.parent().map(|id| id.to_string()),
        created_at: key.created_at.to_string(),
        last_used_at: used_at,
        last_used_from: used_from,
        expires_at: text(key.expires_at),
        grant: grant_view(&key.grant),
        metadata: TextMap(key.metadata.clone()),
        blocked: policy
            .and_then(|in_force| block_of(&in_force.policy, key))
            .map(|block| block.to_string()),
        rotate_every: key.rotate_every.map(format_duration),
        rotation_due_at: text(key.rotation_due_at()),
        current: previous.as_ref().map(|_| current(key)),
        previous,
        suspended_at: text(stop.map(|stop| stop.at)),
        suspended_by: stop.map(|stop| stop.by.to_string()),
        suspended_reason: stop.and_then(|stop| stop.reason.clone()),
        revoked_at: text(end.map(|end| end.at)),
        revoked_by: end.map(|end| end.by.to_string()),
        revoked_reason: end.and_then(|end| end.reason.clone()),
    }
}

/// A use as two fields.
pub(super) fn seen(last: Option<Use>) -> (Option<String>, Option<String>) {
    let from = last.and_then(|last| last.from);
    (
        last.map(|last| last.at.to_string()),
        from.map(|from| from.to_string()),
    )
}

/// The secret that is a key's own.
fn current(key: &OrgKey) -> wire::CurrentSecret {
    let (last_used_at, last_used_from) = seen(key.secret.last_use);
    wire::CurrentSecret {
        prefix: key.prefix.to_string(),
        since: key.secret.since.to_string(),
        last_used_at,
        last_used_from,
    }
}

/// The replaced secret of a key, while it is accepted.
fn previous(app: &App, key: &OrgKey, now: Timestamp) -> Option<wire::PreviousSecret> {
    let (old, digest) = app.old_secrets.get(key.id)?;
    let slot = app.keys.find(&digest)?;
    let end = app
        .old_secrets
        .end(&app.keys, &slot.credential, app.started_at);
    if end <= now || key.revocation.is_some() {
        return None;
    }
    let (last_used_at, last_used_from) = seen(keys::newest_use(app, &slot, old.last_use));
    let (ends, after) = match old.overlap {
        Overlap::Fixed => ("fixed", None),
        Overlap::OnFirstUse(span) => ("on_first_use", Some(span)),
        Overlap::WhenQuiet(span) => ("when_quiet", Some(span)),
    };
    Some(wire::PreviousSecret {
        prefix: old.prefix.to_string(),
        replaced_at: old.replaced_at.to_string(),
        overlap_until: end.to_string(),
        ends: ends.to_owned(),
        after: after.map(format_duration),
        last_used_at,
        last_used_from,
    })
}

/// The cursor of the next part, if this one is full.
pub(crate) fn next_cursor<T>(items: &[T], limit: u32, of: impl Fn(&T) -> String) -> Option<String> {
    let is_full = u32::try_from(items.len()).is_ok_and(|count| count >= limit);
    items.last().filter(|_| is_full).map(of)
}
