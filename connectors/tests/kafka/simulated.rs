//! Faults that a real broker does not make on demand, with the client's own simulated cluster.

use std::time::Duration;

use rdkafka::{
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr as Response},
};
use twinflow_connectors::{
    conformance::{MODEL, Session},
    kafka::Kafka,
};

use crate::{
    place::{Far, name},
    stage::{acknowledge, dataflow, numbers, take},
};

fn put(far: &Far, topic: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        far.put(topic, Some(0), Some(b"a"), Some(number.to_string().as_bytes()), &[]);
    }
    far.flush();
}

async fn over_within(session: &Session<Kafka>, time: Duration) -> bool {
    for _look in 0..time.as_millis() / 20 {
        if session.is_over() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_leader_and_errors_of_fetches_are_the_clients_business() {
    let cluster = MockCluster::new(3).unwrap();
    let topic = name("mock");
    cluster.create_topic(&topic, 1, 3).unwrap();
    cluster.partition_leader(&topic, 0, Some(1)).unwrap();
    let far = Far::new(&cluster.bootstrap_servers());
    let brokers: Vec<_> = cluster.bootstrap_servers().split(',').map(str::to_owned).collect();
    let kafka = Kafka::brokers(brokers).topic(&topic, MODEL);
    let kafka = kafka.with(|settings| settings.commit_interval_ms = 50).connect().unwrap();
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    put(&far, &topic, 0..5);
    let mut came = numbers(&take(&dataflow, 5).await);
    cluster.partition_leader(&topic, 0, Some(2)).unwrap();
    let refused = [
        Response::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Response::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Response::RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    cluster.request_errors(RDKafkaApiKey::Fetch, &refused);
    let refused = [Response::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 2];
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &refused);
    put(&far, &topic, 5..10);
    let rows = take(&dataflow, 5).await;
    came.extend(numbers(&rows));
    assert_eq!(came, (0..10).collect::<Vec<_>>(), "once and in order");
    acknowledge(&dataflow, &rows);
    assert!(!session.is_over(), "none of it ends the session");
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_s2_a_fetch_out_of_range_reopens_the_link_without_a_repeat() {
    let cluster = MockCluster::new(1).unwrap();
    let topic = name("mock");
    cluster.create_topic(&topic, 1, 1).unwrap();
    let far = Far::new(&cluster.bootstrap_servers());
    let kafka = Kafka::brokers([cluster.bootstrap_servers()]).topic(&topic, MODEL);
    let kafka = kafka.connect().unwrap();
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    put(&far, &topic, 0..5);
    assert_eq!(numbers(&take(&dataflow, 5).await), [0, 1, 2, 3, 4]);
    // A broker says it of every fetch until the session goes; this one says it of the next one, and
    // an answer to a fetch that the client has already outdated means nothing.
    for _fetch in 0..8 {
        let refused = [Response::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE];
        cluster.request_errors(RDKafkaApiKey::Fetch, &refused);
        if over_within(&session, Duration::from_secs(3)).await {
            break;
        }
    }
    let kafka = session.broken().await;
    put(&far, &topic, 5..8);
    let session = dataflow.run(kafka);
    assert_eq!(numbers(&take(&dataflow, 3).await), [5, 6, 7], "nothing of before again");
    session.stopped().await;
}
