//! Every header name that Claviger speaks beyond the common ones, in lower case.

/// Picks the org that `ADMIN_TOKEN` acts on.
pub const X_ORG_ID: &str = "x-org-id";
/// Makes a repeated mint recognisable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The id of the request, and of its audit record.
pub const X_REQUEST_ID: &str = "x-request-id";
/// When a feature was deprecated (RFC 9745).
pub const DEPRECATION: &str = "deprecation";
/// When a feature ends (RFC 8594).
pub const SUNSET: &str = "sunset";
/// The limit that was met (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: &str = "ratelimit";
/// The policy behind the limit.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// Where a browser's request came from.
pub const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// How a browser asks: `navigate` for a page that a person goes to.
pub const SEC_FETCH_MODE: &str = "sec-fetch-mode";
/// What a browser wants it for.
pub const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// The chain of addresses that a request came through, as proxies tell it.
pub const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// Headers by which a proxy says that it passed a request on.
pub const FORWARDING: &[&str] = &[
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-original-forwarded-for",
    "x-original-url",
    "x-original-host",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "fastly-client-ip",
    "fly-client-ip",
    "x-azure-clientip",
    "x-appengine-user-ip",
];
