//! `/org/tokens`.

use claviger_core::{
    action::{ChangeKey, MintKey, ReadKeys, RevokeKey},
    grant::{Grant, GrantText, WorkspacesText},
    id::KeyId,
    key::{KeyStatus, OrgKey, SHOWN_ONCE},
    permission::PermissionSet,
    text::parse_name,
    time::{Timestamp, parse_duration},
};
use claviger_store::{Idempotency, KeyFilter};
use claviger_wire::{headers, keys as wire, map::TextMap};
use http::{StatusCode, header};
use serde_json::json;

use super::{grant_view, name, texts};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::keys::{self, Mint},
};

/// The longest reason of a revocation, in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// `POST /org/tokens`.
///
/// # Errors
/// As [`keys::mint`], and 400 or 422 for a body that cannot be used.
pub async fn mint(mut call: Call<MintKey>) -> Result<Reply, Failure> {
    let (body, bytes) = call.json_and_bytes::<wire::MintRequest>().await?;
    let now = clock::now();
    let mint = Mint {
        name: name(&body.name)?,
        grant: grant(&call, &body)?,
        expires_at: expiry(&call, &body, now)?,
        idempotency: idempotency(&call, &bytes)?,
        metadata: texts("metadata", body.metadata.unwrap_or_default())?,
    };
    let minted = keys::mint(&call.app, &call.permit, mint, &call.trace).await?;
    let key = &minted.key;
    let answer = wire::MintedKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        auth_token: minted.secret.expose().to_owned(),
        warning: SHOWN_ONCE.to_owned(),
        created_by: key.minter.created_by.to_string(),
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        grant: grant_view(&key.grant),
    };
    Ok(Reply::json(StatusCode::CREATED, &answer)
        .with(header::LOCATION, &format!("/org/tokens/{}", key.id))
        .written(minted.receipt))
}

/// The grant that is asked for: what is left out is the minter's own.
fn grant(call: &Call<MintKey>, body: &wire::MintRequest) -> Result<Grant, Failure> {
    let own = call.permit.principal().authority.layers().first();
    let mut text = GrantText::from(own.map_or(&*call.app.full_grant, |own| &**own));
    match (&body.preset, &body.permissions) {
        (Some(_), Some(_)) => {
            return Err(Failure::out_of_range(
                "preset",
                "cannot be given together with `permissions`",
            ));
        }
        (Some(preset), None) => {
            let set = PermissionSet::preset(preset);
            text.permissions = set
                .map_err(|error| Failure::out_of_range("preset", error))?
                .patterns();
        }
        (None, Some(permissions)) => text.permissions.clone_from(permissions),
        (None, None) => {}
    }
    match &body.workspaces {
        None => {}
        Some(wire::Workspaces::Word(word)) => text.workspaces = WorkspacesText::Word(word.clone()),
        Some(wire::Workspaces::Ids(ids)) => text.workspaces = WorkspacesText::Ids(ids.clone()),
        Some(wire::Workspaces::Selector(selector)) => {
            let labels = texts("workspaces", selector.labels.clone())?;
            text.workspaces = WorkspacesText::Selector { labels };
        }
    }
    if let Some(endpoints) = &body.endpoints {
        text.endpoints.clone_from(endpoints);
    }
    if let Some(not_before) = &body.not_before {
        text.not_before = Some(not_before.clone());
    }
    if let Some(ip_allow) = &body.ip_allow {
        text.ip_allow.clone_from(ip_allow);
    }
    text.check()
        .map_err(|error| Failure::out_of_range(error.field, error.reason))
}

/// When the key is to end: at the latest with its minter.
fn expiry(
    call: &Call<MintKey>,
    body: &wire::MintRequest,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let asked = match (&body.expires_in, &body.expires_at) {
        (Some(_), Some(_)) => {
            return Err(Failure::out_of_range(
                "expires_in",
                "cannot be given together with `expires_at`",
            ));
        }
        (Some(text), None) => {
            let span = parse_duration(text);
            let span =
                span.map_err(|error| Failure::out_of_range("expires_in", format!("is {error}")))?;
            Some(("expires_in", now.plus(span)))
        }
        (None, Some(text)) => {
            let at = text.parse::<Timestamp>();
            let at =
                at.map_err(|error| Failure::out_of_range("expires_at", format!("is {error}")))?;
            Some(("expires_at", at))
        }
        (None, None) => None,
    };
    let minter_ends = call.key().and_then(|slot| slot.credential.expires());
    match (asked, minter_ends) {
        (None, ends) => Ok(ends),
        (Some((field, at)), _) if at <= now => {
            Err(Failure::out_of_range(field, "must be in the future"))
        }
        (Some((field, at)), Some(ends)) if at > ends => Err(Failure::BeyondMinter(field)),
        (Some((_, at)), _) => Ok(Some(at)),
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
    let query = call.query(&["status", "q", "created_by", "workspace", "limit", "cursor"])?;
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
    };
    let limit = page.limit;
    let place = call.app.scans.acquire().await;
    let mut found = call.app.store.list_keys(call.org(), filter, page).await?;
    drop(place);
    found
        .iter_mut()
        .for_each(|key| keys::refresh_last_used(&call.app, key));
    let answer = wire::KeyList {
        next_cursor: next_cursor(&found, limit, |key| key.id.to_string()),
        tokens: found.iter().map(|key| view(key, now)).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
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
    Ok(Reply::json(StatusCode::OK, &view(&key, clock::now())))
}

/// `PATCH /org/tokens/{id}`.
///
/// # Errors
/// As [`keys::change`].
pub async fn change(mut call: Call<ChangeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let body: wire::KeyChange = call.json().await?;
    let new_name = body.name.as_deref().map(name).transpose()?;
    let metadata = body
        .metadata
        .map(|map| texts("metadata", map))
        .transpose()?;
    let said = json!({"name": new_name, "metadata": metadata});
    let record = call.recorder(
        StatusCode::OK,
        move |key: &OrgKey| json!({"changed": {"id": key.id.to_string(), "to": said}}),
    );
    let written = keys::change(&call.app, &call.permit, id, (new_name, metadata), record).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value, clock::now())).written(written.receipt))
}

/// `DELETE /org/tokens/{id}`.
///
/// # Errors
/// As [`keys::revoke`].
pub async fn revoke(call: Call<RevokeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let query = call.query(&["reason"])?;
    let reason = query
        .get("reason")
        .map(|text| parse_name(text, REASON_CHARS_MAX))
        .transpose();
    let reason = reason.map_err(|error| Failure::out_of_range("reason", error))?;
    let said = reason.clone();
    let record = call.recorder(StatusCode::OK, move |revoked: &claviger_store::Revoked| {
        let descendants: Vec<_> = revoked
            .descendants
            .iter()
            .map(|key| key.id.to_string())
            .collect();
        json!({"revoked": {
            "id": revoked.key.id.to_string(),
            "prefix": revoked.key.prefix.as_str(),
            "reason": said,
            "descendants": descendants,
        }})
    });
    let ended = keys::revoke(&call.app, &call.permit, id, reason, record).await?;
    let all = std::iter::once(&ended.revoked.key).chain(&ended.revoked.descendants);
    let answer = wire::Revocation {
        revoked: ended.revoked.key.id.to_string(),
        revoked_at: ended.revoked.at.to_string(),
        effective_at: ended.effective_at.to_string(),
        prefixes: all.map(|key| key.prefix.to_string()).collect(),
        descendants: ended
            .revoked
            .descendants
            .iter()
            .map(|key| key.id.to_string())
            .collect(),
    };
    let reply = Reply::json(StatusCode::OK, &answer);
    Ok(match ended.receipt {
        Some(receipt) => reply.written(receipt),
        None => reply,
    })
}

/// A key as it is listed.
fn view(key: &OrgKey, now: Timestamp) -> wire::Key {
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let end = key.revocation.as_ref();
    wire::Key {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        status: key.status(now).as_str().to_owned(),
        created_by: key.minter.created_by.to_string(),
        parent_id: key.parent().map(|id| id.to_string()),
        created_at: key.created_at.to_string(),
        last_used_at: text(key.last_used_at),
        expires_at: text(key.expires_at),
        grant: grant_view(&key.grant),
        metadata: TextMap(key.metadata.clone()),
        revoked_at: text(end.map(|end| end.at)),
        revoked_by: end.map(|end| end.by.to_string()),
        revoked_reason: end.and_then(|end| end.reason.clone()),
    }
}

/// The cursor of the next part, if this one is full.
pub(super) fn next_cursor<T>(items: &[T], limit: u32, of: impl Fn(&T) -> String) -> Option<String> {
    let is_full = u32::try_from(items.len()).is_ok_and(|count| count >= limit);
    items.last().filter(|_| is_full).map(of)
}
