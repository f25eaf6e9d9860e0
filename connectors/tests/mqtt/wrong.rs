//! Settings that cannot work, each with the sentence that its user needs.

use serde_json::{Value, json};
use twinflow_connectors::{
    ConfigurableConnector,
    error::ErrorKind,
    mqtt::{Mqtt, MqttSettings},
};

/// Settings that work, with some keys changed.
fn changed(changes: Value) -> Value {
    let mut settings = json!({
        "url": "mqtt://127.0.0.1:1883",
        "client_id": "plant",
        "topics": [{ "topic": "plant/{site}/{twin}/telemetry", "model": "pumps" }],
    });
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    settings
}

fn refused(changes: Value) -> String {
    let settings: MqttSettings = serde_json::from_value(changed(changes.clone())).unwrap();
    let Err(error) = Mqtt::from_settings(settings) else { panic!("taken: {changes}") };
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    error.to_string()
}

#[test]
fn each_mistake_is_said() {
    let topic = |topic: &str| json!({ "topics": [{ "topic": topic, "model": "pumps" }] });
    let feedback = |topic: &str| json!({ "feedback": { "topic": topic } });
    let wrong = [
        (json!({ "url": "" }), "name the broker"),
        (json!({ "url": "http://h" }), "write it like mqtt://"),
        (json!({ "url": "mqtt://h:0" }), "host and port"),
        (json!({ "url": "mqtt://h:99999" }), "host and port"),
        (json!({ "url": "mqtt://" }), "host and port"),
        (json!({ "url": "wss://h" }), "WebSocket"),
        (json!({ "client_id": "" }), "no other client"),
        (json!({ "client_id": "a\u{0}" }), "control characters"),
        (json!({ "password_file": "p" }), "without `username`"),
        (json!({ "topics": [] }), "`topics = []`"),
        (json!({ "topics": [{ "topic": "a/{twin}" }] }), "has no model"),
        (json!({ "topics": [{ "topic": "a/{twin}", "model": "a b" }] }), "no usable model"),
        (json!({ "topics": [{ "topic": "a/{model}/{twin}", "model": "m" }] }), "as well"),
        (json!({ "topics": [{ "topic": "a/{twin}", "model": "m", "qos": 3 }] }), "0, 1 or 2"),
        (json!({ "qos": 3 }), "0, 1 or 2"),
        (topic("plant/{site}/telemetry"), "has no {twin}"),
        (topic("plant/+/{twin}"), "write {name}"),
        (topic("$share/g/{twin}"), "shared subscription"),
        (json!({ "keep_alive_secs": 4 }), "at least 5"),
        (json!({ "receive_max": 0 }), "at least 1"),
        (json!({ "session_expiry_secs": 0 }), "at least 60"),
        (json!({ "packet_bytes_max": 10 }), "at least 1024"),
        (json!({ "packet_bytes_max": 300_000_000 }), "no packet over"),
        (json!({ "connect_timeout_secs": 0 }), "at least 1"),
        (json!({ "twin_id": { "from": "json" } }), "needs a `pointer`"),
        (json!({ "twin_id": { "from": "json", "pointer": "id" } }), "no JSON pointer"),
        (json!({ "twin_id": { "from": "user_property" } }), "needs its `name`"),
        (json!({ "twin_id": { "from": "topic", "name": "device" } }), "has no {device}"),
        (json!({ "twin_id": { "from": "topic", "pointer": "/a" } }), "has no pointer"),
        (json!({ "twin_id": { "from": "topic", "same_as": {} } }), "same_as: it needs one of"),
        (json!({ "twin_id": { "from": "topic", "same_as": { "json": "id" } } }), "no JSON pointer"),
        (
            json!({ "twin_id": { "from": "json", "pointer": "/a", "same_as": { "json": "/b" } } }),
            "same_as is for ids that the topic has",
        ),
        (
            json!({
                "version": "3.1.1",
                "twin_id": { "from": "topic", "same_as": { "user_property": "id" } },
            }),
            "MQTT 5 only",
        ),
        (json!({ "dedupe": {} }), "one of user_property and json"),
        (json!({ "dedupe": { "json": "id" } }), "no JSON pointer"),
        (json!({ "dedupe": { "json": "/id", "keep_secs": 0 } }), "keep_secs"),
        (feedback("plant/{twin}/{line}"), "does not capture it"),
        (feedback("plant/#"), "no topic to write may have"),
        (feedback(""), "is empty"),
        (json!({ "feedback": { "topic": "a", "in_flight_max": 0 } }), "in_flight_max"),
        (json!({ "last_will": { "topic": "a/#" } }), "no topic to write"),
        (json!({ "tls": {} }), "write mqtts://"),
        (json!({ "url": "mqtts://h", "tls": { "cert_file": "c" } }), "go together"),
        (json!({ "version": "3.1.1", "dedupe": { "user_property": "id" } }), "MQTT 5 only"),
    ];
    for (changes, says) in wrong {
        let error = refused(changes.clone());
        assert!(error.contains(says), "{changes}: {error}");
    }
}

#[test]
fn a_password_in_the_address_is_refused_and_not_repeated() {
    let error = refused(json!({ "url": "mqtt://plant:canary@h" }));
    assert!(error.contains("password_file") && !error.contains("canary"), "{error}");
}

#[test]
fn files_that_are_not_there_are_found_before_anything_starts() {
    use twinflow_connectors::Connector;
    for (changes, says) in [
        (json!({ "username": "u", "password_file": "/nowhere/p" }), "`password_file` /nowhere/p"),
        (
            json!({ "url": "mqtts://h", "tls": { "ca_file": "/nowhere/ca.pem" } }),
            "ca_file /nowhere/ca.pem",
        ),
    ] {
        let settings = serde_json::from_value(changed(changes)).unwrap();
        let error = Mqtt::from_settings(settings).unwrap().prepare().unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_is_good_is_taken() {
    for good in [
        json!({}),
        json!({ "url": "mqtt://[::1]:1883" }),
        json!({ "url": "mqtts://broker.example" }),
        json!({ "qos": 2 }),
        json!({ "topics": [{ "topic": "{model}/{twin}/{rest+}" }] }),
        json!({ "feedback": { "topic": "plant/{site}/{twin}-{model}/command" } }),
        json!({ "version": "3.1.1", "dedupe": { "json": "/id" } }),
    ] {
        let settings = serde_json::from_value(changed(good.clone())).unwrap();
        Mqtt::from_settings(settings).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}
