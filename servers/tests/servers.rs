//! Each server starts, answers, and comes back after it was killed and after it was stopped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{SocketAddr, TcpStream};

use twinflow_servers::{Artemis, Kafka, Mosquitto, MqttBroker, Options};

fn answers(address: &str) -> bool {
    TcpStream::connect(address.parse::<SocketAddr>().unwrap()).is_ok()
}

#[test]
fn kafka_with_three_nodes_comes_back_node_by_node() {
    let mut kafka = Kafka::start_cluster(3).unwrap();
    assert!(kafka.ca_file().is_file());
    let (plain, sasl) = (kafka.bootstrap(), kafka.sasl_bootstrap());
    let nodes: Vec<_> = plain.split(',').collect();
    assert_eq!((nodes.len(), sasl.split(',').count()), (3, 3));
    assert!(plain.split(',').chain(sasl.split(',')).all(answers));
    kafka.kill(1).unwrap();
    assert!(!answers(nodes[1]) && answers(nodes[0]) && answers(nodes[2]));
    kafka.start_node(1).unwrap();
    assert!(answers(nodes[1]));
    assert!(kafka.start_node(1).is_err(), "it runs");
    drop(kafka);
    assert!(!nodes.iter().any(|node| answers(node)), "they end with their value");
}

#[test]
fn kafka_alone_comes_back_after_a_stop() {
    let mut kafka = Kafka::start().unwrap();
    kafka.stop(0).unwrap();
    assert!(!answers(&kafka.bootstrap()));
    kafka.start_node(0).unwrap();
    assert!(answers(&kafka.bootstrap()) && answers(&kafka.sasl_bootstrap()));
}

#[test]
fn mosquitto_comes_back_at_its_address() {
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let (plain, tls) = (broker.address().to_string(), broker.tls_address().to_string());
    for end in [MqttBroker::kill, MqttBroker::stop] {
        assert!(answers(&plain) && answers(&tls));
        end(&mut broker).unwrap();
        assert!(!answers(&plain));
        broker.start_again().unwrap();
    }
    assert!(broker.certificates().join("client.key").is_file());
    drop(broker);
    assert!(!answers(&plain), "it ends with its value");
}

#[test]
fn artemis_comes_back_at_its_address() {
    let mut broker = Artemis::start().unwrap();
    let (plain, tls) = (broker.address().to_string(), broker.tls_address().to_string());
    assert!(answers(&plain) && answers(&tls));
    broker.kill().unwrap();
    assert!(!answers(&plain));
    broker.start_again().unwrap();
    assert!(answers(&plain));
    broker.stop().unwrap();
    assert!(!answers(&plain));
}
