//! The rules of Claviger: what a key is, what a request proves, and what it may do.
//!
//! Nothing here reads a clock, draws a random number or talks to anything: every decision is a
//! function of its arguments. Read the modules in this order.

pub mod action;
pub mod advice;
pub mod authenticate;
pub mod authorize;
pub mod channel;
pub mod claims;
pub mod delegation;
pub mod denial;
pub mod digest;
pub mod endpoint;
pub mod evidence;
pub mod found;
pub mod grant;
pub mod id;
pub mod json;
pub mod key;
pub mod ledger;
pub mod limit;
pub mod path;
pub mod permission;
pub mod person;
pub mod policy;
pub mod request;
pub mod role;
pub mod scan;
pub mod signal;
pub mod text;
pub mod tier;
pub mod time;
pub mod token;
