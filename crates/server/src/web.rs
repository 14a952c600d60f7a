//! The Canvas: pages for people, from the same operations as the API.

mod sign_in;

use axum::{body::Body, response::Response};
use claviger_core::{
    action::{SignIn, UseAccount},
    denial::Denial,
};
use http::{HeaderValue, Method, StatusCode, header};

use crate::{failure::Failure, problem, router::Routes, trace::Trace};

/// Every page, and every form on one.
#[rustfmt::skip]
pub(crate) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<SignIn, _, _>(&get, "/canvas", sign_in::home);
    routes.page::<SignIn, _, _>(&get, "/canvas/sign-in", sign_in::page);
    routes.page::<SignIn, _, _>(&post, "/canvas/sign-in", sign_in::with_admin_token);
    routes.page::<SignIn, _, _>(&get, "/canvas/link", sign_in::link_page);
    routes.page::<SignIn, _, _>(&post, "/canvas/link", sign_in::with_link);
    routes.page::<UseAccount, _, _>(&post, "/canvas/sign-out", sign_in::sign_out);
}

/// Whether a path belongs to the Canvas.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/canvas" || path.starts_with("/canvas/")
}

/// The answer to a page that failed: whoever is not signed in is sent to sign in, and comes back.
pub(crate) fn failure(trace: &Trace, failure: &Failure) -> Response {
    let answer = problem::answer(failure);
    if answer.status == StatusCode::UNAUTHORIZED && trace.method == Method::GET {
        let reason = match failure {
            Failure::Denied(Denial::NoCredential) => "",
            _ => answer.code,
        };
        return sign_in::redirect(trace, reason);
    }
    let text = format!("<h1>{}</h1><p>{}</p>", answer.status, answer.detail);
    html(answer.status, text)
}

/// A page.
pub(crate) fn html(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}
