//! What is known of one HTTP connection while it is open: is it idle, is it written out.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{replies::Replies, serve::ServeLimits, socket::Socket};

/// First bytes of HTTP/2; no method of HTTP/1 begins so.
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// Shared by a connection's socket, its service and the task that drives it.
#[derive(Debug)]
pub(super) struct Watch {
    peer: SocketAddr,
    started: Instant,
    /// Requests whose answer is not yet there.
    active: AtomicU32,
    /// Milliseconds since `started` of the last sign of life while no request was under way.
    quiet_since: AtomicU64,
    /// Milliseconds since `started`, plus 1, of the first byte of a header that is not complete.
    head_since: AtomicU64,
    begun: AtomicBool,
    http2: AtomicBool,
    /// Answered feedback that is in the connection's buffer.
    buffered: Mutex<Vec<Replies>>,
}

impl Watch {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            started: Instant::now(),
            active: AtomicU32::new(0),
            quiet_since: AtomicU64::new(0),
            // A connection that says nothing is late with its first header.
            head_since: AtomicU64::new(1),
            begun: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            buffered: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A header is complete; the request is under way until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, is_http2: bool) -> Active {
        if is_http2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.head_since.store(0, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// Why the connection has to be closed, if it has to.
    pub(super) fn overdue(&self, limits: &ServeLimits) -> Option<&'static str> {
        if self.active.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let passed = |since: u64, limit: std::time::Duration| {
            u128::from(self.now().saturating_sub(since)) >= limit.as_millis()
        };
        let head = self.head_since.load(Ordering::Relaxed);
        if head > 0 && passed(head - 1, limits.header_timeout) {
            Some("the header did not arrive in time")
        } else if passed(self.quiet_since.load(Ordering::Relaxed), limits.idle_timeout) {
            Some("idle")
        } else {
            None
        }
    }

    fn read(&self, bytes: &[u8]) {
        if !self.begun.swap(true, Ordering::Relaxed) && bytes.starts_with(HTTP2_PREFACE) {
            // From here on only the idle limit and HTTP/2's own pings count.
            self.http2.store(true, Ordering::Relaxed);
            self.head_since.store(0, Ordering::Relaxed);
        }
        if self.active.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == 0
            && !self.http2.load(Ordering::Relaxed)
        {
            self.head_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    fn alive(&self) {
        self.quiet_since.store(self.now(), Ordering::Relaxed);
    }

    /// The body of an answer with this feedback is complete in the connection's buffer.
    pub(super) fn buffered(&self, replies: Replies) {
        self.buffered.lock().expect("only pushed and taken").push(replies);
    }

    /// Everything in the buffer went to the socket without error.
    fn flushed(&self) {
        let written = std::mem::take(&mut *self.buffered.lock().expect("only pushed and taken"));
        written.into_iter().for_each(Replies::written);
    }
}

/// A request under way.
pub(super) struct Active(Arc<Watch>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.alive();
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// In the extensions of every request that [`serve`](super::serve::serve) hands on.
#[derive(Clone, Debug)]
pub(super) struct Written(pub(super) Arc<Watch>);

/// Where a request came from; `None` for one that came by no socket.
pub fn peer<B>(request: &axum::http::Request<B>) -> Option<SocketAddr> {
    request.extensions().get::<Written>().map(|Written(watch)| watch.peer)
}

/// The socket, observed.
pub(super) struct WatchedStream {
    pub(super) stream: Socket,
    pub(super) watch: Arc<Watch>,
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            self.watch.read(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once nothing is left in the buffer above.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.watch.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl WatchedStream {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.watch.alive();
        }
        written
    }
}
