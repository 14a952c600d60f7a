//! `claviger policy`.

use std::path::PathBuf;

use clap::Subcommand;

/// `claviger policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show the org's policy
    Show,
    /// Set the org's policy, whole, from a file of JSON, or `-` for standard input; see first with --dry-run
    Set {
        /// The file
        file: PathBuf,
        /// Only say which keys it would block or cut, and how many audit records it would drop
        #[arg(long)]
        dry_run: bool,
        /// Do not ask, though it blocks or cuts keys, or drops audit records
        #[arg(long, short, conflicts_with = "dry_run")]
        yes: bool,
    },
}
