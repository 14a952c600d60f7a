//! `claviger audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DataFlags;

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
    /// Write the trail: a JSON record per line, exactly as it is kept; in a format for spreadsheets or for
    /// other systems; or as a folder that tools for transparency logs read
    Export(ExportArgs),
    /// Put a new key before those that sign the trails; with --finish, take the older ones away. Offline:
    /// stop the server
    RotateKey(RotateKeyArgs),
    /// Verify an export against signed checkpoints, with no server and no database; or with --live a running
    /// server; exit 12 if not all is proved
    Verify(VerifyArgs),
}

/// Which records.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Only this kind of record, such as `signal`
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only with this text in the path, or in the name of the key, the workspace or the person
    #[arg(long, short = 'q')]
    pub(crate) text: Option<String>,
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

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A record per line, exactly as it is kept: what can be verified
    Jsonl,
    /// A table for spreadsheets (RFC 4180)
    Csv,
    /// Events of the class API Activity (OCSF 6003), one per line
    Ocsf,
    /// CloudEvents 1.0 in JSON, one per line
    #[value(name = "cloudevents")]
    CloudEvents,
    /// A folder with the signed checkpoint, the hashes and the records (C2SP tlog-tiles)
    Tlog,
}

/// `claviger audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What it looks like
    #[arg(long, value_enum, default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Which records; `tlog` has them all
    #[command(flatten)]
    pub(crate) filter: Box<FilterArgs>,
    /// Only what witnesses have signed as well: the folder then proves itself with their keys. For `tlog`
    #[arg(long)]
    pub(crate) cosigned: bool,
    /// The file to write; standard output if left out. A file that is there is gone on with, behind its last
    /// whole record: with the format and the filters that it was begun with. For `tlog` the folder, to which a
    /// later export adds what is new
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// `claviger audit rotate-key`.
#[derive(Debug, Args)]
pub(crate) struct RotateKeyArgs {
    /// Take away all keys but the first, when all who verify know it
    #[arg(long)]
    pub(crate) finish: bool,
    /// Where data lies.
    #[command(flatten)]
    pub(crate) data: DataFlags,
}

/// `claviger audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 0 if every record is proved, with 12 if not, with 13 if something cannot be read. Beside a file EXPORT \
are read, if they are there: EXPORT.checkpoint, a signed note, and EXPORT.hashes, 32 bytes for each record. \
With hashes, changes are named to the record; without, only the checkpoints say where one must be. Take the \
key from where whoever wrote the export could not change it: one that comes with the export proves nothing. An \
anchor is a checkpoint that was kept elsewhere: without one, whoever holds the private key could have signed \
another history.")]
pub(crate) struct VerifyArgs {
    /// A folder in the layout of C2SP tlog-tiles, a file with a record per line, or `-` for standard input
    #[arg(
        value_name = "EXPORT",
        required_unless_present = "live",
        conflicts_with = "live"
    )]
    pub(crate) export: Option<PathBuf>,
    /// Verify the trail of a running server instead, and what it keeps beside the records
    #[arg(long)]
    pub(crate) live: bool,
    /// The public key of the log or of a witness, as `name+id+base64`, or a file with one per line; may be
    /// repeated. With --live the server is asked if it is left out, and the verdict says so
    #[arg(long = "key", value_name = "VKEY", required_unless_present = "live")]
    pub(crate) keys: Vec<String>,
    /// A file with checkpoints that were kept elsewhere: one signed note, or JSON Lines with `org`, `at` and
    /// `note`; may be repeated
    #[arg(long = "anchor", value_name = "FILE")]
    pub(crate) anchors: Vec<PathBuf>,
    /// The origin of the log, where it is not the name of its key
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
}
