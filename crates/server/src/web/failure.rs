//! A page that cannot be shown.

use askama::Template;
use axum::response::Response;
use claviger_core::denial::Denial;
use claviger_store::StoreError;
use claviger_wire::headers;
use http::{HeaderValue, Method, StatusCode, header};

use super::{
    fault::sentence,
    html,
    layout::{Page, Theme},
    page, sign_in,
};
use crate::{app::App, clock, failure::Failure, problem, trace::Trace};

/// The title where nothing is.
const NO_SUCH_PAGE: &str = "There is no such page";
/// What is said there.
const NOTHING_THERE: &str = "Nothing is at this address: it may be mistyped, or from another version. \
    The API is described at `/docs`.";
/// What is to be done about a failure that passes.
const PASSING: &str = "Nothing was changed. Try again in a moment. If it lasts, whoever runs the server \
    finds the cause in its log, and at `/readyz`.";

/// Why a page is not shown, inside the layout.
#[derive(Debug, Template)]
#[template(path = "canvas/failure.html")]
struct FailurePage {
    page: Page,
    title: &'static str,
    text: Vec<(bool, String)>,
    code: &'static str,
    request: String,
    /// What is worth another try; empty for nothing.
    again: String,
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
    /// What is worth another try; empty for nothing.
    again: String,
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
        StatusCode::NOT_FOUND => NO_SUCH_PAGE,
        StatusCode::CONFLICT => "This cannot be done now",
        StatusCode::TOO_MANY_REQUESTS => "Too many at once",
        StatusCode::SERVICE_UNAVAILABLE => "This cannot be done at the moment",
        status if status.is_server_error() => "Something failed here",
        _ => "This cannot be understood",
    };
    let page = Page {
        title: title.to_owned(),
        ..page::surroundings(app, trace)
    };
    let (text, code) = (parts(&words(app, failure, &answer.detail)), answer.code);
    let (request, again) = (trace.id.to_string(), again(trace, answer.status));
    let mut response = if page.who.is_some() {
        let page = FailurePage {
            page,
            title,
            text,
            code,
            request,
            again,
        };
        html::response(answer.status, &page)
    } else {
        let page = BareFailurePage {
            page,
            title,
            text,
            code,
            request,
            again,
        };
        html::response(answer.status, &page)
    };
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        let fields = response.headers_mut();
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The page for an address outside the Canvas at which nothing is, in the place of the answer for
/// programs, with its status: whoever shows no credential is asked for one before anything is said of
/// the address. An answer that says something else stays.
pub(crate) fn no_such_page(theme: Theme, answer: Response) -> Response {
    let status = answer.status();
    if !matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED) {
        return answer;
    }
    let id = answer.headers().get(headers::X_REQUEST_ID);
    let request = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let page = BareFailurePage {
        page: Page {
            theme,
            ..Page::new(NO_SUCH_PAGE, clock::now())
        },
        title: NO_SUCH_PAGE,
        text: parts(NOTHING_THERE),
        code: problem::answer(&Failure::NoRoute).code,
        request: request.to_owned(),
        again: String::new(),
    };
    let mut response = html::response(status, &page);
    if let Some(id) = id {
        let fields = response.headers_mut();
        fields.insert(headers::X_REQUEST_ID, id.clone());
    }
    response
}

/// Where another try leads. What a form sent cannot be sent again by a link.
fn again(trace: &Trace, status: StatusCode) -> String {
    let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    if !is_passing || trace.method != Method::GET {
        return String::new();
    }
    let query = trace.query.as_ref().map(|query| format!("?{query}"));
    format!("{}{}", trace.path, query.unwrap_or_default())
}

/// The words for a person: who reads a page is no key.
fn words(app: &App, failure: &Failure, detail: &str) -> String {
    match failure {
        Failure::Denied(Denial::MissingPermission(permission)) => format!(
            "You lack the permission `{permission}`. Somebody who administers the org can give it to you."
        ),
        // Without a provider there is nobody else who could be asked.
        Failure::Denied(Denial::PersonSuspended | Denial::PersonRemoved) if !app.has_provider() => {
            sentence(sign_in::LET_IN_AGAIN)
        }
        Failure::NoRoute => NOTHING_THERE.to_owned(),
        Failure::Store(StoreError::Unavailable { .. }) => {
            format!("The database of this server cannot be asked at the moment. {PASSING}")
        }
        Failure::NotRecorded => format!(
            "The audit trail cannot be written at the moment, and nothing is shown or done without its record. {PASSING}"
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
