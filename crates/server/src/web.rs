//! The Canvas: pages for people, rendered on the server from the same operations as the API.
//!
//! A page is a struct that embeds a [`layout::Page`] and derives `askama::Template` over a file in
//! `crates/server/templates/canvas`; [`html::html`] makes the answer of it. The components are the
//! macros in `components.html`, which begins with a list of them, and the types in [`parts`] and
//! [`charts`], which print themselves. [`page`] is what surrounds each; the routes stand below.

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
mod sign_in;
pub mod time;
mod who;
mod workspaces;

use claviger_core::action::{SignIn, UseAccount};
use http::Method;

pub(crate) use failure::failure;
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
    routes.page::<UseAccount, _, _>(&post, "/canvas/sign-out", sign_in::sign_out);
    first_run::declare(routes);
    workspaces::declare(routes);
    members::declare(routes);
    account::declare(routes);
    audit::declare(routes);
    policy::declare(routes);
    requests::declare(routes);
    security::declare(routes);
}

/// Whether a path belongs to the Canvas.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/canvas" || path.starts_with("/canvas/")
}
