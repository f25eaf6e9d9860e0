//! What a record becomes: twin, attributes, or a dead letter with its reason (law S7, case 17).

use twinflow_connectors::{
    conformance::MODEL,
    kafka::{KafkaDedupe, KafkaIdPlace, KafkaTwinId},
    link::{CAUSE, FeedbackId, LinkRow, OutboxEntry},
    message::Timestamp,
    row::RowKind,
};

use crate::{
    place::{header, name},
    stage::{Stage, acknowledge, dataflow, take},
};

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_times_travel_and_what_has_no_id_is_undeliverable() {
    let stage = Stage::new(1).await;
    let kafka = stage.kafka(|_| {});
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    let put = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]| {
        stage.far.put(&stage.topic, Some(0), key, value, headers);
    };
    put(Some(b"p-1"), Some(b"{}"), &[("trace", b"\x00\xff"), ("trace", b"2"), ("", b"")]);
    put(None, Some(b"no key"), &[]);
    put(Some(b"p-1"), None, &[]);
    put(Some(b"\xff\xfe"), Some(b"key is bytes"), &[]);
    put(Some(b""), Some(b"empty key"), &[]);
    put(Some(b"a\nb"), Some(b"control"), &[]);
    put(Some(b"p-1"), Some(&vec![b'x'; 900 << 10]), &[]);
    let many = [("h", b"v".as_slice()); 65];
    put(Some(b"p-1"), Some(b"too many headers"), &many);
    put(Some(b"p-2"), Some(b"last"), &[]);
    stage.far.flush();

    let rows = take(&dataflow, 9).await;
    let first = &rows[0];
    assert_eq!((first.kind, &*first.twin), (RowKind::Message, "p-1"));
    let headers: Vec<_> = first.headers.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(headers, [("trace", &b"\x00\xff"[..]), ("trace", b"2"), ("", b"")]);
    assert!(first.time.unwrap() > 1_600_000_000_000, "the record's time, in milliseconds");
    let reasons: Vec<_> = rows.iter().map(|row| row.reason.as_deref().unwrap_or("-")).collect();
    let expected = [
        "-",
        "no twin id: the record has no key",
        "the record has no value (a tombstone)",
        "no twin id: the key is not UTF-8",
        "the twin id is empty",
        "the twin id has control characters",
        "-",
        "the message has 65 headers, the limit is 64",
        "-",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(rows[1].payload, b"no key", "the raw bytes are kept");
    assert_eq!(rows[6].payload.len(), 900 << 10);
    assert_eq!((&*rows[8].twin, &*rows[8].payload), ("p-2", &b"last"[..]), "the partition goes on");
    let positions: Vec<_> = rows.iter().map(|row| row.position).collect();
    assert_eq!(positions, (0..9).collect::<Vec<_>>(), "each has its position");
    acknowledge(&dataflow, &rows);
    stage.until_committed(&[9]).await;
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twin_ids_and_ids_of_messages_come_from_headers_and_payloads() {
    let stage = Stage::new(1).await;
    let by_header = stage.kafka(|settings| {
        let name = Some("device".into());
        settings.twin_id = KafkaTwinId { from: KafkaIdPlace::Header, name, pointer: None };
        let json = Some("/n".into());
        settings.dedupe = Some(KafkaDedupe { json, ..KafkaDedupe::default() });
    });
    let by_json = stage.kafka(|settings| {
        let pointer = Some("/device/id".into());
        settings.twin_id = KafkaTwinId { from: KafkaIdPlace::Json, name: None, pointer };
        let header = Some("id".into());
        settings.dedupe = Some(KafkaDedupe { header, ..KafkaDedupe::default() });
    });
    let json = br#"{"device":{"id":"j-1"},"n":17}"#;
    stage.far.put(&stage.topic, None, None, Some(json), &[("device", b"h-1"), ("id", b"x9")]);
    stage.far.put(&stage.topic, None, None, Some(b"[broken"), &[]);
    stage.far.flush();
    let cases = [
        (by_header, "h-1", &b"17"[..], "no twin id: there is no header \"device\""),
        (by_json, "j-1", b"x9", "no twin id: the payload is no JSON"),
    ];
    for (kafka, twin, id, reason) in cases {
        let dataflow = dataflow(&kafka);
        assert_eq!(dataflow.slot.place.dedupe_keep_secs, Some(86_400));
        let session = dataflow.run(kafka);
        let rows = take(&dataflow, 2).await;
        assert_eq!((&*rows[0].twin, rows[0].id.as_deref()), (twin, Some(id)));
        let said = rows[1].reason.as_deref().unwrap();
        assert!(said.starts_with(reason), "{said}");
        session.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_names_its_twin_its_id_and_its_cause_and_arrives_unchanged() {
    let stage = Stage::new(1).await;
    let commands = name("commands");
    stage.far.make_topic(&format!("{commands}.{MODEL}"), 2, &[]).await;
    let kafka = stage.kafka(|settings| {
        let topic = format!("{commands}.{{model}}");
        settings.feedback =
            Some(twinflow_connectors::kafka::KafkaFeedback { topic, ..Default::default() });
    });
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    let id = FeedbackId { generation: 3, epoch: 9, index: 1 };
    dataflow.slot.hand(LinkRow::Feedback(OutboxEntry {
        id,
        model: 0,
        twin: "K\u{fc}hler/7".into(),
        cause: None,
        names: vec![(CAUSE.into(), "readings/3/1204".into())],
        payload: b"\"brake\"\x00\xff".to_vec(),
        created_at: Timestamp(1),
    }));
    let mut reader = stage.far.reader(&format!("{commands}.{MODEL}"), 2);
    let record = reader.next().await;
    assert_eq!(rdkafka::Message::key(&record), Some("K\u{fc}hler/7".as_bytes()));
    assert_eq!(rdkafka::Message::payload(&record), Some(&b"\"brake\"\x00\xff"[..]));
    assert_eq!(header(&record, "twinflow-id").as_deref(), Some("3-9-1"));
    assert_eq!(header(&record, "twinflow-model").as_deref(), Some(MODEL));
    assert_eq!(header(&record, "twinflow-cause").as_deref(), Some("readings/3/1204"));
    dataflow.until("it is confirmed", |slot| slot.unconfirmed() == 0).await;
    session.stopped().await;
}
