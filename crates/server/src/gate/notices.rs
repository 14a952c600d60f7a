//! What an answer says beside what was asked: ends, limits, rotations.

use claviger_core::time::Timestamp;
use claviger_wire::headers;
use http::{HeaderValue, header};

use crate::{app::App, rate_limiter::Standing, trace::Trace};

/// Says on every answer to a workspace token that its time ends (RFC 9745, RFC 8594).
pub(super) fn deprecate(app: &App, fields: &mut http::HeaderMap) {
    // Deprecated since the first release.
    fields.insert(
        headers::DEPRECATION,
        HeaderValue::from_static("@1795392000"),
    );
    if let Ok(date) = HeaderValue::from_str(&app.config.workspace_tokens_sunset.to_http_date()) {
        fields.insert(headers::SUNSET, date);
    }
    fields.insert(
        header::LINK,
        HeaderValue::from_static(
            "</docs/migrate-workspace-tokens>; rel=\"deprecation\"; type=\"text/markdown\"",
        ),
    );
}

/// Says on every answer to a limited key how its tightest limit stands
/// (draft-ietf-httpapi-ratelimit-headers-10).
pub(super) fn tell_of_limit(fields: &mut http::HeaderMap, standing: &Standing) {
    let Standing {
        window,
        quota,
        window_seconds,
        remaining,
        retry_after,
    } = standing;
    let wait = match retry_after.as_secs() {
        0 if *remaining > 0 => *window_seconds,
        short => short.max(1),
    };
    for (name, value) in [
        (
            headers::RATE_LIMIT_POLICY,
            format!("\"{window}\";q={quota};w={window_seconds}"),
        ),
        (
            headers::RATE_LIMIT,
            format!("\"{window}\";r={remaining};t={wait}"),
        ),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            fields.insert(http::HeaderName::from_static(name), value);
        }
    }
}

/// Says on every answer to a replaced secret since when it is, and until when it works (RFC 9745,
/// RFC 8594).
pub(super) fn tell_of_rotation(
    app: &App,
    trace: &Trace,
    fields: &mut http::HeaderMap,
    end: Timestamp,
) {
    let old = trace.principal.key.and_then(|id| app.old_secrets.get(id));
    let since = old.map_or(trace.at, |(old, _)| old.replaced_at);
    if let Ok(since) = HeaderValue::from_str(&format!("@{}", since.millis() / 1000)) {
        fields.insert(headers::DEPRECATION, since);
    }
    if let Ok(end) = HeaderValue::from_str(&end.to_http_date()) {
        fields.insert(headers::SUNSET, end);
    }
}
