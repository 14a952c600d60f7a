//! Syslog over a connection: TCP (RFC 6587, octet counting) or TLS (RFC 5425).
//!
//! Nobody confirms what was written. So the connection is read all the while: once its other end closes
//! it, or the system gives it up because nothing arrives there, whatever was written shortly before counts
//! as lost, and is sent again.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::Trouble;
use crate::config::HostPort;

/// How long it may take until a connection is there, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a batch may wait for a receiver that does not read.
const WRITE_MAX: Duration = Duration::from_secs(15);
/// After so long without a sign that what was written has arrived, the system gives a connection up
/// (`TCP_USER_TIMEOUT`, RFC 5482). Linux alone has that.
#[cfg(target_os = "linux")]
const ARRIVES_WITHIN: Duration = Duration::from_secs(8);
/// How long after it was written a batch counts as taken, on a connection that still stands.
pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(10);
/// How long it is waited for the other end to read the last of it.
const END_MAX: Duration = Duration::from_secs(2);

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// A connection that is read until it ends.
struct Open {
    write: WriteHalf<Box<dyn Io>>,
    reader: JoinHandle<bool>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A receiver over a connection.
pub(super) struct Stream {
    at: HostPort,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    open: Option<Open>,
}

impl Stream {
    pub(super) fn new(at: HostPort, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let tls = tls.map(|config| {
            let name = ServerName::try_from(at.host.clone());
            let name = name.map_err(|error| format!("`{}`: {error}", at.host))?;
            Ok::<_, String>((TlsConnector::from(config), name))
        });
        Ok(Self {
            tls: tls.transpose()?,
            at,
            open: None,
        })
    }

    /// Whether there is no connection that what was written is still on its way through.
    pub(super) fn is_gone(&self) -> bool {
        let open = self.open.as_ref();
        open.is_none_or(|open| open.reader.is_finished())
    }

    /// Writes everything. If it is not all written the connection is given up: what follows would begin
    /// within a message.
    ///
    /// While something is on its way only the connection that it went into will do (`may_connect` is
    /// false): over a new one it would look as if all of it had gone through.
    pub(super) async fn send(
        &mut self,
        frames: &[Vec<u8>],
        may_connect: bool,
    ) -> Result<(), Trouble> {
        let kept = self.open.take().filter(|open| !open.reader.is_finished());
        let mut open = match kept {
            Some(open) => open,
            None if may_connect => self.connect().await?,
            None => return Err(Trouble::ended()),
        };
        let bytes = frames.concat();
        let written = timeout(WRITE_MAX, async {
            open.write.write_all(&bytes).await?;
            open.write.flush().await
        });
        match written.await {
            Ok(Ok(())) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(Trouble::new(error.to_string())),
            Err(_elapsed) => Err(Trouble::new("the receiver does not read".to_owned())),
        }
    }

    async fn connect(&self) -> Result<Open, Trouble> {
        let connected = timeout(CONNECT_MAX, async {
            let stream = TcpStream::connect((&*self.at.host, self.at.port)).await?;
            stream.set_nodelay(true)?;
            give_up_early(&stream)?;
            let io: Box<dyn Io> = match &self.tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            };
            Ok::<_, io::Error>(io)
        });
        let io = match connected.await {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return Err(Trouble::new(error.to_string())),
            Err(_elapsed) => return Err(Trouble::new("no connection in time".to_owned())),
        };
        let (read, write) = tokio::io::split(io);
        let reader = tokio::spawn(read_to_end(read));
        Ok(Open { write, reader })
    }

    /// Ends the connection; whether its other end has read all of it, and ended it too.
    pub(super) async fn end(&mut self) -> bool {
        let Some(mut open) = self.open.take() else {
            return false;
        };
        let ended = timeout(END_MAX, async {
            open.write.shutdown().await.is_ok() && (&mut open.reader).await.unwrap_or(false)
        });
        ended.await.unwrap_or(false)
    }
}

#[cfg(target_os = "linux")]
fn give_up_early(stream: &TcpStream) -> io::Result<()> {
    let millis = u32::try_from(ARRIVES_WITHIN.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?)
}

/// Elsewhere the system takes minutes, in which what is written to a machine that vanished is lost.
#[cfg(not(target_os = "linux"))]
fn give_up_early(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// Reads what nobody wants, up to the end; whether that was a proper one.
async fn read_to_end(mut read: ReadHalf<Box<dyn Io>>) -> bool {
    let mut unwanted = [0; 512];
    loop {
        match read.read(&mut unwanted).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

    use tokio::{io::AsyncReadExt as _, net::TcpListener, task::yield_now, time::timeout};

    use super::Stream;
    use crate::config::HostPort;

    /// How long something may take that happens at once.
    const SOON: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_follows_on_what_was_lost_does_not_go_over_another_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let at = HostPort {
            host: at.ip().to_string(),
            port: at.port(),
        };
        let mut stream = Stream::new(at, None).expect("a receiver");
        let frames = [b"5 first".to_vec()];
        stream.send(&frames, true).await.expect("written");
        let (peer, _) = listener.accept().await.expect("a connection");
        // It closes between two looks at the connection.
        drop(peer);
        let gone = async {
            while !stream.is_gone() {
                yield_now().await;
            }
        };
        timeout(SOON, gone).await.expect("it is noticed");
        let second = [b"6 second".to_vec()];
        let refused = stream.send(&second, false).await;
        let refused = refused.expect_err("the first is lost");
        assert_eq!(refused.reason, "the receiver has ended the connection");
        let mut again = pin!(listener.accept());
        let nobody = poll_fn(|context| Poll::Ready(again.as_mut().poll(context).is_pending()));
        assert!(nobody.await, "it does not connect");

        stream.send(&frames, true).await.expect("written again");
        let (mut peer, _) = again.await.expect("a connection");
        let mut got = [0; 7];
        peer.read_exact(&mut got).await.expect("bytes");
        assert_eq!(&got, b"5 first");
    }
}
