//! Signing in and out.

use askama::Template;
use axum::response::Response;
use claviger_core::{
    action::{SignIn, UseAccount},
    denial::Denial,
    evidence::cookie,
    tier::Tier,
};
use claviger_store::WhichSessions;
use http::{HeaderValue, StatusCode, header};

use super::{html::html, layout::Page, page as surroundings};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        sign_ins::{self, SignedIn},
        sso,
    },
    trace::Trace,
};

/// Where a browser goes on that has no place to go back to.
const HOME: &str = "/canvas/keys";

/// The page that signs in.
#[derive(Debug, Template)]
#[template(path = "canvas/sign_in.html")]
struct SignInPage {
    page: Page,
    next: String,
    /// Why the reader has to sign in, if it has.
    reason: &'static str,
    has_provider: bool,
    provider: &'static str,
    has_admin_token: bool,
    error: String,
}

/// The page that a one-time link opens.
#[derive(Debug, Template)]
#[template(path = "canvas/link.html")]
struct LinkPage {
    page: Page,
}

/// Sends a browser to sign in, and from there back to where it was.
pub(super) fn redirect(next: Option<&Trace>, reason: &str) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let next = next.map(|trace| match &trace.query {
        Some(text) => format!("{}?{text}", trace.path),
        None => trace.path.clone(),
    });
    if let Some(next) = next.filter(|next| safe_next(next) != HOME) {
        query.append_pair("next", &next);
    }
    if !reason.is_empty() {
        query.append_pair("reason", reason);
    }
    let query = query.finish();
    let location = if query.is_empty() {
        "/canvas/sign-in".to_owned()
    } else {
        format!("/canvas/sign-in?{query}")
    };
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Where to go on: a page of ours, and nothing else.
fn safe_next(next: &str) -> &str {
    let is_ours = next.starts_with("/canvas/")
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !next.starts_with("/canvas/sign-")
        && !next.starts_with("/canvas/link");
    if is_ours { next } else { HOME }
}

/// `GET /canvas`.
///
/// # Errors
/// None of its own.
pub(super) async fn home(_call: Call<SignIn>) -> Result<Reply, Failure> {
    Ok(Reply::see_other(HOME))
}

/// `GET /canvas/sign-in`.
///
/// # Errors
/// 400 for a query that is not ours.
pub(super) async fn page(call: Call<SignIn>) -> Result<Reply, Failure> {
    let query = call.query(&["next", "reason"])?;
    let next = safe_next(query.get("next").unwrap_or_default());
    if call.permit.principal().tier == Tier::Session {
        return Ok(Reply::see_other(next));
    }
    Ok(html(
        StatusCode::OK,
        &page_of(&call, query.get("reason"), next),
    ))
}

/// The page for whoever is to sign in.
fn page_of(call: &Call<SignIn>, reason: Option<&str>, next: &str) -> SignInPage {
    let mut page = surroundings::surroundings(&call.app, &call.trace);
    page.title = "Sign in".to_owned();
    SignInPage {
        page,
        next: if next == HOME {
            String::new()
        } else {
            next.to_owned()
        },
        reason: match reason {
            Some("signed_out") => "You are signed out.",
            Some("person_suspended") => {
                "You are suspended here. Ask somebody who administers the org."
            }
            Some("person_removed") => {
                "You were removed here. Ask somebody who administers the org."
            }
            Some(_) => {
                "Your session has ended. Sign in again, and you come back to where you were."
            }
            None => "",
        },
        has_provider: call.app.has_provider(),
        provider: "your identity provider",
        has_admin_token: call.app.admin_token.is_set(),
        error: String::new(),
    }
}

/// `GET /canvas/link`: what proves anything stands behind `#`, where only the browser sees it.
///
/// # Errors
/// None of its own.
pub(super) async fn link_page(call: Call<SignIn>) -> Result<Reply, Failure> {
    let mut page = surroundings::surroundings(&call.app, &call.trace);
    page.title = "Sign in".to_owned();
    Ok(html(StatusCode::OK, &LinkPage { page }))
}

/// `POST /canvas/link`.
///
/// # Errors
/// 401 for a link that is not good any more.
pub(super) async fn with_link(mut call: Call<SignIn>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let token = form.get("token").ok_or(Denial::BadLink)?;
    let signed_in = sign_ins::use_link(&call.app, &call.permit, token, &call.trace).await?;
    Ok(welcome(&call.app, signed_in, HOME))
}

/// `POST /canvas/sign-in` with `ADMIN_TOKEN`.
///
/// # Errors
/// 401 for any other text.
pub(super) async fn with_admin_token(mut call: Call<SignIn>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let presented = (form.get("token").unwrap_or_default(), form.get("org"));
    let signed_in =
        sign_ins::use_admin_token(&call.app, &call.permit, presented, &call.trace).await?;
    let next = safe_next(form.get("next").unwrap_or_default());
    Ok(welcome(&call.app, signed_in, next))
}

/// `GET /canvas/sign-in/provider`: off to the identity provider.
///
/// # Errors
/// As [`sso::begin`].
pub(super) async fn to_provider(call: Call<SignIn>) -> Result<Reply, Failure> {
    let query = call.query(&["next"])?;
    let next = safe_next(query.get("next").unwrap_or_default());
    let journey = sso::begin(&call.app, &call.permit, next, &call.trace).await?;
    let seconds = sso::SIGN_IN_LASTS.as_secs();
    let held = away_cookie(&call.app, &journey.browser, seconds);
    Ok(Reply::see_other(&journey.url).with_also(header::SET_COOKIE, &held))
}

/// `GET /canvas/sign-in/callback`: back from the identity provider.
///
/// # Errors
/// As [`sso::finish`].
pub(super) async fn from_provider(call: Call<SignIn>) -> Result<Reply, Failure> {
    // Providers add what they like.
    let query = call.any_query()?;
    let headers = call.headers.get_all(header::COOKIE).iter();
    let headers = headers.map(|value| value.as_bytes());
    let browser = cookie(headers, away_cookie_name(&call.app)).unwrap_or_default();
    let back = sso::Back {
        state: query.get("state").unwrap_or_default(),
        code: match (query.get("code"), query.get("error")) {
            (Some(code), None) => Ok(code),
            (_, error) => Err(error.unwrap_or("no_code")),
        },
        issuer: query.get("iss"),
        browser,
    };
    let (signed_in, next) = sso::finish(&call.app, &call.permit, back, &call.trace).await?;
    let next = safe_next(&next).to_owned();
    Ok(welcome(&call.app, signed_in, &next)
        .with_also(header::SET_COOKIE, &away_cookie(&call.app, "", 0)))
}

/// The cookie that ties a sign-in at the provider to the browser that began it.
fn away_cookie_name(app: &App) -> &'static str {
    if app.config.is_https() {
        "__Host-claviger-away"
    } else {
        "claviger_away"
    }
}

fn away_cookie(app: &App, value: &str, seconds: u64) -> String {
    set_cookie(app, away_cookie_name(app), value, seconds)
}

/// `POST /canvas/sign-out`.
///
/// # Errors
/// That of the store: then the session may live.
pub(super) async fn sign_out(call: Call<UseAccount>) -> Result<Reply, Failure> {
    let live = call.session().ok_or(Denial::SessionEnded)?;
    let which = WhichSessions::One(live.session.person.clone(), live.session.id);
    // While there is still something to ask with.
    let there = sso::logout_url(&call.app, &live.session).await;
    let ended = sign_ins::end_own(&call.app, &call.permit, which, &call.trace).await?;
    let next = there.unwrap_or_else(|| "/canvas/sign-in?reason=signed_out".to_owned());
    Ok(Reply::see_other(&next)
        .with_also(header::SET_COOKIE, &session_cookie(&call.app, "", 0))
        .written(ended.receipt))
}

/// Sets the cookie, and goes on.
pub(super) fn welcome(app: &App, signed_in: SignedIn, next: &str) -> Reply {
    let seconds = app.config.session_max.as_secs();
    Reply::see_other(next)
        .with_also(
            header::SET_COOKIE,
            &session_cookie(app, &signed_in.cookie, seconds),
        )
        .written(signed_in.receipt)
}

/// The cookie of the Canvas (RFC 6265): for our own pages alone, and for no script.
fn session_cookie(app: &App, value: &str, seconds: u64) -> String {
    set_cookie(app, app.config.cookie(), value, seconds)
}

fn set_cookie(app: &App, name: &str, value: &str, seconds: u64) -> String {
    let secure = if app.config.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::{HOME, safe_next};

    #[test]
    fn browser_is_sent_to_our_own_pages_alone() {
        for good in [
            "/canvas/keys?q=a%20b",
            "/canvas/audit",
            "/canvas/keys/tok_1",
        ] {
            assert_eq!(safe_next(good), good);
        }
        for bad in [
            "",
            "https://evil.example/canvas/keys",
            "//evil.example/canvas/",
            "/canvas/../org/tokens\\",
            "/org/tokens",
            "/canvas/sign-out",
            "/canvas/link",
            "/canvas/keys\r\nSet-Cookie: a=b",
        ] {
            assert_eq!(safe_next(bad), HOME, "{bad}");
        }
    }
}
