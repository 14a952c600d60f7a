//! Sign-in through an identity provider: with one that is not ours, and with stand-ins that
//! misbehave.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a behaviour with its table of cases is read as one"
)]

#[path = "provider/forged.rs"]
mod forged;
#[path = "provider/node.rs"]
mod node;
#[path = "provider/oidc.rs"]
mod oidc;
#[path = "provider/outage.rs"]
mod outage;
#[path = "provider/real.rs"]
mod real;
#[path = "provider/support.rs"]
mod support;
#[path = "provider/workos.rs"]
mod workos;
