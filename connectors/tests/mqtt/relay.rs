//! A relay between clients and a broker that reads the packets: it counts, delays, cuts and lies.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// Types of packets, as the first four bits say.
const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const DISCONNECT: u8 = 14;

/// What the relay does with the next packet from the broker to the intake client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trick {
    #[default]
    None,
    /// Half of a message, then the end.
    CutInMessage,
    /// Bytes that are no packet.
    Garble,
}

#[derive(Default)]
struct State {
    /// Messages that the intake client acknowledged.
    acknowledged: u64,
    /// Messages that passed to the intake client.
    passed: u64,
    subscribed: u64,
    connects: u64,
    disconnects: u64,
    delay: Duration,
    trick: Trick,
}

pub(crate) struct Relay {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    broker: SocketAddr,
    state: Mutex<State>,
    /// Goes up with every cut.
    cuts: watch::Sender<u64>,
    /// Nothing passes, and nobody is told.
    frozen: watch::Sender<bool>,
    reachable: AtomicBool,
    withholds: AtomicBool,
}

impl Relay {
    pub(crate) async fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            broker,
            state: Mutex::default(),
            cuts: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
            reachable: AtomicBool::new(true),
            withholds: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.reachable.load(Ordering::Relaxed) {
                    tokio::spawn(connection(client, Arc::clone(&accepting)));
                }
            }
        });
        Self { port, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// How many acknowledgements the intake client sent.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.state().acknowledged
    }

    /// How many messages passed to the intake client.
    pub(crate) fn passed(&self) -> u64 {
        self.state().passed
    }

    /// How often the intake client got its subscriptions.
    pub(crate) fn subscribed(&self) -> u64 {
        self.state().subscribed
    }

    /// How often the intake client connected, and how often it said goodbye.
    pub(crate) fn connects(&self) -> (u64, u64) {
        let state = self.state();
        (state.connects, state.disconnects)
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.shared.reachable.store(reachable, Ordering::Relaxed);
    }

    /// Whether confirmations of commands are lost on their way.
    pub(crate) fn withhold(&self, withhold: bool) {
        self.shared.withholds.store(withhold, Ordering::Relaxed);
    }

    /// Lets nothing pass while both ends believe to be connected.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Holds every packet up so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(crate) fn trick(&self, trick: Trick) {
        self.state().trick = trick;
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(broker) = TcpStream::connect(shared.broker).await else { return };
    client.set_nodelay(true).unwrap();
    broker.set_nodelay(true).unwrap();
    let mut cuts = shared.cuts.subscribe();
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let is_intake = Arc::new(AtomicBool::new(false));
    let up = Way { shared: Arc::clone(&shared), is_intake: Arc::clone(&is_intake), up: true };
    let down = Way { shared, is_intake, up: false };
    tokio::select! {
        () = up.pass(from_client, to_broker) => {}
        () = down.pass(from_broker, to_client) => {}
        _ = cuts.changed() => {}
    }
}

/// One direction of one connection.
struct Way {
    shared: Arc<Shared>,
    is_intake: Arc<AtomicBool>,
    up: bool,
}

impl Way {
    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut held = Vec::with_capacity(64 << 10);
        let mut frozen = self.shared.frozen.subscribe();
        loop {
            let mut out = Vec::new();
            while let Some(len) = packet_len(&held) {
                let packet: Vec<_> = held.drain(..len).collect();
                match self.look(&packet) {
                    Look::Pass => out.extend(packet),
                    Look::Keep => {}
                    Look::Cut => {
                        out.extend(&packet[..packet.len() / 2]);
                        drop(to.write_all(&out).await);
                        return;
                    }
                    Look::Garble => out.extend([0xf7, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]),
                }
            }
            let delay = self.shared.state.lock().unwrap().delay;
            if !out.is_empty() {
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                frozen.wait_for(|frozen| !frozen).await.unwrap();
                if to.write_all(&out).await.is_err() {
                    return;
                }
            }
            held.reserve(16 << 10);
            match from.read_buf(&mut held).await {
                Ok(count) if count > 0 => {}
                _ => return,
            }
        }
    }

    fn look(&self, packet: &[u8]) -> Look {
        let kind = packet[0] >> 4;
        let mut state = self.shared.state.lock().unwrap();
        if self.up && kind == CONNECT {
            let is_intake = !packet.windows(9).any(|bytes| bytes == b"-commands");
            self.is_intake.store(is_intake, Ordering::Relaxed);
            state.connects += u64::from(is_intake);
        }
        let is_intake = self.is_intake.load(Ordering::Relaxed);
        match (self.up, kind) {
            (true, PUBACK) if is_intake => state.acknowledged += 1,
            (true, DISCONNECT) if is_intake => state.disconnects += 1,
            (false, PUBACK) if !is_intake && self.shared.withholds.load(Ordering::Relaxed) => {
                return Look::Keep;
            }
            (false, SUBACK) if is_intake => state.subscribed += 1,
            (false, PUBLISH) if is_intake => match std::mem::take(&mut state.trick) {
                Trick::None => state.passed += 1,
                Trick::CutInMessage => return Look::Cut,
                Trick::Garble => return Look::Garble,
            },
            _ => {}
        }
        Look::Pass
    }
}

enum Look {
    Pass,
    Keep,
    Cut,
    Garble,
}

/// Length of the first packet, once all of it is there.
fn packet_len(bytes: &[u8]) -> Option<usize> {
    let (mut len, mut shift) = (0, 0);
    for (index, byte) in bytes.iter().enumerate().skip(1) {
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let all = index + 1 + len;
            return (bytes.len() >= all).then_some(all);
        }
        shift += 7;
    }
    None
}
