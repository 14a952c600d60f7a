//! The way to a receiver, whatever is spoken on it.

use std::{sync::Arc, time::Duration};

use claviger_core::time::Timestamp;
use http::HeaderMap;
use tokio_rustls::rustls::ClientConfig;
use url::Url;

use super::{
    Delivered, Trouble,
    collector::{Collector, Search},
    datagram::{Datagrams, MESSAGE_BYTES_MAX, Place},
    meaning::Meaning,
    otlp::{self, Resource},
    stream::{SETTLES_AFTER, Stream},
    syslog::{Sender, frame},
};
use crate::config::SyslogAddress;

/// The way to a receiver.
pub(super) enum Link {
    Stream(Stream),
    Datagrams(Datagrams),
    Collector(Box<Collector>),
}

impl Link {
    pub(super) fn syslog(
        address: &SyslogAddress,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        Ok(match address {
            SyslogAddress::Tcp(at) | SyslogAddress::Tls(at) => {
                Self::Stream(Stream::new(at.clone(), tls)?)
            }
            SyslogAddress::Udp(at) => Self::Datagrams(Datagrams::new(Place::Udp(at.clone()))),
            SyslogAddress::Unix(path) => Self::Datagrams(Datagrams::new(Place::Unix(path.clone()))),
        })
    }

    pub(super) fn otlp(
        url: &Url,
        tls: Option<&Arc<ClientConfig>>,
        headers: HeaderMap,
        resource: Resource,
    ) -> Result<Self, String> {
        let collector = Collector::new(url.clone(), tls, headers, resource)?;
        Ok(Self::Collector(Box::new(collector)))
    }

    /// What is spoken, for the metrics.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Stream(_) | Self::Datagrams(_) => "syslog",
            Self::Collector(_) => "otlp",
        }
    }

    /// How long after it was sent a batch counts as taken.
    pub(super) const fn settles_after(&self) -> Duration {
        match self {
            Self::Stream(_) => SETTLES_AFTER,
            Self::Datagrams(_) | Self::Collector(_) => Duration::ZERO,
        }
    }

    /// A record as it is sent.
    pub(super) fn encode(&self, sender: &Sender, meaning: &Meaning<'_>, now: Timestamp) -> Vec<u8> {
        match self {
            Self::Stream(_) => frame(&sender.message(meaning)),
            Self::Datagrams(_) => {
                let message = sender.message(meaning);
                if message.len() <= MESSAGE_BYTES_MAX {
                    message
                } else {
                    sender.short_message(meaning)
                }
            }
            Self::Collector(_) => otlp::record(meaning, now),
        }
    }

    /// Sends what [`Link::encode`] made; `None` if that is not at its end: the same is to be given again,
    /// with its search. `is_first` is whether nothing is on its way that does not count as taken.
    pub(super) async fn send(
        &mut self,
        records: &[Vec<u8>],
        search: &mut Search,
        is_first: bool,
    ) -> Result<Option<Delivered>, Trouble> {
        match self {
            Self::Stream(stream) => stream.send(records, is_first).await?,
            Self::Datagrams(datagrams) => datagrams.send(records).await?,
            Self::Collector(collector) => return collector.send(records, search).await,
        }
        Ok(Some(Delivered {
            sent: u64::try_from(records.len()).unwrap_or(u64::MAX),
            ..Delivered::default()
        }))
    }

    /// Whether what was sent last, and does not count as taken, has to be sent again.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_gone(),
            Self::Datagrams(_) | Self::Collector(_) => false,
        }
    }

    /// Ends it; whether all that was sent was taken.
    pub(super) async fn end(&mut self) -> bool {
        match self {
            Self::Stream(stream) => stream.end().await,
            Self::Datagrams(_) | Self::Collector(_) => true,
        }
    }
}
