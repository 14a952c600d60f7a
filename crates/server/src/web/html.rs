//! A page as an answer, with the headers that every page has.

use askama::Template;
use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::{failure::Failure, gate::Reply};

const MEDIA_TYPE: &str = "text/html; charset=utf-8";

/// What a page may load and where its forms may go: our own files, and nothing inline.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// The headers of every page. No page may be kept: each holds what one person may see.
pub const PAGE_HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// The answer that shows a page.
#[must_use]
pub fn html(status: StatusCode, page: &impl Template) -> Reply {
    let (status, text) = rendered(status, page);
    let reply = Reply::body(status, MEDIA_TYPE, text);
    PAGE_HEADERS
        .into_iter()
        .fold(reply, |reply, (name, value)| reply.with(name, value))
}

/// The same for a failure, which has no reply.
#[must_use]
pub fn response(status: StatusCode, page: &impl Template) -> Response {
    let (status, text) = rendered(status, page);
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    for (name, value) in PAGE_HEADERS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer to a form that was refused: the page says why, and holds what was typed.
pub(crate) fn refused(why: Failure, page: &impl Template) -> Failure {
    let (_, page) = rendered(StatusCode::OK, page);
    Failure::Shown {
        why: Box::new(why),
        page,
    }
}

/// A page that was rendered before its status was known.
pub(super) fn rendered_before(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    for (name, value) in PAGE_HEADERS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn rendered(status: StatusCode, page: &impl Template) -> (StatusCode, String) {
    match page.render() {
        Ok(text) => (status, text),
        Err(error) => {
            // Only a value whose own printing fails can lead here.
            tracing::error!(%error, "a page cannot be rendered");
            let words = "<!doctype html><title>Error</title><p>This page cannot be shown.";
            (StatusCode::INTERNAL_SERVER_ERROR, words.to_owned())
        }
    }
}

/// The answer that leads to another page with GET: what follows a form that changed something.
#[must_use]
pub fn see_other(path: &str) -> Reply {
    Reply::body(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "")
        .with(header::LOCATION, path)
        .with(header::CACHE_CONTROL, "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "<p>{{ words }}", ext = "html")]
    struct Plain {
        words: &'static str,
    }

    #[test]
    fn page_is_escaped_and_has_the_headers_of_every_page() {
        let response = response(StatusCode::OK, &Plain { words: "<b>" });
        let value = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(value("cache-control").as_deref(), Some("no-store"));
        assert_eq!(value("x-frame-options").as_deref(), Some("DENY"));
        assert_eq!(value("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(value("referrer-policy").as_deref(), Some("same-origin"));
        assert_eq!(
            value("cross-origin-opener-policy").as_deref(),
            Some("same-origin")
        );
        assert_eq!(
            value("content-security-policy").as_deref(),
            Some(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            )
        );
        assert_eq!(Plain { words: "<b>" }.render().unwrap(), "<p>&#60;b&#62;");
    }
}
