//! `/org/requests`.

use std::time::Duration;

use claviger_core::{
    action::{AskForKey, CollectKey, DecideRequest, ReadRequests, WithdrawRequest},
    grant::Grant,
    id::{KeyId, RequestId},
    request::{
        Approved, JUSTIFICATION_CHARS_MAX, KeyRequest, Lifetime, NOTE_CHARS_MAX, Status, Wanted,
    },
    text::parse_name,
    time::Timestamp,
};
use claviger_store::{RequestFilter, Written};
use claviger_wire::{map::TextMap, requests as wire};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{grant_view, grants::Asked, keys::next_cursor, keys::shown_once, name, texts};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::requests::{self, Base},
};

/// `POST /org/requests`.
///
/// # Errors
/// As [`requests::ask`], and 400 or 422 for a body that cannot be used.
pub async fn ask(mut call: Call<AskForKey>) -> Result<Reply, Failure> {
    let body: wire::KeyAsk = call.json().await?;
    let name = name(&body.name)?;
    let justification = parse_name(&body.justification, JUSTIFICATION_CHARS_MAX)
        .map_err(|error| Failure::out_of_range("justification", error))?;
    let metadata = texts("metadata", body.metadata.clone().unwrap_or_default())?;
    let for_key = body.for_key.as_deref().map(key_id).transpose()?;
    let make = |base: &Base, now| {
        let asked = Asked::from(&body);
        let lifetime = match lifetime(asked, now)? {
            Some((_, lifetime)) => lifetime,
            None => inherited(base, now)?,
        };
        Ok(Wanted {
            name,
            grant: asked.grant(&base.grant)?,
            lifetime,
            metadata,
        })
    };
    let record = call.recorder(StatusCode::CREATED, |request: &KeyRequest| {
        let wanted = &request.wanted;
        json!({"asked": {
            "id": request.id.to_string(),
            "name": wanted.name,
            "for": request.for_key.map(|id| id.to_string()),
            "justification": request.justification,
            "lifetime": lifetime_said(wanted.lifetime),
            "grant": grant_said(&wanted.grant),
        }})
    });
    let justified = (for_key, justification);
    let written = requests::ask(&call.app, &call.permit, justified, make, record).await?;
    let location = format!("/org/requests/{}", written.value.id);
    Ok(Reply::json(StatusCode::CREATED, &view(&written.value))
        .with(header::LOCATION, &location)
        .written(written.receipt))
}

/// A key in a body: what is malformed is none of the org's.
fn key_id(text: &str) -> Result<KeyId, Failure> {
    text.parse().map_err(|_malformed| Failure::NotFound("key"))
}

/// How long the key is to live, if anything is said, and the field that says it.
fn lifetime(asked: Asked<'_>, now: Timestamp) -> Result<Option<(&'static str, Lifetime)>, Failure> {
    let end = asked.end(now)?;
    Ok(end.map(|(field, at)| match field {
        "expires_in" => (field, Lifetime::For(at.since(now))),
        _ => (field, Lifetime::Until(at)),
    }))
}

fn inherited(base: &Base, now: Timestamp) -> Result<Lifetime, Failure> {
    match base.ends {
        None => Ok(Lifetime::Open),
        Some(end) if end > now => Ok(Lifetime::Until(end)),
        Some(_) => {
            let reason = "must be given, for the key that `for` names has ended";
            Err(Failure::out_of_range("expires_in", reason))
        }
    }
}

/// `GET /org/requests`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 503.
pub async fn list(call: Call<ReadRequests>) -> Result<Reply, Failure> {
    let query = call.query(&["status", "limit", "cursor"])?;
    let page = query.page::<RequestId>()?;
    let filter = RequestFilter {
        statuses: statuses(&query)?,
        now: clock::now(),
        asker: requests::seen(&call.permit, &call.trace).map(|asker| asker.to_string()),
    };
    let limit = page.limit;
    let place = call.app.scan_place().await?;
    let found = call
        .app
        .store
        .list_requests(call.org(), filter, page)
        .await?;
    drop(place);
    let answer = wire::KeyRequestList {
        next_cursor: next_cursor(&found, limit, |request| request.id.to_string()),
        requests: found.iter().map(view).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// Every status unless something else is asked for.
fn statuses(query: &Query) -> Result<Vec<Status>, Failure> {
    let Some(text) = query.get("status").filter(|text| *text != "all") else {
        return Ok(Status::ALL.to_vec());
    };
    let words = text.split(',').map(|word| {
        word.parse().map_err(|_unknown| {
            let known: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            Failure::Malformed {
                code: "bad_query",
                field: Some("status".to_owned()),
                reason: format!(
                    "`{word}` is no status of a request; there are {} and all",
                    known.join(", ")
                ),
            }
        })
    });
    words.collect()
}

/// `GET /org/requests/{id}`.
///
/// # Errors
/// 404, 503.
pub async fn get(call: Call<ReadRequests>) -> Result<Reply, Failure> {
    let id = call.id(0, "request")?;
    let request = requests::get(&call.app, &call.permit, id, &call.trace).await?;
    Ok(Reply::json(StatusCode::OK, &view(&request)))
}

/// `POST /org/requests/{id}/approve`.
///
/// # Errors
/// As [`requests::approve`], and 400 or 422 for a body that cannot be used or asks for more than was
/// asked for.
pub async fn approve(mut call: Call<DecideRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let body: wire::ApprovalRequest = call.json_or_default().await?;
    let written = approve_as(&call, id, &body, StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value)).written(written.receipt))
}

/// Approves a request as a body says; the record says that this status was answered.
pub(crate) async fn approve_as(
    call: &Call<DecideRequest>,
    id: RequestId,
    body: &wire::ApprovalRequest,
    status: StatusCode,
) -> Result<Written<KeyRequest>, Failure> {
    let decision = (id, note(body.note.as_deref())?);
    let make = |request: &KeyRequest, now| narrowed(request, Asked::from(body), now);
    let record = call.recorder(status, |request: &KeyRequest| {
        let approved = request.approved.as_ref();
        json!({"approved": {
            "id": request.id.to_string(),
            "name": request.wanted.name,
            "asked_by": request.asked_by.to_string(),
            "note": request.decision.as_ref().and_then(|decision| decision.note.as_deref()),
            "lifetime": approved.map(|approved| lifetime_said(approved.lifetime)),
            "grant": approved.map(|approved| grant_said(&approved.grant)),
        }})
    });
    requests::approve(&call.app, &call.permit, decision, make, record).await
}

/// What is approved of what was asked for, and the field of the body that is about its end.
fn narrowed(
    request: &KeyRequest,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<(Approved, &'static str), Failure> {
    let wanted = &request.wanted;
    let wider = |field| Failure::out_of_range(field, "is more than was asked for");
    let grant = asked.grant(&wanted.grant)?;
    if let Err(error) = wanted.grant.covers(&grant) {
        return Err(wider(error.field));
    }
    let said = lifetime(asked, now)?;
    if let Some((field, lifetime)) = said
        && !wanted.lifetime.covers(lifetime, now)
    {
        return Err(wider(field));
    }
    // Where nothing is said, the field to be given is the one that was asked with.
    let default = match wanted.lifetime {
        Lifetime::Open | Lifetime::For(_) => "expires_in",
        Lifetime::Until(_) => "expires_at",
    };
    let (field, lifetime) = said.unwrap_or((default, wanted.lifetime));
    Ok((Approved { grant, lifetime }, field))
}

/// `POST /org/requests/{id}/deny`.
///
/// # Errors
/// As [`requests::deny`], and 400 or 422 for a body that cannot be used.
pub async fn deny(mut call: Call<DecideRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let body: wire::DenialRequest = call.json_or_default().await?;
    let written = deny_as(&call, id, body.note.as_deref(), StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value)).written(written.receipt))
}

/// Denies a request; the record says that this status was answered.
pub(crate) async fn deny_as(
    call: &Call<DecideRequest>,
    id: RequestId,
    said: Option<&str>,
    status: StatusCode,
) -> Result<Written<KeyRequest>, Failure> {
    let decision = (id, note(said)?);
    let record = call.recorder(status, |request: &KeyRequest| {
        json!({"denied": {
            "id": request.id.to_string(),
            "name": request.wanted.name,
            "asked_by": request.asked_by.to_string(),
            "note": request.decision.as_ref().and_then(|decision| decision.note.as_deref()),
        }})
    });
    requests::deny(&call.app, &call.permit, decision, record).await
}

fn note(text: Option<&str>) -> Result<Option<String>, Failure> {
    let parsed = text.map(|text| parse_name(text, NOTE_CHARS_MAX));
    parsed
        .transpose()
        .map_err(|error| Failure::out_of_range("note", error))
}

/// `POST /org/requests/{id}/withdraw`.
///
/// # Errors
/// As [`requests::withdraw`].
pub async fn withdraw(mut call: Call<WithdrawRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let _nothing: wire::OwnRequestStep = call.json_or_default().await?;
    let written = withdraw_as(&call, id, StatusCode::OK).await?;
    Ok(Reply::json(StatusCode::OK, &view(&written.value)).written(written.receipt))
}

/// Takes a request back; the record says that this status was answered.
pub(crate) async fn withdraw_as(
    call: &Call<WithdrawRequest>,
    id: RequestId,
    status: StatusCode,
) -> Result<Written<KeyRequest>, Failure> {
    let record = call.recorder(
        status,
        |request: &KeyRequest| json!({"withdrawn": {"id": request.id.to_string()}}),
    );
    requests::withdraw(&call.app, &call.permit, id, record).await
}

/// `POST /org/requests/{id}/collect`.
///
/// # Errors
/// As [`requests::collect`].
pub async fn collect(mut call: Call<CollectKey>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let _nothing: wire::OwnRequestStep = call.json_or_default().await?;
    let minted = requests::collect(&call.app, &call.permit, id, &call.trace).await?;
    let location = format!("/org/tokens/{}", minted.key.id);
    Ok(Reply::json(StatusCode::CREATED, &shown_once(&minted))
        .with(header::LOCATION, &location)
        .written(minted.receipt))
}

/// A request as it is answered.
fn view(request: &KeyRequest) -> wire::KeyRequest {
    let decision = request.decision.as_ref();
    let (expires_in, expires_at) = lifetime_view(request.wanted.lifetime);
    wire::KeyRequest {
        id: request.id.to_string(),
        status: request.status(clock::now()).to_string(),
        asked_by: request.asked_by.to_string(),
        asked_at: request.asked_at.to_string(),
        justification: request.justification.clone(),
        wanted: wire::WantedKey {
            name: request.wanted.name.clone(),
            grant: grant_view(&request.wanted.grant),
            expires_in,
            expires_at,
            metadata: TextMap(request.wanted.metadata.clone()),
        },
        for_key: request.for_key.map(|id| id.to_string()),
        expires_at: request.expires_at.to_string(),
        decided_by: decision.map(|decision| decision.by.to_string()),
        decided_at: decision.map(|decision| decision.at.to_string()),
        decision_note: decision.and_then(|decision| decision.note.clone()),
        approved: request.approved.as_ref().map(|approved| {
            let (expires_in, expires_at) = lifetime_view(approved.lifetime);
            wire::ApprovedKey {
                grant: grant_view(&approved.grant),
                expires_in,
                expires_at,
            }
        }),
        collected_at: request.collection.map(|made| made.at.to_string()),
        token_id: request.collection.map(|made| made.key.to_string()),
    }
}

/// A lifetime as `expires_in` or `expires_at`.
fn lifetime_view(lifetime: Lifetime) -> (Option<String>, Option<String>) {
    match lifetime {
        Lifetime::Open => (None, None),
        Lifetime::For(span) => (Some(in_words(span)), None),
        Lifetime::Until(at) => (None, Some(at.to_string())),
    }
}

fn lifetime_said(lifetime: Lifetime) -> Value {
    let (expires_in, expires_at) = lifetime_view(lifetime);
    json!({"expires_in": expires_in, "expires_at": expires_at})
}

fn grant_said(grant: &Grant) -> Value {
    serde_json::from_str(&grant.to_json()).unwrap_or_default()
}

/// A duration as callers write it, in the largest unit that fits.
fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units.iter().find(|(size, _)| seconds.is_multiple_of(*size));
    match unit {
        Some((size, letter)) if seconds > 0 => format!("{}{letter}", seconds / size),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::time::parse_duration;

    use super::in_words;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["90s", "15m", "36h", "30d", "1s"] {
            let span = parse_duration(text).expect("a duration");
            assert_eq!(in_words(span), text);
        }
        let day = parse_duration("24h").expect("a duration");
        assert_eq!(in_words(day), "1d");
    }
}
