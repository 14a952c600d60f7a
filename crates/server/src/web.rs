//! The Canvas: pages for people, rendered on the server.
//!
//! A page is a struct that embeds a [`layout::Page`] and derives `askama::Template` over a file in
//! `crates/server/templates/canvas`; [`html::html`] makes the answer of it. The components are the
//! macros in `components.html`, which begins with a list of them, and the types in [`parts`] and
//! [`charts`], which print themselves.

pub mod assets;
pub mod charts;
pub mod html;
pub mod keys;
pub mod layout;
pub mod parts;
pub mod time;
