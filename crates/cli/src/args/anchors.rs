//! The flags of `serve` about anchors: checkpoints that are kept outside the database.

use clap::Args;

/// Where checkpoints of the audit trails are kept, so that it shows if the database is set back. The
/// secret for the webhook is a variable: `CLAVIGER_ANCHOR_WEBHOOK_SECRET`.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
#[command(next_help_heading = "Anchors of the audit trails")]
pub(crate) struct AnchorFlags {
    /// A file, on another disk, to which they are appended [env: CLAVIGER_ANCHOR_FILE]
    #[arg(long, value_name = "PATH")]
    anchor_file: Option<String>,
    /// An address to which they are sent [env: CLAVIGER_ANCHOR_WEBHOOK]
    #[arg(long, value_name = "URL")]
    anchor_webhook: Option<String>,
    /// A witness that signs them (C2SP tlog-witness): its address and its public key; may be repeated
    /// [env: CLAVIGER_WITNESS, with commas between]
    #[arg(long, value_name = "URL=VKEY")]
    witness: Vec<String>,
    /// How often, if there are new records: from 10s to 1d [env: CLAVIGER_ANCHOR_EVERY] [default: 1m]
    #[arg(long, value_name = "DURATION")]
    anchor_every: Option<String>,
    /// Start although the database is behind what was anchored; each trail says so
    #[arg(long)]
    pub(super) accept_rollback: bool,
}

impl AnchorFlags {
    /// For the server's configuration.
    pub(crate) fn flags(self) -> claviger_server::config::AnchorFlags {
        claviger_server::config::AnchorFlags {
            file: self.anchor_file,
            webhook: self.anchor_webhook,
            witness: Some(self.witness.join(",")).filter(|text| !text.is_empty()),
            every: self.anchor_every,
        }
    }
}
