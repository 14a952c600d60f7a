//! Syslog in datagrams: UDP (RFC 5426), or a socket of this machine.
//!
//! What is sent over UDP may be lost, and nobody learns of it; what the system hands to nobody is known.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{
    net::{UdpSocket, UnixDatagram, lookup_host},
    time::timeout,
};

use super::Trouble;
use crate::config::HostPort;

/// The longest message: what fits into a datagram of IPv4 (RFC 5426, 3.2).
pub(super) const MESSAGE_BYTES_MAX: usize = 65_507;
/// How long a batch may take.
const SEND_MAX: Duration = Duration::from_secs(5);
/// After so long the name of a host is looked up again.
const SOCKET_MAX: Duration = Duration::from_secs(60);
/// After so many datagrams a receiver is given a moment, so that its buffer holds them.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// Where datagrams go.
pub(super) enum Place {
    Udp(HostPort),
    Unix(PathBuf),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// A receiver of datagrams.
pub(super) struct Datagrams {
    place: Place,
    open: Option<(Socket, Instant)>,
}

impl Datagrams {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, open: None }
    }

    /// Sends each message.
    pub(super) async fn send(&mut self, messages: &[Vec<u8>]) -> Result<(), Trouble> {
        let kept = self.open.take();
        let kept = kept.filter(|(_, since)| since.elapsed() < SOCKET_MAX);
        let sent = timeout(SEND_MAX, async {
            let (socket, since) = match kept {
                Some(kept) => kept,
                None => (self.socket().await?, Instant::now()),
            };
            for burst in messages.chunks(BURST) {
                for message in burst {
                    let sent = match &socket {
                        Socket::Udp(socket) => socket.send(message).await?,
                        Socket::Unix(socket) => socket.send(message).await?,
                    };
                    debug_assert_eq!(sent, message.len(), "a datagram is sent whole");
                }
                if messages.len() > BURST {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok::<_, io::Error>((socket, since))
        });
        match sent.await {
            Ok(Ok(open)) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(Trouble::new(error.to_string())),
            Err(_elapsed) => Err(Trouble::new("the receiver takes nothing".to_owned())),
        }
    }

    async fn socket(&self) -> io::Result<Socket> {
        match &self.place {
            Place::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Place::Udp(at) => {
                let mut found = lookup_host((&*at.host, at.port)).await?;
                let there = found.next().ok_or(io::ErrorKind::NotFound)?;
                let here: SocketAddr = match there {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(here).await?;
                socket.connect(there).await?;
                Ok(Socket::Udp(socket))
            }
        }
    }
}
