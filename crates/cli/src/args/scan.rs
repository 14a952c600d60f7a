//! `claviger scan`.

use std::path::PathBuf;

use clap::Args;
use claviger_core::token::Brand;

/// `claviger scan`. It needs neither a server nor a token, but to check and revoke what it finds it
/// asks the server at CLAVIGER_URL.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 10 if secrets were found, with 11 if --check says that some of them are live, with 1 if none was \
found but something could not be read, or the server could not be asked, and with 0 if there is none. A \
secret is never shown: only its public prefix is. --check and --revoke send the secrets to CLAVIGER_URL, \
and need no token.")]
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
    /// Ask the server which of the secrets are live; nothing is changed
    #[arg(long)]
    pub(crate) check: bool,
    /// Let the server end what is not revoked yet, after a question; implies --check
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Do not ask before --revoke
    #[arg(long, requires = "revoke")]
    pub(crate) yes: bool,
    /// Send the secrets although CLAVIGER_URL is plain http and not on this machine
    #[arg(long)]
    pub(crate) insecure_http: bool,
}
