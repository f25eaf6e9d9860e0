//! The whole engine over MQTT, with a Mosquitto that the test starts (behaviour.md, cases 16, 27).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    process::Command,
    sync::{Arc, Mutex},
    thread::sleep,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use twinflow::{
    ConnectionState, Engine, EngineHandle,
    connectors::{
        ConfigurableConnector, Connector,
        mqtt::{Mqtt, MqttDedupe, MqttProtocol, MqttSettings, MqttTopic},
    },
    prelude::*,
};
use twinflow_servers::{Mosquitto, MqttBroker, Options};

fn publish(broker: &MqttBroker, twin: &str, payload: &str) {
    let topic = format!("plant/7/{twin}/telemetry");
    let port = broker.address().port().to_string();
    let sent = Command::new("mosquitto_pub")
        .args(["-V", "5", "-q", "1", "-p", &port, "-t", &topic, "-m", payload])
        .status()
        .expect("needed: apt-get install --no-install-recommends mosquitto-clients");
    assert!(sent.success());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("not in 20 s: {what}");
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Seen;

#[derive(Deserialize)]
struct Reading {
    id: String,
}

impl TwinModel for Seen {
    type Message<'m> = Reading;
}

/// Notes what was applied.
struct Notes(Arc<Mutex<Vec<String>>>);

impl MessageProcessor for Notes {
    type Model = Seen;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        _: &mut Seen,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        self.0.lock().unwrap().extend(readings.into_iter().map(|reading| reading.id.clone()));
        Ok(Outcome::Update)
    }
}

fn engine(port: u16, notes: &Arc<Mutex<Vec<String>>>) -> Engine {
    let plant = Mqtt::from_settings(MqttSettings {
        url: format!("mqtt://127.0.0.1:{port}"),
        client_id: "twinflow-test".into(),
        topics: vec![MqttTopic {
            topic: "plant/{site}/{twin}/telemetry".into(),
            model: Some("turbines".into()),
            qos: None,
        }],
        dedupe: Some(MqttDedupe { json: Some("/id".into()), ..MqttDedupe::default() }),
        ..MqttSettings::default()
    });
    Engine::builder()
        .memory_store()
        .model("turbines", Notes(Arc::clone(notes)))
        .connection("plant", plant.unwrap())
        .start()
        .unwrap()
}

fn state(handle: &EngineHandle) -> ConnectionState {
    handle.connections()[0].state
}

#[test]
fn brokers_come_and_go_and_connections_pause_and_nothing_is_lost() {
    // A stop writes the sessions down.
    let options = Options { autosave: false, ..Options::default() };
    let mut broker = Mosquitto::start(options).unwrap();
    broker.stop().unwrap();
    let notes = Arc::default();
    let engine = engine(broker.address().port(), &notes);
    let handle = engine.handle();
    until("it waits for its broker", || state(&handle) == ConnectionState::Connecting);
    broker.start_again().unwrap();
    until("the broker is there", || state(&handle) == ConnectionState::Running);
    publish(&broker, "t-1", r#"{"id":"a"}"#);
    until("the first is applied", || notes.lock().unwrap().len() == 1);

    // The sender repeats itself: its id was applied.
    publish(&broker, "t-1", r#"{"id":"a"}"#);
    publish(&broker, "t-1", r#"{"id":"b"}"#);
    until("the third is applied", || notes.lock().unwrap().len() == 2);

    assert!(handle.pause("plant"));
    until("it pauses", || state(&handle) == ConnectionState::Paused);
    publish(&broker, "t-2", r#"{"id":"c"}"#);
    broker.stop().unwrap();
    broker.start_again().unwrap();
    sleep(Duration::from_millis(300));
    assert_eq!(notes.lock().unwrap().len(), 2, "nothing is taken while it is paused");
    assert!(handle.resume("plant"));
    until("what waited is applied", || notes.lock().unwrap().len() == 3);

    broker.stop().unwrap();
    until("it misses its broker", || state(&handle) == ConnectionState::Degraded);
    broker.start_again().unwrap();
    until("it has it again", || state(&handle) == ConnectionState::Running);
    publish(&broker, "t-2", r#"{"id":"d"}"#);
    until("the last is applied", || notes.lock().unwrap().len() == 4);
    assert_eq!(*notes.lock().unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(handle.connections()[0].lost_sessions, 0);
    engine.stop().unwrap();
}

#[test]
fn asking_a_broker_disturbs_nobody_and_tells_why_it_is_away() {
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let notes = Arc::default();
    let engine = engine(broker.address().port(), &notes);
    let handle = engine.handle();
    until("it runs", || state(&handle) == ConnectionState::Running);
    let settings = |version| MqttSettings {
        url: format!("mqtt://{}", broker.address()),
        client_id: "twinflow-test".into(),
        version,
        topics: vec![MqttTopic {
            topic: "plant/{site}/{twin}/telemetry".into(),
            model: Some("turbines".into()),
            qos: None,
        }],
        ..MqttSettings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let versions = [MqttProtocol::V5, MqttProtocol::V311];
    let mut asking = versions.map(|version| Mqtt::from_settings(settings(version)).unwrap());
    for asked in &mut asking {
        let reached = runtime.block_on(asked.reach()).unwrap();
        assert!(reached.asked && reached.partitions.is_empty());
    }
    publish(&broker, "t-1", r#"{"id":"a"}"#);
    until("the message is applied", || notes.lock().unwrap().len() == 1);
    assert_eq!((handle.connections()[0].sessions, state(&handle)), (1, ConnectionState::Running));
    engine.stop().unwrap();
    broker.stop().unwrap();
    for asked in &mut asking {
        let error = runtime.block_on(asked.reach()).unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
    }
}
