//! `claviger scan`.

use std::path::PathBuf;

use clap::Args;
use claviger_core::token::Brand;

/// `claviger scan`. It needs neither a server nor a token.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 10 if secrets were found, with 1 if none was but something could not be read, and with 0 if \
there is none. A secret is never shown: only its public prefix is.")]
pub(crate) struct ScanArgs {
    /// Files and directories, or `-` for standard input; with --history, git repositories [default: .]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Scan every version of every file that git can reach, and the messages of commits and tags
    #[arg(long)]
    pub(crate) history: bool,
    /// What secrets begin with, in place of `mole`; may be repeated. `molw` is always looked for
    #[arg(long, value_name = "LETTERS")]
    pub(crate) brand: Vec<Brand>,
    /// Leave out the secret with this public prefix, as it is revoked or an example; may be repeated
    // Not parsed here: whoever gives a whole secret by mistake must not read it in the error.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) except: Vec<String>,
}
