//! `claviger keys`.

use clap::{Args, Subcommand};

use super::{
    advice::{AdviceArgs, NarrowArgs, ReportArgs, UsageArgs},
    pair::{Pair, segment},
};

/// `claviger keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Mint a key. In a pipe, standard output is the secret and nothing else
    Mint(Box<MintArgs>),
    /// List keys: the live ones, all pages
    List(ListArgs),
    /// Show one key
    Show {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Change the name or the metadata of a key, or narrow it
    Update(Box<UpdateArgs>),
    /// Give a key another secret; both work until the overlap ends. In a pipe, standard output is the
    /// new secret and nothing else
    Rotate(RotateArgs),
    /// Suspend a key, and with it all that it minted, until it is resumed; or many keys at once
    Suspend(SuspensionArgs),
    /// Resume a suspended key, or many at once
    Resume(SuspensionArgs),
    /// Revoke a key, and with it all that it minted
    Revoke(RevokeArgs),
    /// Show where a key comes from, and what descends from it
    Lineage {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
    },
    /// Show what a key was used for, and from where
    Usage(UsageArgs),
    /// Show what a leaked key could have reached, and what was done with it and with what it minted
    BlastRadius {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// From when on to tell what it did (RFC 3339); from its mint if left out
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
    /// Show the narrowest grant that would have served what a key did
    Advice(AdviceArgs),
    /// Narrow a key to what it uses; shows the advice and asks
    Narrow(NarrowArgs),
    /// List the keys that should be looked at: never used, idle, over-broad, without an end
    Report(ReportArgs),
}

/// How far a key may pass its authority on.
#[derive(Debug, Args)]
pub(crate) struct DelegationArgs {
    /// How many generations there may be below the key; 0 forbids it to mint
    #[arg(long, value_name = "N")]
    pub(crate) delegate_depth: Option<u32>,
    /// How many living keys there may be below the key
    #[arg(long, value_name = "N")]
    pub(crate) delegate_keys: Option<u32>,
    /// How long each of them may live at most: 90s, 15m, 24h, 30d
    #[arg(long, value_name = "DURATION")]
    pub(crate) delegate_lifetime: Option<String>,
}

/// `claviger keys mint`. What is left out is inherited from whoever mints.
#[derive(Debug, Args)]
pub(crate) struct MintArgs {
    /// What people will call the key
    pub(crate) name: String,
    /// A ready-made set of permissions: reader, editor or admin
    #[arg(long, conflicts_with = "permission")]
    pub(crate) preset: Option<String>,
    /// A permission, such as `channels:*` or `secrets:read`; may be repeated
    #[arg(long)]
    pub(crate) permission: Vec<String>,
    /// A workspace that the key reaches, or `*`; may be repeated
    #[arg(long, value_name = "WORKSPACE", conflicts_with = "label")]
    pub(crate) workspace: Vec<String>,
    /// A label of the workspaces that the key reaches, as name=value; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<Pair>,
    /// A route that the key reaches, such as `GET /workspaces/*/channels`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) endpoint: Vec<String>,
    /// How long the key lives: 90s, 15m, 24h, 30d
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
    /// How many requests the key may make in a minute, with all that it mints
    #[arg(long, value_name = "N")]
    pub(crate) per_minute: Option<u32>,
    /// How many requests the key may make in a day, with all that it mints
    #[arg(long, value_name = "N")]
    pub(crate) per_day: Option<u32>,
    #[command(flatten)]
    pub(crate) delegation: DelegationArgs,
    /// How often the key is to get another secret, such as 90d
    #[arg(long, value_name = "DURATION")]
    pub(crate) rotate_every: Option<String>,
    /// A pair that stays with the key, as name=value; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<Pair>,
    /// Makes a repeated mint recognisable, so that it makes no second key
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

/// `claviger keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this status: active, not_yet_valid, expired, suspended or revoked; may be repeated
    #[arg(long, conflicts_with = "all")]
    pub(crate) status: Vec<String>,
    /// Only keys whose name or prefix contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) q: Option<String>,
    /// Only keys minted by this actor
    #[arg(long, value_name = "ACTOR")]
    pub(crate) created_by: Option<String>,
    /// Only keys that reach this workspace
    #[arg(long)]
    pub(crate) workspace: Option<String>,
    /// Only keys that end by themselves within this time, such as 14d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expiring: Option<String>,
    /// Keys of every status, not only live ones
    #[arg(long)]
    pub(crate) all: bool,
    /// Stop after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// `claviger keys update`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["delegate_depth", "delegate_keys", "delegate_lifetime"]))]
pub(crate) struct UpdateArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// The new name
    #[arg(long, group = "change")]
    pub(crate) name: Option<String>,
    /// A pair of the new metadata, as name=value; may be repeated. Replaces all of it
    #[arg(long, value_name = "NAME=VALUE", group = "change")]
    pub(crate) metadata: Vec<Pair>,
    /// Only these permissions from now on: reader, editor or admin
    #[arg(long, conflicts_with = "permission", group = "change")]
    pub(crate) preset: Option<String>,
    /// Only this permission from now on; may be repeated
    #[arg(long, group = "change")]
    pub(crate) permission: Vec<String>,
    /// Only this workspace from now on; may be repeated
    #[arg(
        long,
        value_name = "WORKSPACE",
        conflicts_with = "label",
        group = "change"
    )]
    pub(crate) workspace: Vec<String>,
    /// Only workspaces with this label from now on, as name=value; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE", group = "change")]
    pub(crate) label: Vec<Pair>,
    /// Only this route from now on; may be repeated
    #[arg(long, value_name = "PATTERN", group = "change")]
    pub(crate) endpoint: Vec<String>,
    /// End sooner: 90s, 15m, 24h, 30d from now
    #[arg(
        long,
        value_name = "DURATION",
        conflicts_with = "expires_at",
        group = "change"
    )]
    pub(crate) expires_in: Option<String>,
    /// End sooner (RFC 3339)
    #[arg(long, value_name = "TIME", group = "change")]
    pub(crate) expires_at: Option<String>,
    /// Begin later (RFC 3339)
    #[arg(long, value_name = "TIME", group = "change")]
    pub(crate) not_before: Option<String>,
    /// Only this address range (CIDR) from now on; may be repeated
    #[arg(long, value_name = "CIDR", group = "change")]
    pub(crate) ip_allow: Vec<String>,
    /// Only so many requests in a minute from now on
    #[arg(long, value_name = "N", group = "change")]
    pub(crate) per_minute: Option<u32>,
    /// Only so many requests in a day from now on
    #[arg(long, value_name = "N", group = "change")]
    pub(crate) per_day: Option<u32>,
    #[command(flatten)]
    pub(crate) delegation: DelegationArgs,
    /// How often the key is to get another secret, such as 90d; 0 for never
    #[arg(long, value_name = "DURATION", group = "change")]
    pub(crate) rotate_every: Option<String>,
}

/// `claviger keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// For how long the old secret goes on working: 0, or 1s to 30d [default: 24h]
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["finish", "cancel"])]
    pub(crate) overlap: Option<String>,
    /// Let the overlap begin when the new secret is used for the first time
    #[arg(long, conflicts_with_all = ["finish", "cancel", "when_quiet"])]
    pub(crate) on_first_use: bool,
    /// End the overlap when the old secret was not seen for so long, such as 6h
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["finish", "cancel"])]
    pub(crate) when_quiet: Option<String>,
    /// End a rotation: the old secret is refused from now on
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) finish: bool,
    /// Undo a rotation: the new secret is refused from now on
    #[arg(long)]
    pub(crate) cancel: bool,
}

/// `claviger keys suspend` and `resume`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct SuspensionArgs {
    /// Its id
    #[arg(value_parser = segment, group = "which",
          conflicts_with_all = ["under", "created_by", "tag", "minted_since", "suspended_since", "suspended_by"])]
    pub(crate) id: Option<String>,
    /// The key with this id, and all below it
    #[arg(long, value_name = "ID", group = "which")]
    pub(crate) under: Option<String>,
    /// All keys minted by this actor, such as `org-token:mole_a1b2c3d4`
    #[arg(long, value_name = "ACTOR", group = "which")]
    pub(crate) created_by: Option<String>,
    /// All keys with this pair in their metadata, as name=value; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE", group = "which")]
    pub(crate) tag: Vec<Pair>,
    /// All keys minted at this instant or later (RFC 3339)
    #[arg(long, value_name = "TIME", group = "which")]
    pub(crate) minted_since: Option<String>,
    /// All keys suspended at this instant or later (RFC 3339)
    #[arg(long, value_name = "TIME", group = "which")]
    pub(crate) suspended_since: Option<String>,
    /// All keys suspended by this actor; `policy` for the org's policy
    #[arg(long, value_name = "ACTOR", group = "which")]
    pub(crate) suspended_by: Option<String>,
    /// Only say what would stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask, though many keys are meant
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Why; stays with the key and stands in the audit trail
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// `claviger keys revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// Why; stays with the key
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Let live what it minted, under the key above it or the org
    #[arg(long)]
    pub(crate) keep_descendants: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
