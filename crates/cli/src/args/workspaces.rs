//! `claviger workspaces`.

use clap::{Args, Subcommand};

use super::pair::{Pair, segment};

/// `claviger workspaces`.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Create a workspace
    Create {
        /// What people will call it
        name: String,
        /// A label, as name=value; may be repeated
        #[arg(long, value_name = "NAME=VALUE")]
        label: Vec<Pair>,
    },
    /// List the workspaces that the token reaches
    List,
    /// Show one workspace
    Show {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Change the name or the labels of a workspace
    Update(UpdateArgs),
    /// Delete a workspace with its channels, secrets and tokens
    Delete {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Workspace tokens: deprecated, an org API key bound to the workspace is better
    #[command(subcommand)]
    Tokens(TokensCommand),
}

/// `claviger workspaces update`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct UpdateArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// The new name
    #[arg(long, group = "change")]
    pub(crate) name: Option<String>,
    /// One of the new labels, as name=value; may be repeated. Replaces all of them
    #[arg(
        long,
        value_name = "NAME=VALUE",
        group = "change",
        conflicts_with = "no_labels"
    )]
    pub(crate) label: Vec<Pair>,
    /// Remove all labels
    #[arg(long, group = "change")]
    pub(crate) no_labels: bool,
}

/// `claviger workspaces tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Mint a token. In a pipe, standard output is the secret and nothing else
    Mint {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// What people will call it
        #[arg(long)]
        name: Option<String>,
    },
    /// List the living tokens
    List {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
    },
    /// Revoke a token
    Revoke {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The token's id
        #[arg(value_parser = segment)]
        id: String,
    },
}
