//! MQTT 3.1.1 with `rumqttc`.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode as Code, ConnectionError, Event, EventLoop, LastWill,
    MqttOptions, Outgoing, Packet as Incoming, Publish, QoS, StateError, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport, mqttbytes::Error as CodecError,
};

use super::{
    Arrived, Client, ClientEvent, Filter, Options, Packet, Publication, REQUESTS_MAX, Role,
    driver::{Driver, Told},
};
use crate::mqtt::trouble::Trouble;

/// A connection that speaks MQTT 3.1.1.
pub(in crate::mqtt) struct V311 {
    requests: AsyncClient,
    driver: Driver,
    ack: Publish,
}

impl Client for V311 {
    fn connect(options: &Options) -> Self {
        let packet_bytes_max = options.packet_bytes_max;
        let (requests, mut event_loop) = AsyncClient::new(rumqttc_options(options), REQUESTS_MAX);
        let mut network = event_loop.network_options();
        network.set_tcp_nodelay(options.role.sends_at_once());
        network.set_connection_timeout(options.connect_timeout_secs.into());
        event_loop.set_network_options(network);
        let driver = Driver::new(|told| run(event_loop, told, packet_bytes_max));
        let ack = Publish::from_bytes("", QoS::AtLeastOnce, Bytes::new());
        Self { requests, driver, ack }
    }

    async fn next(&mut self, events: &mut Vec<ClientEvent>) -> Result<(), Trouble> {
        self.driver.next(events).await
    }

    /// This version has no way to say that retained messages are not wanted.
    fn subscribe(&mut self, filters: &[Filter], _retained: bool) -> Result<(), Trouble> {
        let filters = filters
            .iter()
            .map(|filter| SubscribeFilter { path: filter.filter.clone(), qos: qos(filter.qos) });
        self.requests.try_subscribe_many(filters).map_err(|_| Trouble::gone())
    }

    fn ack(&mut self, packet: Packet) -> bool {
        self.ack.pkid = packet.id;
        self.ack.qos = qos(packet.qos);
        self.requests.try_ack(&self.ack).is_ok()
    }

    fn publish(&mut self, command: Publication) -> Result<(), Trouble> {
        let (topic, payload) = (command.topic, command.payload);
        self.requests
            .try_publish(topic, QoS::AtLeastOnce, command.retain, payload)
            .map_err(|_| Trouble::gone())
    }

    fn close(&mut self) -> Result<(), Trouble> {
        self.requests.try_disconnect().map_err(|_| Trouble::gone())
    }
}

fn rumqttc_options(options: &Options) -> MqttOptions {
    let id = options.client_id.as_str();
    let mut rumqttc = MqttOptions::new(id, options.host.as_str(), options.port);
    rumqttc.set_keep_alive(Duration::from_secs(options.keep_alive_secs.into()));
    let packet_bytes_max = options.packet_bytes_max as usize;
    rumqttc.set_max_packet_size(packet_bytes_max, PACKET_BYTES_MAX);
    match options.role {
        Role::Intake { .. } => {
            rumqttc.set_clean_session(false).set_manual_acks(true);
            // The status message is all that this one sends.
            rumqttc.set_inflight(8);
        }
        Role::Commands { in_flight_max } => {
            rumqttc.set_clean_session(true).set_inflight(in_flight_max);
        }
    }
    if let Some((name, password)) = &options.credentials {
        rumqttc.set_credentials(name, password.as_str());
    }
    if let Some(config) = &options.tls {
        let config = TlsConfiguration::Rustls(config.clone());
        rumqttc.set_transport(Transport::tls_with_config(config));
    }
    if let Some(will) = options.last_will.clone() {
        let (topic, payload) = (will.topic, will.payload);
        rumqttc.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, will.retain));
    }
    rumqttc
}

/// The largest packet that the protocol can have.
const PACKET_BYTES_MAX: usize = 268_435_455;

async fn run(mut event_loop: EventLoop, told: Told, packet_bytes_max: u32) -> Trouble {
    loop {
        match event_loop.poll().await {
            Ok(event) => {
                if let Some(event) = translate(event) {
                    told.push(event).await;
                }
            }
            Err(error) => return trouble(error, packet_bytes_max),
        }
    }
}

fn translate(event: Event) -> Option<ClientEvent> {
    Some(match event {
        Event::Incoming(Incoming::Publish(publish)) => ClientEvent::Arrived(Arrived {
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            packet: Packet { id: publish.pkid, qos: publish.qos as u8 },
            retain: publish.retain,
            properties: Vec::new(),
        }),
        Event::Incoming(Incoming::PubAck(ack)) => ClientEvent::Confirmed(ack.pkid, Ok(())),
        Event::Incoming(Incoming::ConnAck(answer)) => ClientEvent::Connected {
            session_present: answer.session_present,
            packet_bytes_max: None,
        },
        Event::Incoming(Incoming::SubAck(answer)) => {
            let granted = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => Ok(*qos as u8),
                SubscribeReasonCode::Failure => Err("without a reason".to_owned()),
            };
            ClientEvent::Subscribed(answer.return_codes.iter().map(granted).collect())
        }
        Event::Incoming(_) => ClientEvent::Alive,
        Event::Outgoing(Outgoing::Publish(id)) => ClientEvent::Sent(id),
        Event::Outgoing(Outgoing::Disconnect) => ClientEvent::Closed,
        Event::Outgoing(_) => return None,
    })
}

fn trouble(error: ConnectionError, packet_bytes_max: u32) -> Trouble {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let text = format!("the broker refuses it: {code:?}");
            match code {
                Code::ServiceUnavailable => Trouble::NotNow(text),
                _ => Trouble::Refused(text),
            }
        }
        ConnectionError::MqttState(StateError::Deserialization(
            CodecError::PayloadSizeLimitExceeded(size),
        )) => super::too_large(size, packet_bytes_max as usize),
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(CodecError::Io(error)),
        ) => super::io_trouble(&error),
        ConnectionError::Tls(error) => super::tls_trouble(error),
        ConnectionError::MqttState(StateError::ConnectionAborted) => Trouble::Closed,
        // Its text would show a packet.
        ConnectionError::NotConnAck(_) => {
            Trouble::Lost("the broker's first packet is no CONNACK".into())
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Trouble::Lost("it does not answer in time".into())
        }
        ConnectionError::Io(error) => super::io_trouble(&error),
        other => Trouble::Lost(other.to_string()),
    }
}

fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
