//! `claviger channels`.

use clap::{Args, Subcommand};

use super::pair::{Pair, segment};

/// `claviger channels`.
#[derive(Debug, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// Add a channel to a workspace
    Add(AddArgs),
    /// List the channels of a workspace
    List {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
    },
    /// Show one channel; never its credentials
    Show {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The channel's id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Change a channel
    Update(UpdateArgs),
    /// Remove a channel
    Remove {
        /// The workspace
        #[arg(value_parser = segment)]
        workspace: String,
        /// The channel's id
        #[arg(value_parser = segment)]
        id: String,
    },
}

/// The configuration of a channel. Credentials are never arguments.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A field that is no credential, as name=value, such as `channel=#alerts`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) config: Vec<Pair>,
    /// Ask for this credential on the terminal, such as `bot_token`; may be repeated
    #[arg(long, value_name = "FIELD", conflicts_with = "credentials_stdin")]
    pub(crate) credential: Vec<String>,
    /// Read the credentials from standard input: one JSON object, such as {"bot_token": "..."}
    #[arg(long)]
    pub(crate) credentials_stdin: bool,
}

/// `claviger channels add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Fields by type:
  slack     webhook_url*, or bot_token* and channel
  discord   webhook_url*
  telegram  bot_token*, chat_id
  lark      webhook_url*, signing_secret* if wanted
  webhook   url*, signing_secret* if wanted
Those with * are credentials: use --credential FIELD or --credentials-stdin.")]
pub(crate) struct AddArgs {
    /// The workspace
    #[arg(value_parser = segment)]
    pub(crate) workspace: String,
    /// slack, discord, telegram, lark or webhook
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// What people will call it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Add it, but do not use it yet
    #[arg(long)]
    pub(crate) disabled: bool,
}

/// `claviger channels update`.
#[derive(Debug, Args)]
#[command(after_help = "\
The configuration is replaced as a whole: give every field again, credentials too, or none.")]
pub(crate) struct UpdateArgs {
    /// The workspace
    #[arg(value_parser = segment)]
    pub(crate) workspace: String,
    /// The channel's id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// The new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The new configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Use it
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Do not use it
    #[arg(long)]
    pub(crate) disable: bool,
}
