//! The database is full, read-only, silent or gone: refused fast, never with 401, and mended by
//! itself when the database is there again.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a promise that is not kept is told by a panic, and what was skipped by a line"
)]

#[path = "support/bed.rs"]
mod bed;
#[path = "support/captured.rs"]
mod captured;
#[path = "support/operations/disk.rs"]
mod disk;
#[path = "support/http.rs"]
mod http;
#[path = "support/operations/outage.rs"]
mod outage;
#[path = "support/run.rs"]
mod run;
#[path = "support/server.rs"]
mod server;
#[path = "support/operations/service.rs"]
mod service;
#[path = "support/operations/start.rs"]
mod start;
