//! A proxy between a client and a broker: it cuts, and it refuses.

use std::sync::{Arc, LazyLock, Mutex};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
    task::JoinHandle,
};

/// Outlives the test that begins.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// One way to a broker.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: String,
    open: Arc<watch::Sender<bool>>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    /// Listens on a free port of its own and forwards to `to`.
    pub(crate) fn start(to: String) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, connections) = (Arc::new(watch::Sender::new(true)), Arc::default());
        let proxy = Self { address, open, connections };
        let serving = proxy.clone();
        RUNTIME.spawn(async move {
            serving.serve(TcpListener::from_std(listener).unwrap(), to).await;
        });
        proxy
    }

    async fn serve(self, listener: TcpListener, to: String) {
        let mut wanted = self.open.subscribe();
        let mut listener = Some(listener);
        loop {
            if !*wanted.borrow_and_update() {
                listener = None;
                wanted.changed().await.unwrap();
                continue;
            }
            let accepting = match listener.take() {
                Some(listener) => listener,
                None => TcpListener::bind(&self.address).await.unwrap(),
            };
            tokio::select! {
                accepted = accepting.accept() => {
                    let (mut client, to) = (accepted.unwrap().0, to.clone());
                    let forward = async move {
                        let Ok(mut broker) = TcpStream::connect(to).await else { return };
                        drop(tokio::io::copy_bidirectional(&mut client, &mut broker).await);
                    };
                    self.connections.lock().unwrap().push(tokio::spawn(forward));
                }
                changed = wanted.changed() => changed.unwrap(),
            }
            listener = Some(accepting);
        }
    }

    /// Where a client connects to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Cuts every connection; new ones may come at once.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Refuses new connections, or takes them again.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
