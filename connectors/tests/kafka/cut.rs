//! A proxy that cuts.

use std::sync::{Arc, Mutex};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone)]
pub(crate) struct Proxy {
    address: String,
    open: Arc<watch::Sender<bool>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    pub(crate) async fn start(address: &str, to: &str) -> Self {
        let open = Arc::new(watch::Sender::new(true));
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let this = Self { address: address.into(), open, tasks };
        let (at, to, mut wanted) = (this.address.clone(), to.to_owned(), this.open.subscribe());
        let tasks = Arc::clone(&this.tasks);
        tokio::spawn(async move {
            loop {
                let listener = TcpListener::bind(&at).await.unwrap();
                while *wanted.borrow_and_update() {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let (mut inner, _) = accepted.unwrap();
                            let to = to.clone();
                            let task = tokio::spawn(async move {
                                let mut outer = TcpStream::connect(to).await.unwrap();
                                drop(tokio::io::copy_bidirectional(&mut inner, &mut outer).await);
                            });
                            tasks.lock().unwrap().push(task);
                        }
                        _ = wanted.changed() => {}
                    }
                }
                drop(listener);
                while !*wanted.borrow_and_update() {
                    if wanted.changed().await.is_err() {
                        return;
                    }
                }
            }
        });
        this
    }
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }
    pub(crate) fn cut(&self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
