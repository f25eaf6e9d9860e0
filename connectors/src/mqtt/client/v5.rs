//! MQTT 5 with `rumqttc`.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    Outgoing, TlsConfiguration, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError,
        mqttbytes::{
            Error as CodecError, QoS,
            v5::{
                ConnectReturnCode as Code, DisconnectReasonCode, Filter as SubscribeFilter,
                LastWill, Packet as Incoming, PubAckReason, Publish, PublishProperties,
                RetainForwardRule, SubscribeReasonCode,
            },
        },
    },
};

use super::{
    Arrived, Client, ClientEvent, Filter, Options, Packet, Publication, REQUESTS_MAX, Refusal,
    Role,
    driver::{Driver, Told},
};
use crate::mqtt::trouble::Trouble;

/// A connection that speaks MQTT 5.
pub(in crate::mqtt) struct V5 {
    requests: AsyncClient,
    driver: Driver,
    ack: Publish,
}

impl Client for V5 {
    fn connect(options: &Options) -> Self {
        let (requests, event_loop) = AsyncClient::new(rumqttc_options(options), REQUESTS_MAX);
        let driver = Driver::new(|told| run(event_loop, told));
        let ack = Publish::new("", QoS::AtLeastOnce, Bytes::new(), None);
        Self { requests, driver, ack }
    }

    async fn next(&mut self, events: &mut Vec<ClientEvent>) -> Result<(), Trouble> {
        self.driver.next(events).await
    }

    fn subscribe(&mut self, filters: &[Filter], retained: bool) -> Result<(), Trouble> {
        let rule =
            if retained { RetainForwardRule::OnNewSubscribe } else { RetainForwardRule::Never };
        let filters = filters.iter().map(|filter| {
            let mut with = SubscribeFilter::new(filter.filter.clone(), qos(filter.qos));
            with.retain_forward_rule = rule.clone();
            with
        });
        self.requests.try_subscribe_many(filters).map_err(|_| Trouble::gone())
    }

    fn ack(&mut self, packet: Packet) -> bool {
        self.ack.pkid = packet.id;
        self.ack.qos = qos(packet.qos);
        self.requests.try_ack(&self.ack).is_ok()
    }

    fn publish(&mut self, command: Publication) -> Result<(), Trouble> {
        let properties = PublishProperties {
            user_properties: command.properties,
            message_expiry_interval: command.expiry_secs,
            ..PublishProperties::default()
        };
        self.requests
            .try_publish_with_properties(
                command.topic,
                QoS::AtLeastOnce,
                command.retain,
                command.payload,
                properties,
            )
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
    rumqttc.set_connection_timeout(options.connect_timeout_secs.into());
    rumqttc.set_max_packet_size(Some(options.packet_bytes_max));
    match options.role {
        Role::Intake { receive_max, session_expiry_secs } => {
            rumqttc.set_clean_start(false).set_manual_acks(true);
            rumqttc.set_session_expiry_interval(Some(session_expiry_secs));
            rumqttc.set_receive_maximum(Some(receive_max));
            // The status message is all that this one sends.
            rumqttc.set_outgoing_inflight_upper_limit(8);
        }
        Role::Commands { in_flight_max } => {
            rumqttc.set_clean_start(true);
            rumqttc.set_outgoing_inflight_upper_limit(in_flight_max);
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
        rumqttc.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, will.retain, None));
    }
    let mut network = rumqttc.network_options();
    network.set_tcp_nodelay(options.role.sends_at_once());
    rumqttc.set_network_options(network);
    rumqttc
}

async fn run(mut event_loop: EventLoop, told: Told) -> Trouble {
    loop {
        match event_loop.poll().await {
            Ok(event) => {
                if let Some(event) = translate(event) {
                    told.push(event).await;
                }
            }
            Err(error) => return trouble(error),
        }
    }
}

fn translate(event: Event) -> Option<ClientEvent> {
    Some(match event {
        Event::Incoming(Incoming::Publish(publish)) => ClientEvent::Arrived(Arrived {
            topic: publish.topic,
            payload: publish.payload,
            packet: Packet { id: publish.pkid, qos: publish.qos as u8 },
            retain: publish.retain,
            properties: publish.properties.map_or_else(Vec::new, |all| all.user_properties),
        }),
        Event::Incoming(Incoming::PubAck(ack)) => {
            ClientEvent::Confirmed(ack.pkid, confirmed(ack.reason))
        }
        Event::Incoming(Incoming::ConnAck(answer)) => ClientEvent::Connected {
            session_present: answer.session_present,
            packet_bytes_max: answer.properties.and_then(|all| all.max_packet_size),
        },
        Event::Incoming(Incoming::SubAck(answer)) => {
            let granted = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => Ok(*qos as u8),
                refused => Err(format!("{refused:?}")),
            };
            ClientEvent::Subscribed(answer.return_codes.iter().map(granted).collect())
        }
        Event::Incoming(_) => ClientEvent::Alive,
        Event::Outgoing(Outgoing::Publish(id)) => ClientEvent::Sent(id),
        Event::Outgoing(Outgoing::Disconnect) => ClientEvent::Closed,
        Event::Outgoing(_) => return None,
    })
}

fn confirmed(reason: PubAckReason) -> Result<(), Refusal> {
    Err(match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => return Ok(()),
        PubAckReason::NotAuthorized => {
            Refusal::ForGood("the broker does not let us publish to its topic")
        }
        PubAckReason::TopicNameInvalid => Refusal::ForGood("the broker does not take its topic"),
        PubAckReason::PayloadFormatInvalid => {
            Refusal::ForGood("the broker does not take its payload")
        }
        _ => Refusal::ForNow,
    })
}

fn trouble(error: ConnectionError) -> Trouble {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(reason),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            match reason_code {
                DisconnectReasonCode::SessionTakenOver => Trouble::TakenOver,
                code => Trouble::Lost(format!("the broker ended it: {code:?}")),
            }
        }
        ConnectionError::MqttState(StateError::IncomingPacketTooLarge { pkt_size, max }) => {
            super::too_large(pkt_size, max)
        }
        ConnectionError::MqttState(StateError::Deserialization(
            CodecError::PayloadSizeLimitExceeded { pkt_size, max },
        )) => super::too_large(pkt_size, max as usize),
        ConnectionError::MqttState(StateError::Deserialization(CodecError::Io(error))) => {
            super::io_trouble(&error)
        }
        ConnectionError::Tls(error) => super::tls_trouble(error),
        ConnectionError::MqttState(StateError::ConnectionAborted) => Trouble::Closed,
        // Its text would show a packet.
        ConnectionError::NotConnAck(_) => {
            Trouble::Lost("the broker's first packet is no CONNACK".into())
        }
        ConnectionError::Timeout(_) => Trouble::Lost("it does not answer in time".into()),
        ConnectionError::Io(error) => super::io_trouble(&error),
        other => Trouble::Lost(other.to_string()),
    }
}

fn refused(code: Code) -> Trouble {
    let text = format!("the broker refuses it: {code:?}");
    match code {
        Code::ServiceUnavailable
        | Code::ServerUnavailable
        | Code::ServerBusy
        | Code::QuotaExceeded
        | Code::ConnectionRateExceeded
        | Code::UnspecifiedError
        | Code::ImplementationSpecificError => Trouble::NotNow(text),
        _ => Trouble::Refused(text),
    }
}

fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
