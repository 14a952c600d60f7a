//! The Canvas: pages for people, rendered on the server from the same operations as the API.
//!
//! A page is a struct that embeds a [`layout::Page`] and derives `askama::Template` over a file in
//! `crates/server/templates/canvas`; [`html::html`] makes the answer of it. The components are the
//! macros in `components.html`, which begins with a list of them, and the types in [`parts`] and
//! [`charts`], which print themselves. [`page`] is what surrounds each; the routes stand below.

pub mod assets;
mod audit;
pub mod charts;
mod failure;
mod fault;
mod grants;
pub mod html;
pub mod keys;
pub mod layout;
mod page;
pub mod parts;
mod policy;
mod requests;
mod security;
mod sign_in;
pub mod time;
mod who;

use claviger_core::action::{
    ChangeKey, CollectKey, DecideRequest, ReadAudit, ReadKeys, ReadPolicy, ReadRequests, RevokeKey,
    SignIn, SuspendKey, UseAccount, WithdrawRequest, WritePolicy,
};
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
    routes.page::<UseAccount, _, _>(&post, "/canvas/sign-out", sign_in::sign_out);
    declare_oversight(routes);
}

/// What the org asks of its keys, who asks for one, and what was done.
#[rustfmt::skip]
fn declare_oversight(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadAudit, _, _>(&get, "/canvas/audit", audit::list);
    routes.page::<ReadAudit, _, _>(&get, "/canvas/audit/{seq}", audit::one);
    routes.page::<ReadPolicy, _, _>(&get, "/canvas/policy", policy::show);
    routes.page::<WritePolicy, _, _>(&post, "/canvas/policy", policy::put);
    routes.page::<ReadRequests, _, _>(&get, "/canvas/requests", requests::list);
    routes.page::<ReadRequests, _, _>(&get, "/canvas/requests/{id}", requests::one);
    routes.page::<DecideRequest, _, _>(&post, "/canvas/requests/{id}/approve", requests::approve);
    routes.page::<DecideRequest, _, _>(&post, "/canvas/requests/{id}/deny", requests::deny);
    routes.page::<WithdrawRequest, _, _>(&post, "/canvas/requests/{id}/withdraw", requests::withdraw);
    routes.page::<CollectKey, _, _>(&post, "/canvas/requests/{id}/collect", requests::collect);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/security", security::list);
    routes.page::<ChangeKey, _, _>(&get, "/canvas/security/{id}/narrow", security::ask_to_narrow);
    routes.page::<ChangeKey, _, _>(&post, "/canvas/security/{id}/narrow", security::narrow);
    routes.page::<ChangeKey, _, _>(&get, "/canvas/security/{id}/end", security::ask_for_end);
    routes.page::<ChangeKey, _, _>(&post, "/canvas/security/{id}/end", security::set_end);
    routes.page::<SuspendKey, _, _>(&get, "/canvas/security/{id}/suspend", security::ask_to_suspend);
    routes.page::<SuspendKey, _, _>(&post, "/canvas/security/{id}/suspend", security::suspend);
    routes.page::<RevokeKey, _, _>(&get, "/canvas/security/{id}/revoke", security::ask_to_revoke);
    routes.page::<RevokeKey, _, _>(&post, "/canvas/security/{id}/revoke", security::revoke);
}

/// Whether a path belongs to the Canvas.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/canvas" || path.starts_with("/canvas/")
}
