//! The accept loop: what `axum::serve` lacks, limits on connections and on time.
//!
//! Garbage on the port ends its connection; a client that says nothing, or its header byte by byte,
//! is closed; a shortage of file descriptors is waited out.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, Version},
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

use super::{
    address::Places,
    socket::Socket,
    tls::ServerTls,
    watch::{Watch, WatchedStream, Written},
};

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// Connections of one address at the same time, with IPv6 of one network of 64 bits; more are
    /// closed at once.
    pub connections_per_address_max: usize,
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
            connections_max: 10_000,
            connections_per_address_max: 256,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

impl ServeLimits {
    /// The same for a listener on this address. All callers of a loopback listener have one
    /// address, and so have those behind a proxy: there it has no limit of its own.
    #[must_use]
    pub fn listening_on(mut self, address: SocketAddr) -> Self {
        if address.ip().is_loopback() {
            self.connections_per_address_max = self.connections_max;
        }
        self
    }
}

/// After an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Buffer of an HTTP/1 connection; a longer header gets a bare 431 without a problem object.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of a request's path and query; a longer one gets a bare 414.
const ADDRESS_BYTES_MAX: usize = 8 << 10;

/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;

/// Looks at a request before the router does, and may answer it instead.
pub type Refuse = Arc<dyn Fn(&Request<Body>) -> Option<Response<Body>> + Send + Sync>;

/// What one listener serves.
pub struct Listening {
    /// What answers.
    pub router: Router,
    /// What may answer before it.
    pub refuse: Refuse,
    /// How much, and how long.
    pub limits: ServeLimits,
    /// With it, every connection begins with a handshake.
    pub tls: Option<Arc<ServerTls>>,
}

/// Serves HTTP/1 and HTTP/2 until `stop` is ready; then finishes what is under way,
/// for at most `drain_timeout`, and returns. Dropping the future ends all connections.
pub async fn serve(listener: TcpListener, listening: Listening, stop: impl Future<Output = ()>) {
    let Listening { router, refuse, limits, tls } = listening;
    let server = Arc::new(server(&limits));
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let is_shared = limits.connections_per_address_max < limits.connections_max;
    let places = is_shared.then(|| Places::new(limits.connections_per_address_max));
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
        let place = places.as_ref().map(|places| places.take(peer.ip()));
        if matches!(place, Some(None)) {
            tracing::debug!(%peer, "closing a connection: its address has too many");
            continue;
        }
        let (router, server) = (router.clone(), Arc::clone(&server));
        let answer = Answer { router, refuse: Arc::clone(&refuse) };
        let watcher = graceful.watcher();
        let tls = tls.clone();
        connections.spawn(async move {
            let watch = Arc::new(Watch::new(peer));
            if let Some(socket) = secured(stream, tls.as_deref(), &limits).await {
                connection(socket, watch, answer, &server, watcher, limits).await;
            }
            drop((permit, place));
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
    // A request with more than hyper's 100 headers gets a bare 431; another number of them would be
    // allocated for each request.
    server.http1().timer(TokioTimer::new()).header_read_timeout(late).max_buf_size(BUFFER_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
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

/// The connection after its handshake, for which it has as long as for its first header; `None`
/// when it is over.
async fn secured(
    stream: TcpStream,
    tls: Option<&ServerTls>,
    limits: &ServeLimits,
) -> Option<Socket> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection ended before it began");
        return None;
    }
    let Some(tls) = tls else { return Some(Socket::Plain(stream)) };
    match timeout(limits.header_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Socket::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            None
        }
        Err(_late) => {
            tracing::debug!("closing a connection: its handshake did not end in time");
            None
        }
    }
}

async fn connection(
    stream: Socket,
    watch: Arc<Watch>,
    answer: Answer,
    server: &auto::Builder<TokioExecutor>,
    watcher: Watcher,
    limits: ServeLimits,
) {
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
        let address_len = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if address_len > ADDRESS_BYTES_MAX {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::URI_TOO_LONG;
            return Ok(response);
        }
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
