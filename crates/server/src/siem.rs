//! Records to a SIEM: every trail is sent as it grows, to receivers of syslog and of OTLP logs.
//!
//! Each receiver has a task and a cursor of its own, kept in the database. What is sent is read from the
//! store, never taken from a request on its way: a receiver that is slow or gone keeps nobody waiting,
//! and what it missed is sent when it is back. Every record is sent at least once, in the order of its
//! trail (docs/siem.md).

mod ahead;
mod collector;
mod datagram;
mod link;
mod meaning;
mod otlp;
mod pump;
mod stream;
mod syslog;
mod tls;

use std::{sync::Arc, time::Duration};

use claviger_core::id::OrgId;
use claviger_store::Store;
use futures_util::future::join_all;
use tokio::{sync::watch, time::timeout};

use self::{link::Link, otlp::Resource, pump::Pump, syslog::Sender};
use crate::{
    ServeError,
    app::App,
    clock,
    config::{Config, SiemRecords, SyslogAddress, otlp_name},
};

/// How long what is left may take, when nothing more is served.
const END_MAX: Duration = Duration::from_secs(5);
/// How long a batch that is under way at a stop may take.
const STEP_MAX_AT_STOP: Duration = Duration::from_secs(2);
/// Where Linux says how the machine is named.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Why a receiver has not taken what was sent.
#[derive(Debug)]
struct Trouble {
    reason: String,
    /// How long it asks to be left alone.
    wait: Option<Duration>,
}

impl Trouble {
    const fn new(reason: String) -> Self {
        Self { reason, wait: None }
    }

    /// What is on its way is lost with its connection.
    fn ended() -> Self {
        Self::new("the receiver has ended the connection".to_owned())
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Delivered {
    sent: u64,
    /// What the receiver does not want.
    dropped: u64,
    /// Why, in its words.
    reason: Option<String>,
}

/// A receiver.
struct Sink {
    name: Arc<str>,
    pump: tokio::sync::Mutex<Pump>,
}

/// Every receiver.
pub(crate) struct Siem {
    sinks: Vec<Arc<Sink>>,
}

impl std::fmt::Debug for Siem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.sinks.iter().map(|sink| &sink.name).collect();
        f.debug_struct("Siem").field("sinks", &names).finish()
    }
}

/// What the receivers of one deployment have in common.
#[derive(Debug, Clone)]
struct Common {
    records: SiemRecords,
    sender: Sender,
}

impl Siem {
    /// Makes the receivers that the settings name known to the store: a new one begins at the present
    /// end of the trails. None of them is spoken to yet.
    ///
    /// # Errors
    /// [`ServeError::Siem`] for a file that cannot be used; [`ServeError::Store`].
    pub(crate) async fn open(
        config: &Config,
        store: &dyn Store,
        default_org: OrgId,
    ) -> Result<Self, ServeError> {
        let settings = &config.siem;
        if settings.syslog.is_empty() && settings.otlp.is_empty() {
            return Ok(Self { sinks: Vec::new() });
        }
        let mut sinks = Vec::new();
        let hostname = std::fs::read_to_string(HOSTNAME_FILE).unwrap_or_default();
        let hostname = hostname.trim();
        let common = Common {
            records: settings.records,
            sender: Sender::new(hostname, std::process::id(), settings.enterprise),
        };
        let is_needed = settings.speaks_tls();
        let tls = is_needed.then(|| tls::config(settings.ca_file.as_deref()));
        let tls = tls.transpose().map_err(ServeError::Siem)?;
        for address in &settings.syslog {
            let name = format!("syslog {}", address.name());
            let tls = tls
                .clone()
                .filter(|_| matches!(address, SyslogAddress::Tls(_)));
            let link = Link::syslog(address, tls).map_err(ServeError::Siem)?;
            sinks.push((name, link));
        }
        let headers = settings
            .headers_file
            .as_deref()
            .map(collector::read_headers);
        let headers = headers.transpose().map_err(ServeError::Siem)?;
        let resource = Resource::new(hostname, &default_org.to_string());
        for url in &settings.otlp {
            let (name, headers) = (otlp_name(url), headers.clone().unwrap_or_default());
            let tls = tls.as_ref().filter(|_| url.scheme() == "https");
            let link = Link::otlp(url, tls, headers, resource.clone());
            sinks.push((format!("otlp {name}"), link.map_err(ServeError::Siem)?));
        }
        let mut made = Vec::new();
        for (name, link) in sinks {
            let is_new = store.begin_sink(&name, clock::now()).await?;
            let name: Arc<str> = name.into();
            let from = if is_new { "now on" } else { "where it was" };
            tracing::info!(sink = &*name, "records are sent from {from}");
            made.push(Arc::new(Sink {
                pump: tokio::sync::Mutex::new(Pump::new(Arc::clone(&name), link, common.clone())),
                name,
            }));
        }
        Ok(Self { sinks: made })
    }
}

/// Sends until the service is told to stop, to every receiver on its own.
pub(crate) async fn run(app: Arc<App>, stopped: watch::Receiver<bool>) {
    let sinks = app.siem.sinks.iter().map(|sink| {
        let (app, sink, stopped) = (Arc::clone(&app), Arc::clone(sink), stopped.clone());
        tokio::spawn(async move { sink.pump.lock().await.run(&app, stopped).await })
    });
    for ended in join_all(sinks.collect::<Vec<_>>()).await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task that sends records died");
        }
    }
}

impl App {
    /// Sends what is left, when nothing more is written.
    pub(crate) async fn send_to_siem_at_the_end(&self) {
        let ends = self.siem.sinks.iter().map(|sink| async move {
            let ended = async { sink.pump.lock().await.finish(self).await };
            let is_done = timeout(END_MAX, ended).await.unwrap_or(false);
            if !is_done {
                tracing::warn!(
                    sink = &*sink.name,
                    "not all records could be sent in time; the rest is sent after the next start"
                );
            }
        });
        join_all(ends).await;
    }
}
