//! A network between a client and a server that fails when it is told to.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::Runtime,
    sync::watch,
    time::sleep,
};

use crate::{error::ServerError, process};

/// A direction through a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Told of every piece that passes: the way, a number for its connection, and its bytes.
pub type Watcher = dyn Fn(Way, u64, &[u8]) + Send + Sync;

/// Passes connections on to a server; its threads are its own, and it ends with its value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    target: SocketAddr,
    watcher: Box<Watcher>,
    connections: AtomicU64,
    orders: watch::Sender<Orders>,
    listens: AtomicBool,
    ways: [Counts; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    cuts: u64,
    held: bool,
    refuse: bool,
    delay: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    passed: AtomicU64,
    garble: AtomicU64,
    /// Bytes until the cut, plus one; 0 for none.
    cut: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// When there is no free port, or the threads cannot be started.
    pub fn start(target: SocketAddr) -> Result<Self, ServerError> {
        Self::start_watched(target, Box::new(|_, _, _| {}))
    }

    /// The same, with somebody who sees everything that passes, as it passes.
    ///
    /// # Errors
    ///
    /// As [`Proxy::start`].
    pub fn start_watched(target: SocketAddr, watcher: Box<Watcher>) -> Result<Self, ServerError> {
        let failed = |error| ServerError::new(format!("start a proxy to {target}: {error}"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().map_err(failed)?;
        let shared = Arc::new(Shared {
            target,
            watcher,
            connections: AtomicU64::new(0),
            orders: watch::Sender::new(Orders::default()),
            listens: AtomicBool::new(true),
            ways: Default::default(),
        });
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        drop(entered);
        runtime.spawn(accept(listener, address, Arc::clone(&shared)));
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection with a reset; new ones may come at once.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// As [`cut`](Self::cut), once so many further bytes have passed that way: mostly in the middle
    /// of a packet.
    pub fn cut_after_bytes(&self, way: Way, bytes: u64) {
        self.shared.way(way).cut.store(bytes + 1, Ordering::SeqCst);
    }

    /// Every piece of up to 64 KiB waits so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.shared.orders.send_modify(|orders| orders.delay = delay);
    }

    /// Lets nothing pass, and both ends believe that they are connected.
    pub fn hold(&self) {
        self.shared.orders.send_modify(|orders| orders.held = true);
    }

    /// Ends [`hold`](Self::hold); what was held passes.
    pub fn resume(&self) {
        self.shared.orders.send_modify(|orders| orders.held = false);
    }

    /// The next so many bytes that way become other bytes.
    pub fn garble_next(&self, way: Way, bytes: u64) {
        self.shared.way(way).garble.store(bytes, Ordering::SeqCst);
    }

    /// Whether new connections are refused; returns when it is so.
    pub fn refuse(&self, refuse: bool) {
        self.shared.orders.send_modify(|orders| orders.refuse = refuse);
        process::wait_until(Duration::from_secs(10), || {
            self.shared.listens.load(Ordering::SeqCst) != refuse
        });
    }

    /// Bytes that were given on that way, of all connections.
    #[must_use]
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.way(way).passed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Shared {
    fn way(&self, way: Way) -> &Counts {
        let [up, down] = &self.ways;
        match way {
            Way::Up => up,
            Way::Down => down,
        }
    }

    fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let (mut listener, mut orders) = (Some(listener), shared.orders.subscribe());
    loop {
        if orders.borrow_and_update().refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        shared.listens.store(listener.is_some(), Ordering::SeqCst);
        let Some(open) = &listener else {
            // Asked again after a while: the port may be taken for a moment.
            let changed = tokio::time::timeout(Duration::from_millis(20), orders.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return;
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(connection(client, Arc::clone(&shared)));
            },
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut orders = shared.orders.subscribe();
    let cuts = orders.borrow().cuts;
    let Ok(mut server) = TcpStream::connect(shared.target).await else { return };
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let no_delay = client.set_nodelay(true).and(server.set_nodelay(true));
    let is_cut = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let both = async {
            tokio::join!(
                pass(from_client, to_server, (Way::Up, number), &shared),
                pass(from_server, to_client, (Way::Down, number), &shared),
            )
        };
        tokio::select! {
            biased;
            cut = orders.wait_for(|orders| orders.cuts != cuts) => cut.is_ok(),
            _ = both, if no_delay.is_ok() => false,
        }
    };
    if is_cut {
        // Closed with this, a socket sends a reset.
        drop((client.set_zero_linger(), server.set_zero_linger()));
    }
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (way, connection): (Way, u64),
    shared: &Shared,
) {
    let mut orders = shared.orders.subscribe();
    let counts = shared.way(way);
    let mut piece = vec![0; 64 << 10];
    loop {
        let len = match from.read(&mut piece).await {
            Ok(len) if len > 0 => len,
            _ => break,
        };
        let delay = orders.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if orders.wait_for(|orders| !orders.held).await.is_err() {
            break;
        }
        for byte in piece.iter_mut().take(take(&counts.garble, len)) {
            *byte ^= 0xa5;
        }
        let left = counts.cut.load(Ordering::SeqCst);
        let cuts_here = left > 0 && len as u64 >= left - 1;
        let len = if cuts_here { usize::try_from(left - 1).unwrap_or(len) } else { len };
        if left > 0 {
            counts.cut.store(if cuts_here { 0 } else { left - len as u64 }, Ordering::SeqCst);
        }
        // Before they are written, so that who has read them finds them counted.
        counts.passed.fetch_add(len as u64, Ordering::SeqCst);
        (shared.watcher)(way, connection, &piece[..len]);
        if to.write_all(&piece[..len]).await.is_err() {
            break;
        }
        if cuts_here {
            // So that what was written before the cut arrives, and not the reset alone.
            sleep(Duration::from_millis(20)).await;
            shared.cut();
            std::future::pending::<()>().await;
        }
    }
    drop(to.shutdown().await);
}

/// Takes as many as there are, at most `most`.
fn take(left: &AtomicU64, most: usize) -> usize {
    let less = |left: u64| Some(left - left.min(most as u64));
    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).unwrap_or_default();
    usize::try_from(before.min(most as u64)).unwrap_or_default()
}
