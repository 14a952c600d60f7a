//! `claviger serve`: the server itself.

use claviger_server::config::Config;

use super::block_on;
use crate::{args::ServeFlags, error::Failure};

/// Serves until a signal ends it.
pub(super) fn run(flags: &ServeFlags) -> Result<(), Failure> {
    let config = Config::load(&flags.flags()).map_err(|error| Failure::Usage(error.to_string()))?;
    block_on(tokio::runtime::Builder::new_multi_thread(), async {
        claviger_server::serve(config)
            .await
            .map_err(|error| Failure::Local(error.to_string()))
    })
}
