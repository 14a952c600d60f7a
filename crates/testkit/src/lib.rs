//! What the tests stand on: a real PostgreSQL, and identity providers ([`stand_in`]).
//!
//! PostgreSQL: one cluster that all tests of a process share, a fresh database
//! for each test, and private clusters for the tests that stop, pause or kill theirs.
//!
//! ```no_run
//! let database = claviger_testkit::Postgres::shared().database();
//! assert!(database.url().starts_with("postgres://"));
//! ```
//!
//! Nothing that is made here outlives the process that made it, however that process ends.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its database has failed, and the panic says why"
)]

mod database;
mod desk;
mod install;
mod keeper;
mod port;
mod postgres;
mod reaper;
mod server;
pub mod stand_in;

pub use database::{Database, execute};
pub use port::free_port;
pub use postgres::Postgres;
