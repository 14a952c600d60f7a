//! The service over HTTP: a real server on a real database, asked as a client asks.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a behaviour with its table of cases is read as one"
)]

/// Makes two tests of each behaviour, so that none is shown on one database alone. A behaviour
/// that is not listed is dead code, and does not pass the lints.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::service::Backend::Sqlite).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::service::Backend::Postgres).await;
                }
            )*
        }
    };
}

#[path = "api/abuse.rs"]
mod abuse;
#[path = "api/access.rs"]
mod access;
#[path = "api/access_pages.rs"]
mod access_pages;
#[path = "api/advice.rs"]
mod advice;
#[path = "api/anchors.rs"]
mod anchors;
#[path = "api/anchors_away.rs"]
mod anchors_away;
#[path = "api/ask.rs"]
mod ask;
#[path = "api/audit.rs"]
mod audit;
#[path = "api/blast.rs"]
mod blast;
#[path = "api/bodies.rs"]
mod bodies;
#[path = "api/bootstrap.rs"]
mod bootstrap;
#[path = "api/break_glass.rs"]
mod break_glass;
#[path = "api/browser.rs"]
mod browser;
#[path = "api/canvas_keys.rs"]
mod canvas_keys;
#[path = "api/canvas_oversight.rs"]
mod canvas_oversight;
#[path = "api/canvas_people.rs"]
mod canvas_people;
#[path = "api/canvas_stops.rs"]
mod canvas_stops;
#[path = "api/canvas_words.rs"]
mod canvas_words;
#[path = "api/canvas_workspaces.rs"]
mod canvas_workspaces;
#[path = "api/cast.rs"]
mod cast;
#[path = "api/channels.rs"]
mod channels;
#[path = "api/clock.rs"]
mod clock;
#[path = "api/found.rs"]
mod found;
#[path = "api/found_limits.rs"]
mod found_limits;
#[path = "api/github.rs"]
mod github;
#[path = "api/grants.rs"]
mod grants;
#[path = "api/idp.rs"]
mod idp;
#[path = "api/input.rs"]
mod input;
#[path = "api/key_lists.rs"]
mod key_lists;
#[path = "api/key_request_rights.rs"]
mod key_request_rights;
#[path = "api/key_requests.rs"]
mod key_requests;
#[path = "api/keys.rs"]
mod keys;
#[path = "api/last_uses.rs"]
mod last_uses;
#[path = "api/law.rs"]
mod law;
#[path = "api/lifecycle.rs"]
mod lifecycle;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/log.rs"]
mod log;
#[path = "api/log_forged.rs"]
mod log_forged;
#[path = "api/log_key.rs"]
mod log_key;
#[path = "api/operation.rs"]
mod operation;
#[path = "api/outage.rs"]
mod outage;
#[path = "api/overlaps.rs"]
mod overlaps;
#[path = "api/people.rs"]
mod people;
#[path = "api/policy.rs"]
mod policy;
#[path = "api/reading.rs"]
mod reading;
#[path = "api/requests.rs"]
mod requests;
#[path = "api/retention.rs"]
mod retention;
#[path = "api/rotation.rs"]
mod rotation;
#[path = "api/service.rs"]
mod service;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "api/sessions_of_keys.rs"]
mod sessions_of_keys;
#[path = "api/siem.rs"]
mod siem;
#[path = "api/siem_collector.rs"]
mod siem_collector;
#[path = "api/siem_otlp.rs"]
mod siem_otlp;
#[path = "api/siem_retention.rs"]
mod siem_retention;
#[path = "api/siem_rsyslog.rs"]
mod siem_rsyslog;
#[path = "api/signals.rs"]
mod signals;
#[path = "api/sso.rs"]
mod sso;
#[path = "api/sso_again.rs"]
mod sso_again;
#[path = "api/sso_leave.rs"]
mod sso_leave;
#[path = "api/sso_nodes.rs"]
mod sso_nodes;
#[path = "api/stops.rs"]
mod stops;
#[path = "api/streams.rs"]
mod streams;
#[path = "api/tiers.rs"]
mod tiers;
#[path = "api/trail.rs"]
mod trail;
#[path = "api/usage.rs"]
mod usage;
#[path = "api/verify.rs"]
mod verify;
#[path = "api/verify_chapters.rs"]
mod verify_chapters;
#[path = "api/workspaces.rs"]
mod workspaces;
