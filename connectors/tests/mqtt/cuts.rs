//! Connections that break: in the middle of a message, silently, with nonsense; and what the broker
//! and the connector make of it (behaviour.md, case 19).

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use twinflow_connectors::{
    Connector,
    conformance::{Dataflow, Upstream},
    mqtt::MqttProtocol,
};

use crate::{relay::Trick, suite::Plant};

const PROTOCOLS: [MqttProtocol; 2] = [MqttProtocol::V5, MqttProtocol::V311];

fn numbers(range: std::ops::Range<usize>) -> Vec<(String, Vec<u8>)> {
    range.map(|number| ("t".to_owned(), number.to_string().into_bytes())).collect()
}

fn payloads(rows: &[twinflow_connectors::conformance::SeenRow]) -> Vec<usize> {
    rows.iter().map(|row| String::from_utf8_lossy(&row.payload).parse().unwrap()).collect()
}

async fn comes_again_after_a_cut(plant: &mut Plant) {
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.send(numbers(1..4)).await;
    let first = dataflow.take("three come", 3).await;
    dataflow.acknowledge(first.last().unwrap().receipt);
    plant.until_acknowledged(3).await;
    plant.send(numbers(4..11)).await;
    let rest = dataflow.take("seven come", 7).await;
    assert_eq!(payloads(&rest), (4..11).collect::<Vec<_>>());
    // The eleventh is cut in two, with seven unacknowledged before it.
    plant.relay.trick(Trick::CutInMessage);
    plant.send(numbers(11..12)).await;
    let session = dataflow.run(session.broken().await);
    let again = dataflow.take("exactly those come again", 8).await;
    assert_eq!(payloads(&again), (4..12).collect::<Vec<_>>());

    // The receipts of before the cut are committed only now: they acknowledge nothing.
    dataflow.acknowledge(rest.last().unwrap().receipt);
    plant.settle().await;
    assert_eq!(plant.relay.acknowledged(), 3, "an old receipt acknowledged something");
    dataflow.acknowledge(again[2].receipt);
    dataflow.acknowledge(again.last().unwrap().receipt);
    plant.until_acknowledged(11).await;
    plant.settle().await;
    assert_eq!(plant.relay.acknowledged(), 11);
    assert_eq!(dataflow.take_now(), []);
    session.stopped().await;
}

#[tokio::test]
async fn exactly_what_was_not_acknowledged_comes_again() {
    for protocol in PROTOCOLS {
        comes_again_after_a_cut(&mut Plant::mosquitto(protocol, 1000).await).await;
    }
}

#[tokio::test]
async fn many_cuts_lose_nothing_and_go_on_behind_what_was_acknowledged() {
    for protocol in PROTOCOLS {
        let mut plant = Plant::mosquitto(protocol, 20).await;
        let mut connector = plant.connector();
        let dataflow = Dataflow::new(connector.info(), plant.patience());
        // What the broker has for certain, and what may have been lost on its way to it.
        let (mut certain, mut asked) = (0, 0);
        for round in 0..9 {
            plant.send(numbers(round * 20..(round + 1) * 20)).await;
            let session = dataflow.run(connector);
            let mut rows = Vec::new();
            while rows.len() < 15 {
                rows.extend(dataflow.take("more come", 1).await);
            }
            rows.retain(|row| row.twin == "t");
            let seen = payloads(&rows);
            assert!((certain..=asked).contains(&seen[0]), "{seen:?}, {certain} to {asked}");
            assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order: {seen:?}");
            if round % 2 == 0 {
                dataflow.acknowledge(rows[7].receipt);
                let receipt = rows[7].receipt;
                asked = seen[0] + rows.iter().filter(|row| row.receipt <= receipt).count();
                plant.settle().await;
                certain = asked;
                plant.relay.cut();
            } else {
                // The acknowledgements may or may not reach the broker before the end.
                plant.relay.trick(Trick::CutInMessage);
                dataflow.acknowledge(rows.last().unwrap().receipt);
                plant.send(vec![("other".to_owned(), b"0".to_vec())]).await;
                (certain, asked) = (seen[0], seen[0] + rows.len());
            }
            connector = session.broken().await;
            drop(dataflow.take_now());
        }
    }
}

#[tokio::test]
async fn nonsense_ends_the_session_and_loses_nothing() {
    for protocol in PROTOCOLS {
        let mut plant = Plant::mosquitto(protocol, 1000).await;
        let connector = plant.connector();
        let dataflow = Dataflow::new(connector.info(), plant.patience());
        let session = dataflow.run(connector);
        plant.send(numbers(0..3)).await;
        dataflow.take("three come", 3).await;
        plant.relay.trick(Trick::Garble);
        plant.send(numbers(3..4)).await;
        let session = dataflow.run(session.broken().await);
        let again = dataflow.take("all come again", 4).await;
        assert_eq!(payloads(&again), [0, 1, 2, 3]);
        session.stopped().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_dead_and_does_not_say_so_is_noticed() {
    for protocol in PROTOCOLS {
        let mut plant = Plant::mosquitto(protocol, 1000).await;
        let connector = plant.connector();
        let dataflow = Dataflow::new(connector.info(), Duration::from_secs(30));
        let session = dataflow.run(connector);
        plant.send(numbers(0..1)).await;
        dataflow.take("it is connected", 1).await;
        plant.relay.freeze(true);
        let started = Instant::now();
        let connector = session.broken().await;
        // Twice the keep-alive of five seconds, and the time of one more sign of life.
        assert!(started.elapsed() < Duration::from_secs(17), "{:?}", started.elapsed());
        plant.relay.cut();
        plant.relay.freeze(false);
        let session = dataflow.run(connector);
        dataflow.take("it comes again", 1).await;
        session.stopped().await;
    }
}

#[tokio::test]
async fn a_slow_network_changes_nothing() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 20).await;
    plant.relay.delay(Duration::from_millis(30));
    let connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    let session = dataflow.run(connector);
    plant.send(numbers(0..100)).await;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let rows = dataflow.take("all come", 1).await;
        dataflow.acknowledge(rows.last().unwrap().receipt);
        seen.extend(payloads(&rows));
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    plant.until_acknowledged(100).await;
    session.stopped().await;
}

#[tokio::test]
async fn a_second_client_of_our_id_is_named_as_the_cause_in_the_end() {
    let mut plant = Plant::mosquitto(MqttProtocol::V5, 1000).await;
    let mut connector = plant.connector();
    let dataflow = Dataflow::new(connector.info(), plant.patience());
    // This Mosquitto closes the older connection without saying why.
    for round in 1..=10 {
        let session = dataflow.run(connector);
        plant.until_subscribed(round).await;
        plant.outside.take_over("twinflow-plant").await;
        let (back, result) = session.ended("it is thrown out").await;
        let error = result.unwrap_err();
        assert_eq!(error.is_retryable(), round < 10, "{error}");
        assert_eq!(error.to_string().contains("give each its own"), round == 10, "{error}");
        connector = back;
    }
}

#[tokio::test]
async fn a_session_that_the_broker_forgot_is_said_and_made_anew() {
    for protocol in PROTOCOLS {
        let mut plant = Plant::mosquitto(protocol, 1000).await;
        let connector = plant.connector();
        let dataflow = Dataflow::new(connector.info(), plant.patience());
        let session = dataflow.run(connector);
        plant.send(numbers(0..1)).await;
        dataflow.take("it is connected", 1).await;
        plant.until_subscribed(1).await;
        assert_eq!(dataflow.slot.report.lost_sessions(), 0);
        plant.relay.set_reachable(false);
        plant.relay.cut();
        let connector = session.broken().await;
        plant.outside.forget("twinflow-plant").await;
        plant.relay.set_reachable(true);
        let session = dataflow.run(connector);
        timeout(plant.patience(), async {
            while dataflow.slot.report.lost_sessions() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        let note = dataflow.slot.report.note().unwrap();
        assert!(note.contains("messages may be missing"), "{note}");
        plant.until_subscribed(2).await;
        plant.send(numbers(7..8)).await;
        let rows = dataflow.take("it has subscribed again", 1).await;
        assert_eq!(payloads(&rows), [7]);
        session.stopped().await;
    }
}
