//! `claviger requests`.

use clap::{Args, Subcommand};

use super::pair::{Pair, segment};

/// `claviger requests`.
#[derive(Debug, Subcommand)]
pub(crate) enum RequestsCommand {
    /// Ask for a key, or for more rights. In a pipe, standard output is the id of the request and
    /// nothing else
    Ask(Box<AskArgs>),
    /// List requests, newest first: your own, or with `org:admin` those of the org
    List(ListArgs),
    /// Show one request
    Show {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Approve a request, or less than was asked: you become the minter of its key
    Approve(Box<ApproveArgs>),
    /// Deny a request
    Deny {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// What the asker should know
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Take your own request back
    Withdraw {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Collect the key of your own approved request, once. In a pipe, standard output is the secret
    /// and nothing else
    Collect {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
}

/// A grant and an end, as they are asked for and as they are narrowed.
#[derive(Debug, Args)]
pub(crate) struct GrantFlags {
    /// A ready-made set of permissions: reader, editor or admin
    #[arg(long, conflicts_with = "permission")]
    pub(crate) preset: Option<String>,
    /// A permission, such as `channels:*` or `secrets:read`; may be repeated
    #[arg(long)]
    pub(crate) permission: Vec<String>,
    /// A workspace, or `*`; may be repeated
    #[arg(long, value_name = "WORKSPACE", conflicts_with = "label")]
    pub(crate) workspace: Vec<String>,
    /// A label of the workspaces, as name=value; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<Pair>,
    /// A route, such as `GET /workspaces/*/channels`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) endpoint: Vec<String>,
    /// How long the key lives from its collection on: 90s, 15m, 24h, 30d
    #[arg(long, value_name = "DURATION", conflicts_with = "expires_at")]
    pub(crate) expires_in: Option<String>,
    /// When the key ends (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
    /// When the key begins (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<String>,
    /// An address range (CIDR) from which the key is accepted; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) ip_allow: Vec<String>,
    /// How many requests in a minute
    #[arg(long, value_name = "N")]
    pub(crate) per_minute: Option<u32>,
    /// How many requests in a day
    #[arg(long, value_name = "N")]
    pub(crate) per_day: Option<u32>,
    #[command(flatten)]
    pub(crate) delegation: super::keys::DelegationArgs,
}

/// `claviger requests ask`. What is left out is that of the key given with `--for`, or your own.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// What people will call the key
    pub(crate) name: String,
    /// Why it is needed
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// The key whose rights are too few: your own, or one that you minted
    #[arg(long = "for", value_name = "KEY", value_parser = segment)]
    pub(crate) for_key: Option<String>,
    #[command(flatten)]
    pub(crate) grant: GrantFlags,
    /// A pair that stays with the key, as name=value; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<Pair>,
}

/// `claviger requests list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this status: pending, approved, denied, expired, withdrawn or collected; may be repeated
    #[arg(long)]
    pub(crate) status: Vec<String>,
    /// Stop after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// `claviger requests approve`. What is left out stays as it was asked for.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) grant: GrantFlags,
    /// What the asker should know
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}
