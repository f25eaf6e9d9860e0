//! What single messages may be, and what becomes of them (behaviour.md, case 18).

use std::time::Duration;

use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{Publish, PublishProperties},
};
use tokio::time::sleep;
use twinflow_connectors::{
    ConfigurableConnector, Connector,
    conformance::{Dataflow, Upstream},
    frame::FrameView,
    mqtt::{
        Mqtt, MqttDedupe, MqttIdPlace, MqttLastWill, MqttProtocol, MqttRetained, MqttSameId,
        MqttTwinId,
    },
    row::RowKind,
};

use crate::suite::Plant;

const TOPIC: &str = "plant/7/turbine-42/telemetry";

fn publish(topic: &str, payload: &str) -> Publish {
    Publish::new(topic, QoS::AtLeastOnce, payload.to_owned(), None)
}

fn with_property(payload: &str, key: &str, value: &str) -> Publish {
    let user_properties = vec![(key.to_owned(), value.to_owned())];
    let properties = PublishProperties { user_properties, ..PublishProperties::default() };
    Publish { properties: Some(properties), ..publish(TOPIC, payload) }
}

#[tokio::test]
async fn a_topic_that_fits_no_template_is_a_dead_letter_and_is_acknowledged() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    // The session has a subscription from earlier settings.
    plant.outside.subscribe_as("twinflow-plant", "plant/+/+/alarm").await;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.outside.publish_as(publish("plant/7/turbine-42/alarm", "1")).await;
    plant.outside.publish_as(publish("plant/7//telemetry", "2")).await;
    plant.outside.publish_as(publish(TOPIC, "3")).await;
    let rows = dataflow.take("all are pushed", 3).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.kind, row.twin.as_str())).collect();
    let (dead, message) = (RowKind::Undeliverable, RowKind::Message);
    assert_eq!(seen[..3], [(dead, ""), (dead, ""), (message, "turbine-42")]);
    dataflow.acknowledge(rows.last().unwrap().receipt);
    plant.until_acknowledged(rows.len() as u64).await;
    session.stopped().await;
}

#[tokio::test]
async fn names_ids_and_properties_come_along() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    plant.settings.dedupe =
        Some(MqttDedupe { user_property: Some("id".into()), ..MqttDedupe::default() });
    let connector = plant.connector();
    assert_eq!(connector.info().dedupe_keep_secs, Some(86_400));
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.outside.publish_as(with_property("{}", "id", "m-1")).await;
    dataflow.until("it comes", |slot| !slot.is_empty()).await;
    let taken = dataflow.slot.take().unwrap();
    let view = FrameView::new(&taken.frames[0].directory, &taken.frames[0].body);
    let attributes = view.row(0).attributes();
    assert_eq!(attributes.message_id(), Some(&b"m-1"[..]));
    assert_eq!(attributes.names().collect::<Vec<_>>(), [("site", "7")]);
    assert_eq!(attributes.headers().collect::<Vec<_>>(), [("id", &b"m-1"[..])]);
    session.stopped().await;
}

#[tokio::test]
async fn an_id_in_the_payload_addresses_its_twin_and_no_other_topic() {
    let mut plant = Plant::mosquitto(MqttProtocol::V311, 1000).await;
    plant.settings.twin_id = MqttTwinId {
        from: MqttIdPlace::Json,
        pointer: Some("/device/id".into()),
        ..MqttTwinId::default()
    };
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    let nasty = r##"{"device":{"id":"twin-0/../#+"}}"##;
    plant.outside.publish_as(publish(TOPIC, nasty)).await;
    plant.outside.publish_as(publish(TOPIC, r#"{"device":{}}"#)).await;
    let rows = dataflow.take("both are pushed", 2).await;
    assert_eq!(rows[0].twin, "twin-0/../#+");
    assert_eq!(rows[1].kind, RowKind::Undeliverable);
    // What the twin's last topic captured may be just as nasty.
    dataflow.hand(0, vec![("site".into(), "7/x/#".into())], b"1");
    let command = plant.outside.next().await;
    assert_eq!(&command.topic[..], b"plant/7%2Fx%2F%23/twin-0/command");
    session.stopped().await;
}

#[tokio::test]
async fn s11_a_message_that_says_another_twin_than_its_topic_is_a_dead_letter() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    let same_as = MqttSameId { json: Some("/id".into()), ..MqttSameId::default() };
    plant.settings.twin_id = MqttTwinId { same_as: Some(same_as), ..MqttTwinId::default() };
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    for payload in [r#"{"id":"turbine-42"}"#, r#"{"id":"turbine-7"}"#, "{}", "no JSON"] {
        plant.outside.publish_as(publish(TOPIC, payload)).await;
    }
    let rows = dataflow.take("all are pushed", 4).await;
    let (dead, message) = (RowKind::Undeliverable, RowKind::Message);
    let kinds: Vec<_> = rows.iter().map(|row| (row.kind, row.twin.as_str())).collect();
    assert_eq!(kinds, [(message, "turbine-42"), (dead, ""), (dead, ""), (dead, "")]);
    dataflow.acknowledge(rows.last().unwrap().receipt);
    plant.until_acknowledged(4).await;
    session.stopped().await;
}

#[tokio::test]
async fn feedback_without_the_names_of_its_topic_is_given_up() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    dataflow.hand(0, Vec::new(), b"1");
    dataflow.until("it is given up", |slot| slot.unconfirmed() == 0).await;
    let given_up = dataflow.slot.take_confirmations().given_up;
    assert!(given_up[0].1.contains("names that its topic needs"), "{given_up:?}");
    session.stopped().await;
}

#[tokio::test]
async fn retained_messages_are_dropped_or_delivered() {
    for protocol in [MqttProtocol::V5, MqttProtocol::V311] {
        for (retained, comes) in [(MqttRetained::Drop, 1), (MqttRetained::Deliver, 2)] {
            let mut plant = Plant::mosquitto(protocol, 1000).await;
            plant.settings.client_id = "another".into();
            plant.settings.retained = retained;
            let old = Publish { retain: true, ..publish(TOPIC, "old") };
            plant.outside.publish_as(old).await;
            let connector = plant.connector();
            let dataflow = Dataflow::new(connector.info(), plant.patience());
            let session = dataflow.run(connector);
            plant.until_subscribed(1).await;
            plant.settle().await;
            plant.outside.publish_as(publish(TOPIC, "new")).await;
            let rows = dataflow.take("the new one comes", comes).await;
            assert_eq!(rows.len(), comes, "{protocol:?} {retained:?}: {rows:?}");
            assert_eq!(rows.last().unwrap().payload, b"new");
            dataflow.acknowledge(rows.last().unwrap().receipt);
            // One that was dropped is acknowledged too, or it would come for ever.
            plant.until_acknowledged(plant.relay.passed()).await;
            session.stopped().await;
        }
    }
}

#[tokio::test]
async fn a_message_without_acknowledgement_is_delivered_at_most_once() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    plant.settings.qos = 0;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.until_subscribed(1).await;
    plant.outside.publish_as(publish(TOPIC, "1")).await;
    let rows = dataflow.take("it comes", 1).await;
    dataflow.acknowledge(rows.last().unwrap().receipt);
    plant.settle().await;
    assert_eq!(plant.relay.acknowledged(), 0);
    session.stopped().await;
}

#[tokio::test]
async fn a_payload_over_the_limit_is_cut_and_a_packet_over_it_ends_the_connection() {
    let mut plant = Plant::mosquitto(MqttProtocol::V311, 1000).await;
    plant.settings.packet_bytes_max = 2 << 20;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.outside.publish_as(publish(TOPIC, &"x".repeat(1_100_000))).await;
    let rows = dataflow.take("it comes", 1).await;
    assert_eq!((rows[0].kind, rows[0].payload.len()), (RowKind::Undeliverable, 4096));
    plant.outside.publish_as(publish(TOPIC, &"x".repeat(3_000_000))).await;
    let (_, result) = session.ended("the packet cannot be taken").await;
    let error = result.unwrap_err();
    assert!(!error.is_retryable(), "it would come again for ever");
    assert!(error.to_string().contains("`packet_bytes_max` is 2097152"), "{error}");
}

#[tokio::test]
async fn whether_it_is_there_is_said() {
    for protocol in [MqttProtocol::V5, MqttProtocol::V311] {
        let mut plant = Plant::mosquitto(protocol, 1000).await;
        plant.settings.last_will =
            Some(MqttLastWill { topic: "plant/7/engine/command".into(), ..Default::default() });
        let connector = Mqtt::from_settings(plant.settings.clone()).unwrap();
        let dataflow = Dataflow::new(connector.info(), plant.patience());
        let session = dataflow.run(connector);
        assert_eq!(&plant.outside.next().await.payload[..], b"online");
        plant.relay.cut();
        assert_eq!(&plant.outside.next().await.payload[..], b"offline", "by the broker");
        let session = dataflow.run(session.broken().await);
        assert_eq!(&plant.outside.next().await.payload[..], b"online");
        sleep(Duration::from_millis(100)).await;
        session.stopped().await;
        assert_eq!(&plant.outside.next().await.payload[..], b"offline", "by ourselves");
    }
}
