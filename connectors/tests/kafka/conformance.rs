//! The suite that every connector passes, against a real broker behind a proxy.

use std::time::Duration;

use twinflow_connectors::{
    conformance::{self, MODEL, ReceivedFeedback, Sent, Upstream},
    kafka::{Kafka, KafkaSasl, Secret},
};

use twinflow_servers::{ALICE, Proxy};

use crate::{
    place::{Far, Reader, header, name},
    server,
};

const PARTITIONS: i32 = 3;

const WRONG: &str = "wr0ng-canary-31";

struct Broker {
    far: Far,
    proxy: &'static Proxy,
    sasl: String,
    topic: String,
    group: String,
    feedback: String,
    arrivals: Option<Reader>,
}

impl Broker {
    async fn start(proxy: &'static Proxy) -> Self {
        let node = server::shared();
        let far = Far::new(&node.bootstrap());
        let (topic, feedback) = (name("readings"), name("commands"));
        far.make_topic(&topic, PARTITIONS, &[]).await;
        far.make_topic(&feedback, 1, &[]).await;
        let group = name("group");
        let sasl = node.sasl_plaintext_bootstrap();
        Self { far, proxy, sasl, topic, group, feedback, arrivals: None }
    }

    fn committed(&self) -> u64 {
        let committed = self.far.committed(&self.group, &self.topic, PARTITIONS);
        committed.into_iter().map(|offset| offset.max(0) as u64).sum()
    }
}

impl Upstream for Broker {
    type Connector = Kafka;

    fn connector(&mut self) -> Kafka {
        Kafka::brokers([self.proxy.address().to_string()])
            .topic(&self.topic, MODEL)
            .feedback(&self.feedback)
            .with(|settings| {
                settings.group.clone_from(&self.group);
                settings.commit_interval_ms = 50;
                settings.connect_timeout_ms = 2000;
            })
            .connect()
            .unwrap()
    }

    fn is_replayable(&self) -> bool {
        true
    }

    async fn send(&mut self, messages: Vec<Sent>) {
        for (twin, payload) in messages {
            self.far.put(&self.topic, None, Some(twin.as_bytes()), Some(&payload), &[]);
        }
        self.far.flush();
    }

    async fn cut(&mut self) {
        self.proxy.cut();
    }

    async fn set_reachable(&mut self, reachable: bool) {
        self.proxy.refuse(!reachable);
    }

    async fn acknowledged(&mut self) -> u64 {
        self.committed()
    }

    async fn until_acknowledged(&mut self, count: u64) {
        while self.committed() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn next_feedback(&mut self) -> ReceivedFeedback {
        let arrivals = self.arrivals.get_or_insert_with(|| self.far.reader(&self.feedback, 1));
        let record = arrivals.next().await;
        ReceivedFeedback {
            twin: String::from_utf8(rdkafka::Message::key(&record).unwrap().to_vec()).unwrap(),
            payload: rdkafka::Message::payload(&record).unwrap().to_vec(),
            id: header(&record, "twinflow-id"),
        }
    }

    fn wrong_credentials(&mut self) -> Option<Kafka> {
        let wrong = KafkaSasl {
            mechanism: "SCRAM-SHA-512".into(),
            username: ALICE.0.into(),
            password: Secret::new(WRONG),
        };
        let connector = Kafka::brokers([&self.sasl]).topic(&self.topic, MODEL).with(|settings| {
            settings.sasl = Some(wrong);
            // The rule with its seconds has a test of its own.
            settings.auth_give_up_secs = 1;
        });
        Some(connector.connect().unwrap())
    }

    fn secret(&self) -> Option<String> {
        Some(WRONG.into())
    }

    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_conforms() {
    let proxy = server::way();
    conformance::all(async || Broker::start(proxy).await).await;
}
