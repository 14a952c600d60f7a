//! `claviger serve`: the server itself.

use claviger_server::{ServeError, config::Config};

use super::block_on;
use crate::{args::ServeFlags, error::Failure};

/// A database that is behind what was anchored has an exit code of its own: whoever supervises must not
/// start again and again.
fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::RolledBack(sentence) => Failure::RolledBack(sentence),
        error => Failure::Local(error.to_string()),
    }
}

/// Serves until a signal ends it.
pub(super) fn run(flags: &ServeFlags) -> Result<(), Failure> {
    let config = Config::load(&flags.flags()).map_err(|error| Failure::Usage(error.to_string()))?;
    block_on(tokio::runtime::Builder::new_multi_thread(), async {
        claviger_server::serve(config).await.map_err(failure)
    })
}
