//! One MQTT connection, as much of it as this connector needs of a client crate.
//!
//! A client is one connection: it is made anew for every session, and nothing of it, no packet id
//! above all, outlives it.

mod driver;
mod v311;
mod v5;

use std::sync::Arc;

use bytes::Bytes;
use rustls::ClientConfig;
use zeroize::Zeroizing;

pub(super) use self::{v5::V5, v311::V311};
use super::trouble::Trouble;

/// A connection to a broker.
pub(super) trait Client: Send + Sized {
    /// A client that connects when its events are first asked for.
    fn connect(options: &Options) -> Self;

    /// Waits for events and adds them to `events`. Dropping the future loses nothing; only while
    /// it is awaited does anything move on the network.
    fn next(
        &mut self,
        events: &mut Vec<ClientEvent>,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Asks for subscriptions; answered by one [`ClientEvent::Subscribed`].
    fn subscribe(&mut self, filters: &[Filter], retained: bool) -> Result<(), Trouble>;

    /// Acknowledges a message of this very connection; `false` when nothing more can be asked for
    /// at the moment, or any more.
    fn ack(&mut self, packet: Packet) -> bool;

    /// Publishes with quality of service 1; answered by [`ClientEvent::Sent`] in the order of the
    /// calls, and by [`ClientEvent::Confirmed`].
    fn publish(&mut self, command: Publication) -> Result<(), Trouble>;

    /// Says goodbye, behind everything that was asked for before; the broker keeps the session.
    fn close(&mut self) -> Result<(), Trouble>;
}

/// Name and password.
pub(super) type Credentials = (String, Zeroizing<String>);

/// What a connection needs to know.
pub(super) struct Options {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) client_id: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) keep_alive_secs: u16,
    pub(super) connect_timeout_secs: u16,
    pub(super) packet_bytes_max: u32,
    pub(super) role: Role,
    pub(super) last_will: Option<Publication>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Messages in: a session that the broker keeps, acknowledged by hand.
    Intake { receive_max: u16, session_expiry_secs: u32 },
    /// Commands out: nothing is kept, what is unconfirmed the engine hands out again.
    Commands { in_flight_max: u16 },
}

impl Role {
    /// Whether a small packet leaves at once. The client writes each acknowledgement by itself;
    /// while one is on its way, the next ones gather into one segment (RFC 896). Mosquitto reads
    /// them together then, which is worth a third of both programs' time at full load.
    pub(super) fn sends_at_once(&self) -> bool {
        matches!(self, Self::Commands { .. })
    }
}

/// Requests that may wait in a client: an acknowledgement for every packet id that there is, and
/// some more. Nothing waits here for the task that takes them out (law F5): a broker that sends
/// more than it may is owed the rest.
const REQUESTS_MAX: usize = u16::MAX as usize + 64;

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) filter: String,
    pub(super) qos: u8,
}

/// A message on its way out.
#[derive(Clone)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    /// User properties, where the protocol has them.
    pub(super) properties: Vec<(String, String)>,
    pub(super) expiry_secs: Option<u32>,
}

impl Publication {
    /// A message that says whether we are there.
    pub(super) fn status(topic: &str, payload: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            retain: true,
            properties: Vec::new(),
            expiry_secs: None,
        }
    }
}

/// What has to be acknowledged: nothing for quality of service 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) id: u16,
    pub(super) qos: u8,
}

/// A message on its way in.
pub(super) struct Arrived {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) packet: Packet,
    pub(super) retain: bool,
    pub(super) properties: Vec<(String, String)>,
}

/// What a client tells.
pub(super) enum ClientEvent {
    /// The broker took us in.
    Connected {
        /// Whether it had kept our session.
        session_present: bool,
        /// The largest packet that it takes, if it says.
        packet_bytes_max: Option<u32>,
    },
    /// For each filter what was granted, or why it was not.
    Subscribed(Vec<Result<u8, String>>),
    /// A message came.
    Arrived(Arrived),
    /// The oldest publication not told yet got this packet id.
    Sent(u16),
    /// The broker has the publication with this packet id, or why it does not take it.
    Confirmed(u16, Result<(), Refusal>),
    /// We have said goodbye.
    Closed,
    /// Nothing but a sign of life.
    Alive,
}

/// Why a broker does not take a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It never will.
    ForGood(&'static str),
    /// It may later.
    ForNow,
}

/// An error of the encryption, told from one of the network below it.
fn tls_trouble(error: rumqttc::TlsError) -> Trouble {
    match error {
        rumqttc::TlsError::Io(error) => io_trouble(&error),
        error => Trouble::Tls(error.to_string()),
    }
}

fn too_large(size: usize, max: usize) -> Trouble {
    Trouble::TooLarge(format!(
        "a packet of {size} bytes came, and `packet_bytes_max` is {max}; the broker would send it \
         again after every reconnect"
    ))
}

fn io_trouble(error: &std::io::Error) -> Trouble {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => Trouble::Tls(tls.to_string()),
        None => Trouble::Lost(error.to_string()),
    }
}
