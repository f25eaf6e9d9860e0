//! The broker inside this program.
//!
//! It keeps everything in memory and knows only MQTT 5 on one port of this machine. That is enough
//! here: it lives as long as the devices do, and the connector acknowledges in order.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::time::Instant;

use super::line::LINES_MAX;
use crate::error::{Error, ErrorKind, Result};

/// Ports that are tried: another program may take one between its choice and its use.
const ATTEMPTS: u32 = 5;
const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes of messages after which the broker begins a new piece of its log, and how many pieces it
/// keeps for each filter. Lines wait for their twins, so that the engine is never so far behind.
const SEGMENT_BYTES: usize = 4 << 20;
const SEGMENTS: usize = 4;

/// Starts the broker; it ends with the process.
///
/// # Errors
///
/// It does not listen on any of several ports.
pub(in crate::demo) fn start() -> Result<SocketAddr> {
    let cannot = |what: &str| Error::new(ErrorKind::Unavailable, what);
    for _ in 0..ATTEMPTS {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = free.and_then(|free| free.local_addr()).map_err(|error| {
            cannot("could not find a port for the demonstration's broker").because(error)
        })?;
        let mut broker = Broker::new(config(address));
        let thread = thread::Builder::new().name("twinflow:broker".into());
        let thread = thread.spawn(move || broker.start().is_ok()).map_err(|error| {
            cannot("could not start the thread of the demonstration's broker").because(error)
        })?;
        if listens(address, &thread) {
            return Ok(address);
        }
    }
    Err(cannot("the demonstration's broker does not listen on any port"))
}

/// Waits for it. Its thread ends when it cannot have its port.
fn listens<T>(address: SocketAddr, thread: &JoinHandle<T>) -> bool {
    let until = Instant::now() + START_LIMIT;
    while !thread.is_finished() && Instant::now() < until {
        let open = TcpStream::connect(address);
        if open.is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != address)) {
            return !thread.is_finished();
        }
        thread::sleep(LOOK_EVERY);
    }
    false
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 64 << 10,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server = ServerSettings {
        name: "twinflow:mqtt".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        // The engine has two; there is room for somebody who looks on.
        max_connections: LINES_MAX + 24,
        max_outgoing_packet_count: 200,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        ..RouterConfig::default()
    };
    let v5 = HashMap::from([("demo".to_owned(), server)]);
    Config { router, v5: Some(v5), ..Config::default() }
}
