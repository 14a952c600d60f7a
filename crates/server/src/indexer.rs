//! What is made of the audit trails behind them: their index, block by block, so that the records of
//! one key are found without reading everybody's; and the tiles of their trees.

use std::{sync::Arc, time::Duration};

use claviger_store::Result;
use tokio::{sync::watch, time::Instant};

use crate::app::App;

/// How often it is looked whether a block or a tile is full.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long it is waited after a failure.
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Indexes until the service is told to stop. A stop does not wait for it: what was not done is done
/// after the next start.
pub(crate) async fn run(app: Arc<App>, stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = index_for_ever(&app) => {}
        () = crate::until(stopped) => {}
    }
}

async fn index_for_ever(app: &App) {
    loop {
        let started = Instant::now();
        let pause = match work(app).await {
            Ok(false) => LOOK_EVERY,
            // A long trail that was written before there was an index takes no more than half of
            // one processor, and half of the store's time.
            Ok(true) => started.elapsed(),
            Err(error) => {
                tracing::warn!(%error, "cannot index the audit trails, or make their tiles; trying again");
                WAIT_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// A block and some tiles; whether there was anything to do.
async fn work(app: &App) -> Result<bool> {
    let is_indexed = app.store.index_audit().await?;
    if is_indexed {
        app.metrics.blocks_indexed.inc();
    }
    let is_derived = app.store.derive_tiles().await?;
    Ok(is_indexed || is_derived)
}
