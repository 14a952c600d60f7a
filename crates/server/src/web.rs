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

use claviger_core::action::{
    ChangeKey, MintKey, ReadAudit, ReadKeys, ResumeKey, RevokeKey, RotateKey, SignIn, SignOut,
    SuspendKey,
};
use http::Method;

pub(crate) use failure::failure;
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

/// Whether a path belongs to the Canvas.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/canvas" || path.starts_with("/canvas/")
}
