//! The accept loop: what `axum::serve` lacks, limits on connections and on time.
//!
//! Garbage on the port ends its connection; a client that says nothing, or its header byte by byte,
//! is closed; a shortage of file descriptors is waited out.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, Version},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::Service;

use super::watch::{Watch, WatchedStream, Written};

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// Time for a header, from its first byte; for the first one from the accept.
    pub header_timeout: Duration,
    /// Time that a connection may be open with nothing under way.
    pub idle_timeout: Duration,
    /// Time for what is under way once `stop` is ready.
    pub drain_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// After an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Buffer of an HTTP/1 connection; a longer header gets a bare 431 without a problem object.
const BUFFER_BYTES: usize = 64 << 10;

/// Headers that an HTTP/1 request may have before it gets a bare 431.
const HEADERS_MAX: usize = 256;

/// Looks at a request before the router does, and may answer it instead.
pub type Refuse = Arc<dyn Fn(&Request<Body>) -> Option<Response<Body>> + Send + Sync>;

/// Serves HTTP/1 and HTTP/2 without TLS until `stop` is ready; then finishes what is under way,
/// for at most `drain_timeout`, and returns. Dropping the future ends all connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    refuse: Refuse,
    limits: ServeLimits,
    stop: impl Future<Output = ()>,
) {
    let server = Arc::new(server(&limits));
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let ((stream, peer), permit) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        while let Some(ended) = connections.try_join_next() {
            log_end(ended);
        }
        let (router, server) = (router.clone(), Arc::clone(&server));
        let answer = Answer { router, refuse: Arc::clone(&refuse) };
        let watcher = graceful.watcher();
        connections.spawn(async move {
            connection(stream, peer, answer, &server, watcher, limits).await;
            drop(permit);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not end");
    }
    connections.shutdown().await;
}

/// A panic in a connection ends that connection (law F1).
fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection ended");
    }
}

fn server(limits: &ServeLimits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // The limits for headers and idleness are kept by `connection`; hyper's own timer cannot tell
    // a late header from an idle connection, so it is only the second line.
    let late = limits.idle_timeout.max(limits.header_timeout);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(late)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(20))
        .max_header_list_size(16 << 10);
    server
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> ((TcpStream, SocketAddr), OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("never closed");
    loop {
        match listener.accept().await {
            Ok(accepted) => return (accepted, permit),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection went wrong; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    answer: Answer,
    server: &auto::Builder<TokioExecutor>,
    watcher: Watcher,
    limits: ServeLimits,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection ended before it began");
        return;
    }
    let watch = Arc::new(Watch::new(peer));
    let io = TokioIo::new(WatchedStream { stream, watch: Arc::clone(&watch) });
    let service = service_fn(|request| answer.clone().to(Arc::clone(&watch), request));
    let mut serving = pin!(watcher.watch(server.serve_connection(io, service)));
    let look = (limits.header_timeout.min(limits.idle_timeout) / 4).max(Duration::from_millis(10));
    loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = sleep(look) => {}
        }
        if let Some(reason) = watch.overdue(&limits) {
            tracing::debug!(reason, "closing a connection");
            return;
        }
    }
}

/// What answers requests.
#[derive(Clone)]
struct Answer {
    router: Router,
    refuse: Refuse,
}

impl Answer {
    async fn to(
        mut self,
        watch: Arc<Watch>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let active = watch.request(request.version() == Version::HTTP_2);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Written(watch));
        let response = match (self.refuse)(&request) {
            Some(refused) => Ok(refused),
            None => self.router.call(request).await,
        };
        drop(active);
        response
    }
}
