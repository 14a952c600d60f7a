//! The service: one set of operations behind one gate, spoken to over HTTP.
//!
//! Read [`router`] first, then `gate`, then the operation that interests you.

mod acceptance;
pub mod admin_token;
mod anchors;
pub mod api;
pub mod app;
pub mod bootstrap;
mod checkpoints;
pub mod client;
pub mod clock;
pub mod config;
mod doctor;
pub mod entropy;
pub mod failure;
mod flush;
pub mod gate;
mod github;
mod http;
pub mod index;
mod indexer;
pub mod ledger;
pub mod limiter;
pub mod line;
mod load;
pub mod log_key;
pub mod metrics;
mod openapi;
mod operation;
pub mod ops;
pub mod orgs;
mod other_uses;
mod people;
mod policies;
mod private_file;
pub mod problem;
pub mod provider;
pub mod rate_limiter;
pub mod refusals;
mod rekey;
mod reports;
mod retention;
mod rotations;
pub mod router;
pub mod seal;
mod siem;
mod signals;
mod stranger_limiter;
mod streams;
mod sweeper;
pub mod telemetry;
mod told;
pub mod trace;
mod turns;
pub mod usage;
mod verifications;
mod waiting;
pub mod web;
mod welcome;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{app::App, config::Config};

pub use checkpoints::rotate_log_key;
pub use doctor::{Finding, Level, doctor};
pub use rekey::rekey;

/// How often it is written when credentials were last used.
const FLUSH_USES_EVERY: Duration = Duration::from_secs(2);
/// How often counted refusals are recorded.
const FLUSH_REPEATS_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for what is to be said of keys.
const NOTICES_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked for what policies suspend.
const POLICIES_EVERY: Duration = Duration::from_secs(600);
/// How often old audit records are dropped.
const DROPS_EVERY: Duration = Duration::from_hours(1);
/// How often sessions that are over are cleared away.
const PURGE_SESSIONS_EVERY: Duration = Duration::from_secs(3600);
/// How often it is forgotten what keys were used for long ago.
const PURGE_USAGE_EVERY: Duration = Duration::from_secs(3600);

/// Why the server cannot start or go on: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// `ADMIN_TOKEN` cannot be used.
    #[error(transparent)]
    AdminToken(#[from] admin_token::AdminTokenError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] claviger_store::StoreError),
    /// The master key cannot be used.
    #[error(transparent)]
    Seal(#[from] seal::SealError),
    /// The keys of the ledger cannot be used.
    #[error(transparent)]
    LogKey(#[from] log_key::LogKeyError),
    /// Nothing can be added to the anchor file.
    #[error(
        "cannot write the anchor file {path}: {source}; choose another with --anchor-file, or leave it out"
    )]
    AnchorFile {
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Anchors cannot be made.
    #[error("cannot anchor the audit trails: {0}")]
    Anchors(String),
    /// Records cannot be sent to the receivers that the settings name.
    #[error("cannot send records to a SIEM: {0}")]
    Siem(String),
    /// The database is behind what was anchored: the whole sentence.
    #[error("{0}")]
    RolledBack(String),
    /// The master key is not the one of this database.
    #[error(
        "the master key in {0} is not the one that this database was sealed with; use the right file with --master-key-file, or restore it from a backup"
    )]
    OtherMasterKey(String),
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path}: {source}; choose another with --data-dir")]
    DataDir {
        /// Which directory.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The identity provider cannot be used.
    #[error(transparent)]
    Provider(#[from] provider::ProviderError),
    /// What is in the store cannot be used.
    #[error("the database holds something that cannot be used: {0}")]
    Corrupt(String),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals, so it could not be stopped gently: {0}")]
    Signals(std::io::Error),
    /// No thread is to be had.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Serves until SIGTERM or SIGINT, then drains and flushes.
///
/// # Errors
/// [`ServeError`] when the server cannot start.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    telemetry::start(config.log_format);
    // Before it says that it is there: whoever reads that may stop it at once.
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let running = tokio::select! {
        started = Running::start(config) => started?,
        // Nothing was answered yet, so nothing is lost.
        () = signals.end() => return Ok(()),
    };
    welcome::print(&running.app, running.address).await;
    signals.wait(&running.app).await;
    tracing::info!("stopping: requests under way are finished first");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// A server that listens.
#[derive(Debug)]
pub struct Running {
    /// Its parts.
    pub app: Arc<App>,
    /// The address that it listens on.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Opens the store, loads every key, and listens.
    ///
    /// # Errors
    /// [`ServeError`] when that cannot be done.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        // Addresses first: a start that cannot listen must leave nothing behind.
        let listener = listen(config.listen).await?;
        let private = match config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let address = listener.local_addr().unwrap_or(config.listen);
        let app = App::start(config).await?;
        let (stop, stopped) = watch::channel(false);
        let routes = router::router(Arc::clone(&app));
        let main = http::serve(Arc::clone(&app), routes, listener, until(stopped.clone()));
        let mut tasks = vec![
            tokio::spawn(background(Arc::clone(&app), stopped.clone())),
            tokio::spawn(sweeps(Arc::clone(&app), stopped.clone())),
            tokio::spawn(indexer::run(Arc::clone(&app), stopped.clone())),
            tokio::spawn(anchors::run(Arc::clone(&app), stopped.clone())),
            tokio::spawn(siem::run(Arc::clone(&app), stopped.clone())),
            tokio::spawn(main),
        ];
        if let Some(listener) = private {
            let routes = operation::private_routes(Arc::clone(&app));
            let private = http::serve(Arc::clone(&app), routes, listener, until(stopped));
            tasks.push(tokio::spawn(private));
        }
        Ok(Self {
            app,
            address,
            stop,
            tasks,
        })
    }

    /// Reads `ADMIN_TOKEN_FILE` again. On failure the old token stays.
    ///
    /// # Errors
    /// [`AdminTokenError`](admin_token::AdminTokenError).
    pub fn reload_admin_token(&self) -> Result<(), admin_token::AdminTokenError> {
        self.app.admin_token.reload()
    }

    /// Lets requests under way finish, writes what is left, and closes the store.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // A stream would go on for ever, and the drain with it.
        self.app.streams.close();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task died");
            }
        }
        self.app.close().await;
    }
}

/// The reference of the API as OpenAPI 3.1.
#[must_use]
pub fn openapi_json() -> String {
    openapi::json().to_owned()
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the reason to go on.
    stopped
        .wait_for(|stop| *stop)
        .await
        .map(drop)
        .unwrap_or_default();
}

/// Writes behind: last uses, signals, counted refusals; and forgets old counts.
async fn background(app: Arc<App>, stopped: watch::Receiver<bool>) {
    let mut uses = tokio::time::interval(FLUSH_USES_EVERY);
    let mut repeats = tokio::time::interval(FLUSH_REPEATS_EVERY);
    let mut purges = tokio::time::interval(PURGE_USAGE_EVERY);
    let stop = until(stopped);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = uses.tick() => write_uses(&app).await,
            () = app.usage.pressed() => write_uses(&app).await,
            _ = purges.tick() => {
                let app = Arc::clone(&app);
                // Beside the rest: it may take long, and nobody waits for it.
                drop(tokio::spawn(async move { app.purge_usage().await }));
            }
            _ = repeats.tick() => app.flush_repeats(),
            () = &mut stop => return,
        }
    }
}

/// Writes uses, and records what they come to.
async fn write_uses(app: &Arc<App>) {
    app.flush_uses().await;
    app.tell_signals().await;
}

/// Does what the clock asks for: notices, and suspensions by policy. A stop of the server does not
/// wait for a sweep: what was not done is done after the next start.
async fn sweeps(app: Arc<App>, stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = sweep_for_ever(&app) => {}
        () = drop_for_ever(&app) => {}
        () = until(stopped) => {}
    }
}

/// What the clock asks for.
enum Due {
    Notices,
    Policies,
    Sessions,
}

async fn sweep_for_ever(app: &Arc<App>) {
    let mut notices = tokio::time::interval(NOTICES_EVERY);
    let mut policies = tokio::time::interval(POLICIES_EVERY);
    let mut sessions = tokio::time::interval(PURGE_SESSIONS_EVERY);
    // After a long sweep the next one waits its time.
    for interval in [&mut notices, &mut policies, &mut sessions] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let due = tokio::select! {
            _ = notices.tick() => Due::Notices,
            _ = policies.tick() => Due::Policies,
            _ = sessions.tick() => Due::Sessions,
        };
        if app.anchors.halted().is_some() {
            continue;
        }
        let outcome = match due {
            Due::Notices => app.tell_what_is_due(clock::now()).await,
            Due::Policies => app.suspend_by_policy(clock::now()).await,
            Due::Sessions => app.purge_sessions(clock::now()).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "cannot do what is due; it is done later");
        }
    }
}

/// Drops old records, beside everything else: of a long trail that takes its time.
async fn drop_for_ever(app: &Arc<App>) {
    let mut drops = tokio::time::interval(DROPS_EVERY);
    drops.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        drops.tick().await;
        if app.anchors.halted().is_some() {
            continue;
        }
        if let Err(error) = app.drop_by_policy(clock::now()).await {
            tracing::warn!(%error, "cannot drop old audit records; it is done later");
        }
    }
}

/// What a process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for SIGTERM or SIGINT; SIGHUP reads `ADMIN_TOKEN_FILE` again.
    async fn wait(mut self, app: &App) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => match app.admin_token.reload() {
                    Ok(()) if app.config.admin_token_file.is_none() => {
                        tracing::info!("SIGHUP: there is no ADMIN_TOKEN_FILE to read again");
                    }
                    Ok(()) => tracing::info!("ADMIN_TOKEN_FILE was read again"),
                    Err(error) => tracing::error!(%error, "ADMIN_TOKEN stays as it was"),
                },
            }
        }
    }
}
