//! Three brokers, one of them killed under load: everything once, in order, offsets at the end.

use std::collections::HashMap;

use twinflow_connectors::{conformance::MODEL, kafka::Kafka};
use twinflow_servers as servers;

use crate::{
    place::{Far, name},
    stage::{Arrived, dataflow, numbers, take_now},
};

const RECORDS: u32 = 60_000;
const PARTITIONS: i32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_loses_nothing_and_repeats_nothing() {
    let mut nodes = servers::Kafka::start_cluster(3).unwrap();
    let brokers = nodes.bootstrap();
    let far = Far::new(&brokers);
    let (topic, group) = (name("cluster"), name("group"));
    far.make_topic(&topic, PARTITIONS, &[]).await;
    let kafka = Kafka::brokers(brokers.split(',')).topic(&topic, MODEL).with(|settings| {
        settings.group.clone_from(&group);
        settings.commit_interval_ms = 100;
    });
    let mut kafka = Some(kafka.connect().unwrap());
    let dataflow = dataflow(kafka.as_ref().unwrap());
    let mut session = dataflow.run(kafka.take().unwrap());
    let mut seen: HashMap<String, Vec<u32>> = HashMap::new();
    let mut count = 0;
    for number in 0..RECORDS {
        let key = format!("t{}", number % 97);
        far.put(&topic, None, Some(key.as_bytes()), Some(number.to_string().as_bytes()), &[]);
        if number == RECORDS / 3 {
            nodes.kill(1).unwrap();
        }
        if number % 500 == 0 {
            count += note(&mut seen, take_acknowledging(&dataflow));
            tokio::task::yield_now().await;
        }
    }
    far.flush();
    let limit = tokio::time::Instant::now() + crate::stage::PATIENCE * 2;
    while count < RECORDS {
        assert!(tokio::time::Instant::now() < limit, "{count} of {RECORDS} came");
        if session.is_over() {
            // Only all brokers at once end a session; were it so, the next one goes on.
            session = dataflow.run(session.broken().await);
        }
        count += note(&mut seen, take_acknowledging(&dataflow));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(count, RECORDS, "each once");
    for (twin, numbers) in &seen {
        assert!(numbers.is_sorted(), "{twin} in order");
    }
    nodes.start_node(1).unwrap();
    let total = || far.committed(&group, &topic, PARTITIONS).into_iter().sum::<i64>();
    while total() < i64::from(RECORDS) {
        assert!(tokio::time::Instant::now() < limit, "{} are committed", total());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    session.stopped().await;
}

fn take_acknowledging(dataflow: &twinflow_connectors::conformance::Dataflow) -> Vec<Arrived> {
    let rows = take_now(&dataflow.slot);
    if let Some(last) = rows.last() {
        dataflow.acknowledge(last.receipt);
    }
    rows
}

fn note(seen: &mut HashMap<String, Vec<u32>>, rows: Vec<Arrived>) -> u32 {
    for row in &rows {
        let number = numbers(std::slice::from_ref(row))[0];
        seen.entry(row.twin.clone()).or_default().push(number);
    }
    u32::try_from(rows.len()).unwrap()
}
