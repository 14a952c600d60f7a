//! Connections: accepted, bounded in time and size, drained at the end.

mod pace;

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use axum::{Router, body::Body, response::Response};
use claviger_core::path::normalise;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use pace::{Pace, Paced};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt as _;

use crate::{
    app::App,
    failure::Failure,
    gate::{self, Peer},
};

/// The largest request head in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What the parser takes before it gives up: above the limit, so that a head just beyond it gets a
/// problem document and not a bare status.
const PARSER_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 512;
/// The most connections at once.
const CONNECTIONS_MAX: usize = 20_000;
/// How long requests under way may take once the service is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves connections until `stop` resolves, then lets requests under way finish.
pub(crate) async fn serve(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let server = Arc::new(builder());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut stop => break,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let (app, router, server) = (Arc::clone(&app), router.clone(), Arc::clone(&server));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            converse(&server, app, router, (stream, peer), watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// Serves one connection until it ends, or until its caller is too slow.
async fn converse(
    server: &http1::Builder,
    app: Arc<App>,
    router: Router,
    (stream, peer): (TcpStream, SocketAddr),
    watcher: Watcher,
) {
    let pace = Arc::new(Pace::start());
    let io = TokioIo::new(Paced::new(stream, Arc::clone(&pace)));
    let theirs = Arc::clone(&pace);
    let service = service_fn(move |request| {
        let (app, router, pace) = (Arc::clone(&app), router.clone(), Arc::clone(&theirs));
        async move {
            pace.note_head();
            let answer = answer(app, router, peer, request).await;
            pace.note_answer();
            answer
        }
    });
    let mut connection = pin!(watcher.watch(server.serve_connection(io, service)));
    let mut alarm = pin!(tokio::time::sleep(pace.left()));
    loop {
        tokio::select! {
            biased;
            outcome = &mut connection => {
                // A connection that breaks concerns its caller alone.
                if let Err(error) = outcome {
                    tracing::debug!(%peer, %error, "a connection ended early");
                }
                return;
            }
            () = &mut alarm => {
                let left = pace.left();
                if left.is_zero() {
                    tracing::debug!(%peer, "a connection was closed: its caller is too slow");
                    return;
                }
                alarm.as_mut().reset(tokio::time::Instant::now() + left);
            }
        }
    }
}

/// HTTP/1.1 alone: to find out whether a connection speaks HTTP/2 its first bytes are awaited
/// without a time limit, which would let silent connections stay for ever.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Pace` watches the time: a timer for each request cost more than to find its key.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(PARSER_BYTES_MAX);
    builder
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers must not wait for more to come.
            stream.set_nodelay(true).unwrap_or_default();
            Some((stream, peer, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // Out of file descriptors: closing connections give some back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Checks what must hold before anything is routed, and routes.
async fn answer(
    app: Arc<App>,
    router: Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    if let Some(failure) = refusal(&request) {
        return Ok(gate::refuse(app, failure, request).await);
    }
    router.oneshot(request).await
}

fn refusal(request: &Request<Body>) -> Option<Failure> {
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if fields.sum::<usize>() + target > HEAD_BYTES_MAX {
        return Some(Failure::HeadTooLarge(HEAD_BYTES_MAX));
    }
    normalise(request.uri().path()).err().map(Failure::Path)
}
