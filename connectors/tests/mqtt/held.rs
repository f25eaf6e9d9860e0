//! The dataflow holds everything back, or is slow: nothing is acknowledged, nobody is thrown out,
//! commands leave (laws F5 and D1; behaviour.md, case 20).

use std::time::Duration;

use tokio::time::{Instant, sleep};
use twinflow_connectors::{
    Connector,
    conformance::{Dataflow, Upstream},
    mqtt::MqttProtocol,
};

use crate::suite::Plant;

const PROTOCOLS: [MqttProtocol; 2] = [MqttProtocol::V5, MqttProtocol::V311];

fn messages(count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|number| (format!("t{}", number % 7), number.to_string().into())).collect()
}

/// Nothing is committed for a time; the window stands full all the while.
async fn hold(protocol: MqttProtocol, window: u32, held: Duration) {
    let mut plant = Plant::mosquitto(protocol, window).await;
    plant.settings.receive_max = window as u16;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    let count = window as usize * 3;
    plant.send(messages(count)).await;
    let mut rows = dataflow.take("the window fills", window as usize).await;
    let before = plant.relay.connects();
    let end = Instant::now() + held;
    let mut index = 0;
    while Instant::now() < end {
        dataflow.hand(index, plant.names(), format!("command {index}").as_bytes());
        let command = plant.next_feedback().await;
        assert_eq!(command.payload, format!("command {index}").into_bytes());
        index += 1;
        sleep(held / 20).await;
        assert_eq!(plant.relay.acknowledged(), 0, "nothing is committed");
        assert_eq!(plant.relay.passed(), u64::from(window), "the window is full");
        assert!(!session.is_over());
    }
    assert_eq!(plant.relay.connects(), before, "the session stays up");
    dataflow.until("commands are confirmed", |slot| slot.unconfirmed() == 0).await;
    while rows.len() < count {
        dataflow.acknowledge(rows.last().unwrap().receipt);
        rows.extend(dataflow.take("the window turns", 1).await);
    }
    dataflow.acknowledge(rows.last().unwrap().receipt);
    plant.until_acknowledged(count as u64).await;
    session.stopped().await;
}

#[tokio::test]
async fn a_held_commit_moves_no_acknowledgement() {
    // Three times the keep-alive of five seconds: a client that did not live would be thrown out.
    for protocol in PROTOCOLS {
        hold(protocol, 20, Duration::from_secs(15)).await;
    }
}

#[tokio::test]
#[ignore = "three minutes: the same for 90 seconds"]
async fn a_commit_held_for_ninety_seconds_moves_no_acknowledgement() {
    for protocol in PROTOCOLS {
        hold(protocol, 1000, Duration::from_secs(90)).await;
    }
}

/// Each delivery takes its time; the window turns as fast as it is acknowledged.
async fn slow(protocol: MqttProtocol, window: u32, count: usize) {
    let mut plant = Plant::mosquitto(protocol, window).await;
    plant.settings.receive_max = window as u16;
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.send(messages(count)).await;
    let (mut came, mut commands, mut longest) = (0, 0, Duration::ZERO);
    while came < count {
        let waits = Instant::now();
        let rows = dataflow.take("no stall", 1).await;
        longest = longest.max(waits.elapsed());
        came += rows.len();
        sleep(Duration::from_millis(20)).await;
        if came / 100 > commands {
            dataflow.hand(commands as u32, plant.names(), b"go");
            assert_eq!(plant.next_feedback().await.payload, b"go");
            commands = came / 100;
        }
        dataflow.acknowledge(rows.last().unwrap().receipt);
    }
    plant.until_acknowledged(count as u64).await;
    // A stall would last until a sign of life, which is five seconds.
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    session.stopped().await;
}

#[tokio::test]
async fn a_slow_dataflow_stalls_nothing_with_a_window_of_20() {
    for protocol in PROTOCOLS {
        slow(protocol, 20, 1000).await;
    }
}

#[tokio::test]
async fn a_slow_dataflow_stalls_nothing_with_a_window_of_1000() {
    for protocol in PROTOCOLS {
        slow(protocol, 1000, 10_000).await;
    }
}
