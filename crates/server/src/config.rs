//! Configuration: flags over environment over `claviger.toml`, and where each value came from.
//!
//! In two steps: values as written, with their source, then values as meant.

mod anchors;
mod checked;
mod github;
mod provider;
mod raw;
mod siem;

pub use anchors::{AnchorConfig, WITNESSES_MAX, WebhookConfig, WitnessConfig};
pub(crate) use checked::mask_url as mask;
pub use checked::{AuditMode, Config, LogFormat};
pub use github::GithubKeySource;
pub(crate) use github::is_loopback;
pub use provider::{OidcConfig, ProviderConfig, ProviderKind, WorkosConfig};
pub use raw::{AnchorFlags, ClientEnv, Flags, ProviderFlags, Setting, SiemFlags, client_env};
pub use siem::{HostPort, SiemConfig, SiemRecords, SyslogAddress, otlp_name};

/// A setting that cannot be used. The sentence names it and says what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is malformed.
    #[error("setting `{name}` (from {source_name}): {reason}")]
    Bad {
        /// Which setting.
        name: &'static str,
        /// Where the value came from.
        source_name: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// `claviger.toml` is malformed.
    #[error("{path} is not a configuration: {reason}")]
    Toml {
        /// Which file.
        path: String,
        /// Where and why.
        reason: String,
    },
}
