//! What the operator reads beside the audit lines: on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts the log. A second call changes nothing.
pub fn start(format: LogFormat) {
    // Others speak only when something is wrong.
    let filter = EnvFilter::new("warn,claviger_server=info,claviger_store=info");
    let base = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => base.try_init(),
        LogFormat::Json => base.json().try_init(),
    };
    // A log that was started before stays as it is.
    drop(started);
}
