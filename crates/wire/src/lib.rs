//! The JSON shapes of the API: what goes over the wire, and nothing else.
//!
//! Every request body refuses members that it does not know. Times are RFC 3339 in UTC, durations
//! are `90s`, `15m`, `24h`, `30d`, ids are a type prefix and a ULID.

pub mod advice;
pub mod blast;
pub mod channels;
pub mod found;
pub mod github;
pub mod headers;
pub mod keys;
pub mod ledger;
pub mod lines;
pub mod map;
pub mod orgs;
pub mod people;
pub mod policy;
pub mod problem;
pub mod requests;
pub mod secrets;
pub mod usage;
pub mod whoami;
pub mod workspaces;
