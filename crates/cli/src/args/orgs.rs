//! `claviger orgs`.

use clap::Subcommand;

use super::pair::segment;

/// `claviger orgs`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgsCommand {
    /// Create an org
    Create {
        /// Its name: lower-case letters, digits and `-`
        name: String,
    },
    /// List the orgs
    List,
    /// Delete an org with all that it has
    Delete {
        /// Its id
        #[arg(value_parser = segment)]
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}
