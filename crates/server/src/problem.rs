//! The one table from a failure to a status, a code and words (RFC 9457).

use axum::{body::Body, response::Response};
use claviger_core::{denial::Denial, id::EventId};
use claviger_store::StoreError;
use claviger_wire::{headers, problem::Problem};
use http::{HeaderValue, StatusCode, header};

use crate::{failure::Failure, provider::ProviderError};

/// How a failure is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The stable code.
    pub code: &'static str,
    /// The words for the caller.
    pub detail: String,
    /// The field at fault.
    pub field: Option<String>,
}

/// The table.
#[must_use]
pub fn answer(failure: &Failure) -> Answer {
    let (status, code) = match failure {
        Failure::Denied(denial) => (status_of_denial(*denial), denial.code()),
        Failure::BeyondMinter(_) => (StatusCode::FORBIDDEN, "beyond_minter"),
        Failure::BeyondDelegation(_) => (StatusCode::FORBIDDEN, "beyond_delegation"),
        Failure::BeyondPolicy(_) => (StatusCode::FORBIDDEN, "beyond_policy"),
        Failure::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Failure::RotationLasts => (StatusCode::CONFLICT, "rotation_lasts"),
        Failure::Store(error) => status_of_store(error),
        Failure::NotYourKey => (StatusCode::FORBIDDEN, "not_your_key"),
        Failure::OwnRequest => (StatusCode::FORBIDDEN, "own_request"),
        Failure::Malformed { code, .. } => (StatusCode::BAD_REQUEST, *code),
        Failure::OutOfRange { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "out_of_range"),
        Failure::Path(_) => (StatusCode::BAD_REQUEST, "ambiguous_path"),
        Failure::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
        Failure::NoMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "no_method"),
        Failure::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Failure::Dropped { .. } => (StatusCode::GONE, "dropped"),
        Failure::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
        Failure::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        Failure::HeadTooLarge(_) => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
        ),
        Failure::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
        Failure::TooMuchAtOnce => (StatusCode::SERVICE_UNAVAILABLE, "too_much_at_once"),
        Failure::BrokenBody => (StatusCode::BAD_REQUEST, "broken_body"),
        Failure::TooManyMints { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_mints"),
        Failure::TooManyCalls { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_calls"),
        Failure::TooManyStreams { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams"),
        Failure::BadSignature(_) => (StatusCode::FORBIDDEN, "bad_signature"),
        Failure::Refused(_) => (StatusCode::CONFLICT, "refused"),
        Failure::MintedBefore(_) => (StatusCode::CONFLICT, "minted_before"),
        Failure::Provider(error) => (status_of_provider(error), error.code()),
        Failure::NotRecorded => (StatusCode::SERVICE_UNAVAILABLE, "not_recorded"),
        Failure::RolledBack => (StatusCode::SERVICE_UNAVAILABLE, "rolled_back"),
        Failure::Unready(_) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        Failure::Shown { why, .. } => return answer(why),
        Failure::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    let field = match failure {
        Failure::OutOfRange { field, .. } => Some(field.clone()),
        Failure::Malformed { field, .. } => field.clone(),
        Failure::BeyondMinter(field) => Some((*field).to_owned()),
        Failure::BeyondPolicy(breach) => Some(breach.field.to_owned()),
        Failure::NotYourKey => Some("for".to_owned()),
        _ => None,
    };
    Answer {
        status,
        code,
        detail: words(failure),
        field,
    }
}

fn status_of_denial(denial: Denial) -> StatusCode {
    match denial {
        Denial::TwoCredentials | Denial::UnknownOrg => StatusCode::BAD_REQUEST,
        Denial::Stale => StatusCode::SERVICE_UNAVAILABLE,
        denied if denied.is_proven() => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    }
}

const fn status_of_provider(error: &ProviderError) -> StatusCode {
    match error {
        ProviderError::Refused(_) => StatusCode::UNAUTHORIZED,
        ProviderError::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        ProviderError::Unfit { .. } => StatusCode::BAD_GATEWAY,
    }
}

const fn status_of_store(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Unavailable { .. } | StoreError::InUse(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
        }
        StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        StoreError::Gone(_) => (StatusCode::CONFLICT, "revoked"),
        StoreError::Stale(_) => (StatusCode::CONFLICT, "changed_meanwhile"),
        StoreError::Exists(_) => (StatusCode::CONFLICT, "exists"),
        StoreError::SecretReplaced => (StatusCode::FORBIDDEN, "replaced_secret"),
        StoreError::ActorGone => (StatusCode::UNAUTHORIZED, "token_revoked"),
        StoreError::BootstrapClosed => (StatusCode::UNAUTHORIZED, "bootstrap_closed"),
        StoreError::Replayed {
            is_same_request: true,
            ..
        } => (StatusCode::CONFLICT, "minted_before"),
        StoreError::Replayed {
            is_same_request: false,
            ..
        } => (StatusCode::CONFLICT, "idempotency_key_reused"),
        StoreError::PersonInactive(_) => (StatusCode::CONFLICT, "person_inactive"),
        StoreError::WrongStatus(_) => (StatusCode::CONFLICT, "wrong_status"),
        StoreError::ApprovalVoid(_) => (StatusCode::CONFLICT, "approval_void"),
        StoreError::LimitReached { .. } => (StatusCode::CONFLICT, "limit_reached"),
        StoreError::NoHeir { .. } => (StatusCode::CONFLICT, "no_heir"),
        StoreError::TooMany(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_keys"),
        StoreError::Refused(_) => (StatusCode::FORBIDDEN, "wider_key"),
        StoreError::CheckpointRefused { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "ledger_inconsistent")
        }
        StoreError::Corrupt { .. } | StoreError::PrefixTaken | StoreError::BadUrl(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal")
        }
    }
}

/// The words for the caller: never what the database or the operating system said.
fn words(failure: &Failure) -> String {
    match failure {
        Failure::Store(StoreError::Unavailable { .. } | StoreError::InUse(_)) => {
            "the store cannot be asked at the moment; try again".to_owned()
        }
        Failure::Store(limit @ StoreError::LimitReached { .. }) => {
            format!("{limit}: end or delete some first, or wait until they end")
        }
        Failure::Store(StoreError::CheckpointRefused { reason, .. }) => {
            format!("this audit trail is not the one that was signed ({reason}), so nothing more of it is signed: \
                `claviger audit verify --live` names what was changed; then restore the database")
        }
        Failure::Store(StoreError::BootstrapClosed) => {
            "the first key has been minted: tier 0 is closed for good; send an org API key as `Authorization: Bearer <key>`".to_owned()
        }
        Failure::Store(StoreError::Replayed { key, is_same_request: true }) => {
            Failure::MintedBefore(*key).to_string()
        }
        Failure::Store(StoreError::Replayed { is_same_request: false, .. }) => {
            "this `Idempotency-Key` was used for another request within a day; use a new one".to_owned()
        }
        Failure::Store(
            StoreError::Corrupt { .. } | StoreError::PrefixTaken | StoreError::BadUrl(_),
        )
        | Failure::Internal(_) => "something failed here; the log has the cause under this request's id".to_owned(),
        other => other.to_string(),
    }
}

/// The response of a failure.
#[must_use]
pub fn response(failure: &Failure, id: EventId) -> Response {
    let answer = answer(failure);
    log(failure, &answer, id);
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: answer
            .status
            .canonical_reason()
            .unwrap_or("Error")
            .to_owned(),
        status: answer.status.as_u16(),
        code: answer.code.to_owned(),
        detail: answer.detail,
        field: answer.field,
        token_id: match failure {
            Failure::Store(StoreError::Replayed {
                key,
                is_same_request: true,
            }) => Some(key.to_string()),
            _ => None,
        },
        request_id: id.to_string(),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = answer.status;
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(claviger_wire::problem::MEDIA_TYPE),
    );
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if answer.status == StatusCode::UNAUTHORIZED {
        fields.insert(header::WWW_AUTHENTICATE, challenge(failure));
    }
    if let Failure::NoMethod(methods) = failure
        && let Ok(allow) = HeaderValue::from_str(methods)
    {
        fields.insert(header::ALLOW, allow);
    }
    tell_when(failure, answer.status, fields);
    response
}

/// Says when it is worth another try, where time is all that is wanting.
pub(crate) fn tell_when(failure: &Failure, status: StatusCode, fields: &mut http::HeaderMap) {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    match failure {
        Failure::RateLimited(_)
        | Failure::TooManyMints { .. }
        | Failure::TooManyCalls { .. }
        | Failure::TooManyStreams { .. } => tell_to_wait(failure, fields),
        _ => {}
    }
}

/// Tells the operator what the caller is not told.
pub(crate) fn log(failure: &Failure, answer: &Answer, id: EventId) {
    if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id = %id, cause = %failure, "a request failed");
    } else if let Failure::Provider(error) = failure
        && let Some(cause) = error.cause()
    {
        tracing::warn!(request_id = %id, cause, "the identity provider cannot be used");
    } else if let Failure::Store(StoreError::Unavailable { .. }) = failure {
        tracing::warn!(request_id = %id, cause = %failure, "the store cannot be asked");
    }
}

/// The challenge of a 401 (RFC 6750, 3): bare where no credential was presented.
fn challenge(failure: &Failure) -> HeaderValue {
    match failure {
        Failure::Denied(Denial::NoCredential) | Failure::Store(StoreError::BootstrapClosed) => {
            HeaderValue::from_static("Bearer realm=\"claviger\"")
        }
        Failure::Denied(denial) => {
            // The words of a denial hold no quotation mark but back-ticks.
            let text = format!(
                "Bearer realm=\"claviger\", error=\"invalid_token\", error_description=\"{}\"",
                denial.to_string().replace(['"', '\\', '…'], "")
            );
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(
                "Bearer realm=\"claviger\", error=\"invalid_token\"",
            ))
        }
        _ => HeaderValue::from_static("Bearer realm=\"claviger\", error=\"invalid_token\""),
    }
}

/// When the next one is allowed, and of a mint the limit: that of a key is told with every answer.
fn tell_to_wait(failure: &Failure, fields: &mut http::HeaderMap) {
    let mut tell = |name: http::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            fields.insert(name, value);
        }
    };
    match failure {
        Failure::RateLimited(standing) => {
            let seconds = standing.retry_after.as_secs().max(1);
            tell(header::RETRY_AFTER, seconds.to_string());
        }
        Failure::TooManyCalls { retry_after, .. } | Failure::TooManyStreams { retry_after, .. } => {
            let seconds = retry_after.as_secs().max(1);
            tell(header::RETRY_AFTER, seconds.to_string());
        }
        Failure::TooManyMints {
            per_minute,
            retry_after,
        } => {
            let seconds = retry_after.as_secs().max(1);
            let limit = http::HeaderName::from_static(headers::RATE_LIMIT);
            let policy = http::HeaderName::from_static(headers::RATE_LIMIT_POLICY);
            tell(header::RETRY_AFTER, seconds.to_string());
            tell(limit, format!("\"mints\";r=0;t={seconds}"));
            tell(policy, format!("\"mints\";q={per_minute};w=60"));
        }
        _ => {}
    }
}
