//! `claviger audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `claviger audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the last 20 records, a line each; with --json, a JSON document each
    Tail {
        #[command(flatten)]
        filter: Box<FilterArgs>,
        /// Go on with each new record, until interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// List records, newest first
    Query(QueryArgs),
    /// Write the whole trail, a JSON record per line, exactly as it is kept
    Export(ExportArgs),
}

/// Which records.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Only this actor
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only this key: its id
    #[arg(long, value_name = "ID")]
    pub(crate) token: Option<String>,
    /// Only this key, and those below it: its id
    #[arg(long, value_name = "ID")]
    pub(crate) under: Option<String>,
    /// Only what was done to this key: its id
    #[arg(long, value_name = "ID")]
    pub(crate) about: Option<String>,
    /// Only this workspace
    #[arg(long)]
    pub(crate) workspace: Option<String>,
    /// Only this route, such as `/workspaces/{id}/secrets`
    #[arg(long)]
    pub(crate) route: Option<String>,
    /// Only this method
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Only this status, such as 403, or this class, such as 4xx
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only until this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// `claviger audit query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Stop after so many; standard error says if there are more
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// `claviger audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Only from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only until this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The file to write, whole or not at all; standard output if left out
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
