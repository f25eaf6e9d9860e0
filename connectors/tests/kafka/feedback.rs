//! Feedback that cannot leave: it waits, it is given up with a reason, and intake goes on.

use twinflow_connectors::{kafka::KafkaFeedback, link::Condition};

use crate::{
    place::name,
    stage::{Stage, dataflow, numbers, take, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_for_feedback_degrades_and_does_not_stop_the_intake() {
    let stage = Stage::new(1).await;
    let commands = name("commands");
    let kafka = stage.kafka(|settings| {
        settings.feedback =
            Some(KafkaFeedback { topic: commands.clone(), ..KafkaFeedback::default() });
        let quick = [("topic.metadata.propagation.max.ms", "500")];
        settings.client_options = quick.map(|(key, value)| (key.into(), value.into())).into();
    });
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    for index in 0..3 {
        dataflow.hand(index, Vec::new(), format!("{index}").as_bytes());
    }
    let degraded = |now: &Condition| matches!(now, Condition::Degraded(_));
    let text = until(&dataflow, "feedback cannot leave", degraded).await;
    assert!(text.starts_with("feedback cannot be delivered: "), "{text}");
    stage.put(0, "a", 0..2);
    assert_eq!(numbers(&take(&dataflow, 2).await), [0, 1], "intake goes on");
    assert_eq!(dataflow.slot.unconfirmed(), 3);

    stage.far.make_topic(&commands, 1, &[]).await;
    let mut reader = stage.far.reader(&commands, 1);
    for index in 0..3 {
        let record = reader.next().await;
        let payload = rdkafka::Message::payload(&record).unwrap();
        assert_eq!(payload, format!("{index}").as_bytes(), "in order");
    }
    dataflow.until("all are confirmed", |slot| slot.unconfirmed() == 0).await;
    until(&dataflow, "all is well", |now| *now == Condition::Running).await;
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_that_nobody_will_ever_take_is_given_up_with_the_reason() {
    let stage = Stage::new(1).await;
    let commands = name("commands");
    stage.far.make_topic(&commands, 1, &[("max.message.bytes", "2000")]).await;
    let none = stage.kafka(|_| {});
    let small = stage.kafka(|settings| {
        let topic = commands.clone();
        let compression = "none".into();
        settings.feedback = Some(KafkaFeedback { topic, compression, ..KafkaFeedback::default() });
    });
    let cases = [
        (none, "its connection has no topic for feedback"),
        (small, "the brokers refuse it: it is larger than they allow"),
    ];
    for (kafka, why) in cases {
        let dataflow = dataflow(&kafka);
        let session = dataflow.run(kafka);
        dataflow.hand(0, Vec::new(), &[b'x'; 9000]);
        dataflow.until("it is given up", |slot| slot.unconfirmed() == 0).await;
        let given_up = dataflow.slot.take_confirmations().given_up;
        assert_eq!(given_up.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [why]);
        assert!(!session.is_over());
        session.stopped().await;
    }
}
