//! Indexes the audit trails behind them, block by block, so that the records of one key are found
//! without reading everybody's.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::app::App;

/// How often it is looked whether a block is full.
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
        let pause = match app.store.index_audit().await {
            Ok(false) => LOOK_EVERY,
            // A long trail that was written before there was an index takes no more than half of
            // one processor, and half of the store's time.
            Ok(true) => {
                app.metrics.blocks_indexed.inc();
                started.elapsed()
            }
            Err(error) => {
                tracing::warn!(%error, "cannot index the audit trail; trying again");
                WAIT_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}
