//! What the operator reads beside the audit lines: on standard error.

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts the log. A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .parse_lossy("info,tokio_postgres=warn,refinery_core=warn");
    let base = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match format {
        LogFormat::Text => base.try_init(),
        LogFormat::Json => base.json().try_init(),
    };
    // A log that was started before stays as it is.
    drop(started);
}
