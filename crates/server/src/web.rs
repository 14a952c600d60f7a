//! The Canvas: pages for people, rendered on the server from the same operations as the API.
//!
//! A page is a struct that embeds a [`layout::Page`] and derives `askama::Template` over a file in
//! `crates/server/templates/canvas`; [`html::html`] makes the answer of it. The components are the
//! macros in `components.html`, which begins with a list of them, and the types in [`parts`] and
//! [`charts`], which print themselves. `page` is what surrounds each; the routes stand below.

mod account;
pub mod assets;
mod audit;
mod browser;
pub mod charts;
mod failure;
pub mod fault;
mod first_run;
mod grants;
pub mod html;
pub mod keys;
pub mod layout;
mod members;
mod mint;
mod page;
pub mod parts;
mod policy;
mod requests;
mod security;
mod shown;
mod sign_in;
pub mod time;
mod who;
mod workspaces;

use axum::{body::Body, response::Response};
use claviger_core::action::{
    ChangeKey, MintKey, ReadAudit, ReadKeys, ResumeKey, RevokeKey, RotateKey, SignIn, SignOut,
    SuspendKey,
};
use claviger_wire::headers;
use http::{HeaderValue, Method, Request, StatusCode, header};

pub(crate) use failure::{failure, no_such_page};
use fault::sentence;
pub(crate) use security::Reviews;

use crate::router::Routes;

/// Every page, and every form on one.
#[rustfmt::skip]
pub(crate) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<SignIn, _, _>(&get, "/canvas", sign_in::home);
    routes.page::<SignIn, _, _>(&get, "/canvas/sign-in", sign_in::page);
    routes.page::<SignIn, _, _>(&post, "/canvas/sign-in", sign_in::with_admin_token);
    routes.page::<SignIn, _, _>(&get, "/canvas/link", sign_in::link_page);
    routes.page::<SignIn, _, _>(&post, "/canvas/link", sign_in::with_link);
    routes.page::<SignIn, _, _>(&get, "/canvas/sign-in/provider", sign_in::to_provider);
    routes.page::<SignIn, _, _>(&get, "/canvas/sign-in/callback", sign_in::from_provider);
    routes.page::<SignOut, _, _>(&post, "/canvas/sign-out", sign_in::sign_out);
    first_run::declare(routes);
    workspaces::declare(routes);
    members::declare(routes);
    account::declare(routes);
    audit::declare(routes);
    policy::declare(routes);
    requests::declare(routes);
    security::declare(routes);
    declare_keys(routes);
}

/// The pages about keys.
#[rustfmt::skip]
fn declare_keys(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys", keys::index::list);
    routes.page::<MintKey, _, _>(&get, "/canvas/keys/new", keys::mint::form);
    routes.page::<MintKey, _, _>(&post, "/canvas/keys/new", keys::mint::send);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}", keys::key::show);
    routes.page::<SuspendKey, _, _>(&get, "/canvas/keys/selected", keys::stop::ask_selected);
    routes.page::<SuspendKey, _, _>(&post, "/canvas/keys/selected", keys::stop::stop_selected);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}/revoke", keys::stop::ask_revoke);
    routes.page::<RevokeKey, _, _>(&post, "/canvas/keys/{id}/revoke", keys::stop::revoke);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}/suspend", keys::stop::ask_suspend);
    routes.page::<SuspendKey, _, _>(&post, "/canvas/keys/{id}/suspend", keys::stop::suspend);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}/resume", keys::stop::ask_resume);
    routes.page::<ResumeKey, _, _>(&post, "/canvas/keys/{id}/resume", keys::stop::resume);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}/rotate", keys::rotate::ask);
    routes.page::<RotateKey, _, _>(&post, "/canvas/keys/{id}/rotate", keys::rotate::rotate);
    routes.page::<RotateKey, _, _>(&post, "/canvas/keys/{id}/rotate/finish", keys::rotate::finish);
    routes.page::<RotateKey, _, _>(&post, "/canvas/keys/{id}/rotate/cancel", keys::rotate::cancel);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/keys/{id}/edit", keys::edit::form);
    routes.page::<ChangeKey, _, _>(&post, "/canvas/keys/{id}/edit", keys::edit::save);
    routes.page::<ReadAudit, _, _>(&get, "/canvas/keys/{id}/blast-radius", keys::blast::show);
}

/// Whether a person waits for the answer: a browser that goes to an address.
pub(crate) fn is_navigation(request: &Request<Body>) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let takes_pages = text("accept").is_some_and(|accept| accept.contains("text/html"));
    // Browsers that are old say nothing of it.
    let goes_there = text(headers::SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate");
    is_read && takes_pages && goes_there
}

/// The answer that leads a browser to the Canvas.
pub(crate) fn to_the_canvas() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    let fields = response.headers_mut();
    fields.insert(header::LOCATION, HeaderValue::from_static("/canvas"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Whoever asks for JSON is answered something else.
    fields.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether a path belongs to the Canvas.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/canvas" || path.starts_with("/canvas/")
}
