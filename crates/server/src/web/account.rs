//! One's own account: who one is here, what that comes to, and where one is signed in.

use askama::Template;
use claviger_core::{
    action::{SignOut, UseAccount},
    denial::Denial,
    id::SessionId,
    person::{LOCAL_ISSUER, SignInMethod},
};
use http::{Method, StatusCode};

use super::{
    browser,
    html::html,
    layout::{Nav, Page},
    page,
    parts::Flash,
    sign_in,
    time::When,
    who,
};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::sign_ins,
    people::LiveSession,
    router::Routes,
};

/// The path of the page.
const PATH: &str = "/canvas/account";

/// The page of one's own account, and every form on it.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<UseAccount, _, _>(&get, "/canvas/account", account);
    routes.page::<SignOut, _, _>(&post, "/canvas/account/sessions/others/end", end_others);
    routes.page::<SignOut, _, _>(&post, "/canvas/account/sessions/all/end", end_all);
    routes.page::<SignOut, _, _>(&post, "/canvas/account/sessions/{id}/end", end_one);
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "canvas/account.html")]
struct AccountPage {
    page: Page,
    name: String,
    email: String,
    label: String,
    /// Who vouches for the person; empty for nobody but this server.
    issuer: String,
    role: String,
    means: String,
    /// Of a session that holds no more than a key: that key.
    bound_to: String,
    impersonator: String,
    first_seen: When,
    sessions: Vec<SessionRow>,
}

/// A session as people see it.
#[derive(Debug)]
pub(super) struct SessionRow {
    /// Its id.
    pub(super) id: String,
    /// The browser, in words.
    pub(super) browser: String,
    /// What the browser says of itself.
    pub(super) agent: String,
    /// Its address when the session began.
    pub(super) address: String,
    /// How it began.
    pub(super) method: &'static str,
    /// When it began.
    pub(super) began: When,
    /// When it was last used.
    pub(super) used: When,
    /// When it ends unless it is used.
    pub(super) ends: When,
    /// It is the one that asks.
    pub(super) is_own: bool,
}

impl SessionRow {
    /// A session as seen from a page.
    pub(super) fn of(app: &App, page: &Page, live: &LiveSession, own: Option<SessionId>) -> Self {
        let session = &live.session;
        let agent = session.user_agent.clone();
        Self {
            id: session.id.to_string(),
            browser: browser::words(agent.as_deref()),
            agent: agent.unwrap_or_default(),
            address: session.client.map(|at| at.to_string()).unwrap_or_default(),
            method: match session.method {
                SignInMethod::Link => "one-time link",
                SignInMethod::AdminToken => "ADMIN_TOKEN",
                SignInMethod::Oidc => "identity provider",
                SignInMethod::WorkOs => "WorkOS",
            },
            began: page.when(session.created_at),
            used: page.when(live.seen_at()),
            ends: page.when(sign_ins::end_of(app, live)),
            is_own: own == Some(session.id),
        }
    }
}

/// `GET /canvas/account`.
///
/// # Errors
/// None of its own.
async fn account(call: Call<UseAccount>) -> Result<Reply, Failure> {
    let query = call.query(&["done"])?;
    let principal = call.permit.principal();
    let person = sign_ins::person(&call.app, principal).ok_or(Denial::SessionEnded)?;
    let mut page = page::of(&call, Nav::Account.label(), Nav::Account);
    page.flash = flash(query.get("done"));
    let own = call.session().map(|live| live.session.id);
    let live = sign_ins::own_sessions(&call.app, &call.permit);
    let may = who::means(principal.authority.permissions());
    let key = principal.key.and_then(|id| call.app.keys.find_by_id(id));
    let account = AccountPage {
        name: who::person(&call.app, person.org, person.id.as_str()),
        email: person.email.clone().unwrap_or_default(),
        label: person.id.actor().to_string(),
        issuer: if person.issuer == LOCAL_ISSUER {
            String::new()
        } else {
            person.issuer.clone()
        },
        means: if call.permit.is_unbound() {
            may
        } else {
            format!("{may} In the workspaces of the key alone.")
        },
        role: person.role,
        bound_to: key.map_or_else(String::new, |slot| {
            let key = &slot.credential;
            format!("{} ({})", key.name, key.prefix)
        }),
        impersonator: principal
            .impersonator
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        first_seen: page.when(person.first_seen_at),
        sessions: live
            .iter()
            .map(|live| SessionRow::of(&call.app, &page, live, own))
            .collect(),
        page,
    };
    Ok(html(StatusCode::OK, &account))
}

fn flash(word: Option<&str>) -> Option<Flash> {
    match word? {
        "session_ended" => Some(Flash::done(
            "The session has ended. Its browser has to sign in again.",
        )),
        "others_ended" => Some(Flash::done(
            "Every other session has ended. Only this browser is signed in.",
        )),
        _ => None,
    }
}

/// `POST /canvas/account/sessions/{id}/end`.
///
/// # Errors
/// 404 for a session that is not one's own, or has ended.
async fn end_one(call: Call<SignOut>) -> Result<Reply, Failure> {
    let own = call.permit.principal().session;
    let id: SessionId = call.id(0, "session")?;
    let which = sign_ins::Own::One(id);
    let ended = sign_ins::end_own(&call.app, &call.permit, which, &call.trace).await?;
    if own == Some(id) {
        return Ok(sign_in::signed_out(&call.app).written(ended.receipt));
    }
    Ok(Reply::see_other(&format!("{PATH}?done=session_ended")).written(ended.receipt))
}

/// `POST /canvas/account/sessions/others/end`.
///
/// # Errors
/// That of the store: then they may live.
async fn end_others(call: Call<SignOut>) -> Result<Reply, Failure> {
    let ended =
        sign_ins::end_own(&call.app, &call.permit, sign_ins::Own::Others, &call.trace).await?;
    Ok(Reply::see_other(&format!("{PATH}?done=others_ended")).written(ended.receipt))
}

/// `POST /canvas/account/sessions/all/end`: signs out everywhere, here too.
///
/// # Errors
/// That of the store: then they may live.
async fn end_all(call: Call<SignOut>) -> Result<Reply, Failure> {
    let ended = sign_ins::end_own(&call.app, &call.permit, sign_ins::Own::All, &call.trace).await?;
    Ok(sign_in::signed_out(&call.app).written(ended.receipt))
}
