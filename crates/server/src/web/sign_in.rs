//! Signing in and out.

use askama::Template;
use axum::response::Response;
use claviger_core::{
    action::{ReadKeys, SignIn, SignOut},
    denial::Denial,
    evidence::cookie,
    path::normalise,
};
use http::{HeaderValue, StatusCode, header};

use super::{
    fault::{Fault, sentence},
    first_run,
    html::{html, refused},
    layout::{Nav, Page},
    page as surroundings,
};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        sign_ins::{self, SignedIn},
        sso,
    },
};

/// How the local administrator, who is suspended or removed, gets in again.
pub(super) const LET_IN_AGAIN: &str = "the local administrator may not sign in here. Whoever holds \
    `ADMIN_TOKEN`, or a key with `org:admin`, undoes that with `claviger members restore local-admin`, \
    or with `POST /org/members/local-admin/restore`";

/// Where a browser goes on that has no place to go back to.
const HOME: &str = "/canvas";

/// The page that signs in.
#[derive(Debug, Template)]
#[template(path = "canvas/sign_in.html")]
struct SignInPage {
    page: Page,
    next: String,
    /// Why the reader has to sign in, if it has.
    reason: String,
    has_provider: bool,
    provider: &'static str,
    has_admin_token: bool,
    /// The org that was typed.
    org: String,
    fault: Fault,
}

/// The page that a one-time link opens.
#[derive(Debug, Template)]
#[template(path = "canvas/link.html")]
struct LinkPage {
    page: Page,
    /// The link that was tried signs nobody in.
    is_spent: bool,
    has_admin_token: bool,
}

/// The page between a sign-out here and the one at the provider.
#[derive(Debug, Template)]
#[template(path = "canvas/leaving.html")]
struct LeavingPage {
    page: Page,
    /// Where the provider ends the session.
    there: String,
}

/// Sends a browser to sign in, and from there back to where it was.
pub(super) fn redirect(next: Option<&str>, reason: &str) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(next) = next.filter(|next| safe_next(next) != HOME) {
        query.append_pair("next", next);
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
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let is_ours = next.starts_with("/canvas/")
        && matches!(normalise(path), Ok(same) if same == path)
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !next.starts_with("/canvas/sign-")
        && !next.starts_with("/canvas/link");
    if is_ours { next } else { HOME }
}

/// `GET /canvas`: to the first key where there is none, else to the keys.
///
/// # Errors
/// That of the store.
pub(super) async fn home(call: Call<SignIn>) -> Result<Reply, Failure> {
    if call.session().is_none() {
        let reason = call.refused().filter(|why| *why != Denial::NoCredential);
        return Ok(Reply::of(redirect(None, reason.map_or("", Denial::code))));
    }
    if first_run::is_wanted(&call).await? {
        return Ok(Reply::see_other(first_run::PATH));
    }
    let place = if call.may::<ReadKeys>(None).await? {
        Nav::Keys
    } else {
        Nav::Account
    };
    Ok(Reply::see_other(place.href()))
}

/// `GET /canvas/sign-in`.
///
/// # Errors
/// 400 for a query that is not ours.
pub(super) async fn page(call: Call<SignIn>) -> Result<Reply, Failure> {
    let query = call.query(&["next", "reason"])?;
    let next = safe_next(query.get("next").unwrap_or_default());
    if call.session().is_some() {
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
        reason: reason.map_or_else(String::new, |reason| words_of(call, reason)),
        has_provider: call.app.has_provider(),
        provider: "your identity provider",
        has_admin_token: call.app.admin_token.is_set(),
        org: String::new(),
        fault: Fault::default(),
    }
}

/// Why somebody has to sign in.
fn words_of(call: &Call<SignIn>, reason: &str) -> String {
    let words = match reason {
        "signed_out" => "You are signed out.",
        "person_suspended" | "person_removed" if !call.app.has_provider() => {
            return sentence(&LET_IN_AGAIN.replace('`', ""));
        }
        "person_suspended" => "You are suspended here. Ask somebody who administers the org.",
        "person_removed" => "You were removed here. Ask somebody who administers the org.",
        _ => "Your session has ended. Sign in again, and you come back to where you were.",
    };
    words.to_owned()
}

/// `GET /canvas/link`.
///
/// # Errors
/// None of its own.
pub(super) async fn link_page(call: Call<SignIn>) -> Result<Reply, Failure> {
    Ok(html(StatusCode::OK, &link_page_of(&call, false)))
}

fn link_page_of(call: &Call<SignIn>, is_spent: bool) -> LinkPage {
    let mut page = surroundings::surroundings(&call.app, &call.trace);
    page.title = if is_spent {
        "This link does not work any more".to_owned()
    } else {
        "Sign in".to_owned()
    };
    LinkPage {
        page,
        is_spent,
        has_admin_token: call.app.admin_token.is_set(),
    }
}

/// `POST /canvas/link`.
///
/// # Errors
/// 401 for a link that is not good any more: the page says how to get another.
pub(super) async fn with_link(mut call: Call<SignIn>) -> Result<Reply, Failure> {
    let counted = sign_ins::attempt(&call.app, &call.trace)?;
    let form = call.form().await?;
    // Whoever pastes the whole link means what stands behind `#`.
    let token = form.get("token").unwrap_or_default();
    let token = token.rsplit('#').next().unwrap_or_default();
    match sign_ins::use_link(&call.app, &call.permit, (counted, token), &call.trace).await {
        Ok(signed_in) => Ok(welcome(&call.app, signed_in, HOME)),
        Err(failure @ Failure::Denied(Denial::BadLink)) => {
            Err(refused(failure, &link_page_of(&call, true)))
        }
        Err(failure) => Err(failure),
    }
}

/// `POST /canvas/sign-in` with `ADMIN_TOKEN`.
///
/// # Errors
/// 401 for any other text, said at the field.
pub(super) async fn with_admin_token(mut call: Call<SignIn>) -> Result<Reply, Failure> {
    let counted = sign_ins::attempt(&call.app, &call.trace)?;
    let form = call.form().await?;
    let token = form.get("token").unwrap_or_default();
    let presented = (counted, token, form.get("org"));
    let next = safe_next(form.get("next").unwrap_or_default());
    let outcome = sign_ins::use_admin_token(&call.app, &call.permit, presented, &call.trace).await;
    let failure = match outcome {
        Ok(signed_in) => return Ok(welcome(&call.app, signed_in, next)),
        Err(failure) => failure,
    };
    let fault = match &failure {
        Failure::Denied(Denial::Unknown) => {
            Fault::at_field("token", "This is not the ADMIN_TOKEN of this server.")
        }
        Failure::Denied(Denial::UnknownOrg) => {
            Fault::at_field("org", "There is no org with this name or id.")
        }
        _ => return Err(failure),
    };
    let page = SignInPage {
        org: form.get("org").unwrap_or_default().to_owned(),
        fault,
        ..page_of(&call, None, next)
    };
    Err(refused(failure, &page))
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
pub(super) async fn sign_out(call: Call<SignOut>) -> Result<Reply, Failure> {
    let live = call.session().ok_or(Denial::SessionEnded)?;
    let which = sign_ins::Own::One(live.session.id);
    // While there is still something to ask with.
    let there = sso::logout_url(&call.app, &live.session).await;
    let ended = sign_ins::end_own(&call.app, &call.permit, which, &call.trace).await?;
    let reply = there.map_or_else(|| signed_out(&call.app), |url| leaving(&call, url));
    Ok(reply.written(ended.receipt))
}

/// Sends the browser on to the provider, to sign out there too. A page does that, because a form may
/// lead to no other origin, and a redirect would be a part of the form.
fn leaving(call: &Call<SignOut>, there: String) -> Reply {
    let mut page = surroundings::surroundings(&call.app, &call.trace);
    page.title = "Signing out".to_owned();
    without_cookie(
        &call.app,
        html(StatusCode::OK, &LeavingPage { page, there }),
    )
}

/// Takes the cookie away, and says so.
pub(super) fn signed_out(app: &App) -> Reply {
    without_cookie(app, Reply::see_other("/canvas/sign-in?reason=signed_out"))
}

fn without_cookie(app: &App, reply: Reply) -> Reply {
    reply.with_also(header::SET_COOKIE, &session_cookie(app, "", 0))
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
