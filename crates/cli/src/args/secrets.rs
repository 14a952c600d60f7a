//! `claviger secrets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DataFlags, pair::segment};

/// `claviger secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Set a secret. The value comes from standard input or is asked for; it is never an argument
    Set {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The secret's name
        #[arg(value_parser = segment)]
        name: String,
    },
    /// List the names of the secrets; never values
    List {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
    },
    /// Print the values: of one secret, or of all
    Reveal {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The secret's name; all of them if left out
        #[arg(value_parser = segment)]
        name: Option<String>,
        /// Print NAME='value', quoted for a shell
        #[arg(long)]
        env: bool,
    },
    /// Delete a secret
    Delete {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The secret's name
        #[arg(value_parser = segment)]
        name: String,
    },
    /// Seal everything anew under another master key. Offline: stop every node first
    Rekey(RekeyArgs),
}

/// `claviger secrets rekey`.
#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// The file with the new master key; a new one is made if left out
    #[arg(long, value_name = "PATH")]
    pub(crate) new_master_key_file: Option<PathBuf>,
    /// Where data lies.
    #[command(flatten)]
    pub(crate) data: DataFlags,
}
