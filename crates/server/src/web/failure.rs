//! A page that cannot be shown.

use askama::Template;
use axum::response::Response;
use claviger_core::denial::Denial;
use http::{Method, StatusCode};

use super::{fault::sentence, html, layout::Page, page, sign_in};
use crate::{app::App, failure::Failure, problem, trace::Trace};

/// Why a page is not shown, inside the layout.
#[derive(Debug, Template)]
#[template(path = "canvas/failure.html")]
struct FailurePage {
    page: Page,
    title: &'static str,
    text: Vec<(bool, String)>,
    code: &'static str,
    request: String,
}

/// The same for nobody.
#[derive(Debug, Template)]
#[template(path = "canvas/failure_bare.html")]
struct BareFailurePage {
    page: Page,
    title: &'static str,
    text: Vec<(bool, String)>,
    code: &'static str,
    request: String,
}

/// The answer to a page that failed: whoever is not signed in is sent to sign in, and comes back.
pub(crate) fn failure(app: &App, trace: &Trace, failure: &Failure) -> Response {
    let answer = problem::answer(failure);
    problem::log(failure, &answer, trace.id);
    if let Failure::Shown { page, .. } = failure {
        return html::rendered_before(answer.status, page.clone());
    }
    let is_sign_in = trace.route.starts_with("/canvas/sign-in") || trace.route == "/canvas/link";
    if answer.status == StatusCode::UNAUTHORIZED && !is_sign_in {
        let reason = match failure {
            Failure::Denied(Denial::NoCredential) => "",
            _ => answer.code,
        };
        let next = if trace.method == Method::GET {
            let query = trace.query.as_ref().map(|query| format!("?{query}"));
            Some(format!("{}{}", trace.path, query.unwrap_or_default()))
        } else {
            // What was typed is gone, but not the way back to where it was.
            trace.from.clone()
        };
        return sign_in::redirect(next.as_deref(), reason);
    }
    let title = match answer.status {
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::UNAUTHORIZED => "This did not sign you in",
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::CONFLICT => "This cannot be done now",
        StatusCode::TOO_MANY_REQUESTS => "Too many at once",
        StatusCode::SERVICE_UNAVAILABLE => "This cannot be done at the moment",
        status if status.is_server_error() => "Something failed here",
        _ => "This cannot be understood",
    };
    let (page, request) = (page::surroundings(app, trace), trace.id.to_string());
    let page = Page {
        title: title.to_owned(),
        ..page
    };
    let (text, code) = (parts(&words(failure, &answer.detail)), answer.code);
    if page.who.is_some() {
        let page = FailurePage {
            page,
            title,
            text,
            code,
            request,
        };
        html::response(answer.status, &page)
    } else {
        let page = BareFailurePage {
            page,
            title,
            text,
            code,
            request,
        };
        html::response(answer.status, &page)
    }
}

/// The words for a person: who reads a page is no key.
fn words(failure: &Failure, detail: &str) -> String {
    match failure {
        Failure::Denied(Denial::MissingPermission(permission)) => format!(
            "You lack the permission `{permission}`. Somebody who administers the org can give it to you."
        ),
        _ => sentence(detail),
    }
}

/// What stands between backticks, and what does not.
fn parts(words: &str) -> Vec<(bool, String)> {
    let parts = words.split('`').enumerate();
    parts
        .map(|(at, part)| (at % 2 == 1, part.to_owned()))
        .collect()
}
