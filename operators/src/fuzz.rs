//! Every parser of this crate with what it is tried on, as `twinflow_connectors::fuzz` describes it
//! (feature `testing`).

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use serde::{Deserialize, Serialize};
pub use twinflow_connectors::fuzz::Target;
use twinflow_connectors::{
    link::{FeedbackId, OutboxEntry, Position},
    message::{Format, Timestamp},
    route::{bucket, owner, twin_hash},
    row::Attributes,
};

use crate::{
    context::ProcessingContext,
    dead_letter::{DeadLetter, DeadLetterKind, read_dead_letter},
    message::{MessageInfo, Messages, RawMessage},
    model::{MessageProcessor, Outcome, ProcessingResult, TwinModel},
    models::Models,
    process::{
        ids::{self, Handled},
        load::decode_stored,
        routes::Route,
    },
    quarantine::{Quarantined, put_quarantined},
    recover::{
        Recovered, put_position_set, put_stored_feedback, put_stored_head, put_stored_id,
        put_stored_letter, put_stored_position,
    },
    store::{EntryKind, EpochPart, Piece, entries},
};

/// The targets of this crate.
pub fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "entries",
            files: &[
                "operators/src/store.rs",
                "operators/src/recover.rs",
                "operators/src/recover/ledger.rs",
                "operators/src/recover/newest.rs",
                "operators/src/recover/visit.rs",
                "operators/src/process/model_worker.rs",
            ],
            run: frame_body,
            seeds: || vec![body()],
        },
        Target {
            name: "dead_letter",
            files: &["operators/src/dead_letter.rs"],
            run: |bytes| drop(read_dead_letter(bytes)),
            seeds: || vec![letter().stored()],
        },
        Target {
            name: "message_id",
            files: &["operators/src/process/ids.rs"],
            run: message_id,
            seeds: || vec![ids::id_key("site-1/7", 3, b"id-of-a-message")],
        },
        Target {
            name: "route",
            files: &["operators/src/process/routes.rs"],
            run: |bytes| {
                let Some(route) = Route::decode(bytes) else { return };
                assert_eq!(Route::decode(&route.encode()).map(|it| it.names), Some(route.names));
            },
            seeds: || vec![route().encode()],
        },
        Target {
            name: "stored_state",
            files: &["operators/src/process/load.rs", "operators/src/model.rs"],
            run: |bytes| drop(decode_stored::<Pump>(bytes)),
            seeds: || vec![state()],
        },
        Target {
            name: "json_message",
            files: &["operators/src/message.rs"],
            run: json_message,
            seeds: || {
                let pump = serde_json::to_vec(&pump()).expect("a pump is JSON");
                vec![pump, b"{\"name\":\"a\",\"more\":[{\"x\":[[1,2],{}]},null,true]}".to_vec()]
            },
        },
    ]
}

/// A state with everything that grows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Pump {
    name: String,
    counts: Vec<u64>,
    by_name: BTreeMap<String, f64>,
    last: Option<Box<Pump>>,
    pair: (i8, bool),
}

impl TwinModel for Pump {
    const STATE_VERSION: u32 = 3;
    type Message<'m> = Pump;
}

struct Pumps;

impl MessageProcessor for Pumps {
    type Model = Pump;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        _: &mut Pump,
        _: Messages<'_, Pump>,
    ) -> ProcessingResult {
        Ok(Outcome::NoUpdate)
    }
}

fn pump() -> Pump {
    let last = Some(Box::new(Pump { name: "old".into(), ..Pump::default() }));
    let by_name = [("a".to_owned(), 0.5)].into();
    Pump { name: "p".into(), counts: vec![1, 300, u64::MAX], by_name, last, pair: (-1, true) }
}

fn state() -> Vec<u8> {
    let state = rmp_serde::to_vec_named(&pump()).expect("a pump can be stored");
    [&Pump::STATE_VERSION.to_le_bytes()[..], &state].concat()
}

fn route() -> Route {
    Route { connection: 2, names: vec![("site".into(), "7".into()), ("line".into(), "b".into())] }
}

fn letter() -> DeadLetter {
    DeadLetter {
        number: 7,
        kind: DeadLetterKind::Failed,
        model: Some("pumps".into()),
        twin: Some("a".into()),
        connection: "web".into(),
        partition: Some(("t".into(), 1)),
        position: Some(9),
        reason: "why".into(),
        attempts: 1,
        at: Timestamp(5),
        epoch: 3,
        payload_bytes: 2,
    }
}

/// The body of a frame with every kind of entry.
fn body() -> Vec<u8> {
    let mut part = EpochPart::default();
    let (twin, of_twin) = (b"site-1/7", bucket(twin_hash(b"site-1/7")));
    let names = |name: &str| vec![(0, name.to_owned())];
    put_stored_head(&mut part, names("pumps"), names("web"), (Timestamp(9), 7));
    part.put(EntryKind::State, of_twin, 0, twin, &state());
    part.put(EntryKind::Route, of_twin, 0, twin, &route().encode());
    part.put(EntryKind::Removal, bucket(twin_hash(b"b")), 0, b"b", &[]);
    let handled = rmp_serde::to_vec(&Handled {
        forget_at: Timestamp(99),
        body_hash: 1,
        answer: b"{\"epoch\":1}".to_vec(),
    });
    let handled = handled.expect("an answer can be stored");
    put_stored_id(&mut part, 0, &ids::id_key("site-1/7", 0, b"id"), &handled);
    put_stored_position(&mut part, 0, &Position { topic: "t".into(), partition: 1, next: 7 });
    put_position_set(&mut part, 0, ("t", 2), Some(9));
    let feedback = OutboxEntry {
        id: FeedbackId { generation: 1, epoch: 2, index: 0 },
        model: 0,
        twin: "site-1/7".into(),
        cause: None,
        names: vec![("site".into(), "1".into())],
        payload: b"brake".to_vec(),
        created_at: Timestamp(4),
    };
    put_stored_feedback(&mut part, 0, &feedback);
    put_stored_letter(&mut part, &letter(), b"{}");
    let quarantined = Quarantined {
        model: "pumps".into(),
        twin: "b".into(),
        reason: "SIGABRT".into(),
        connection: "web".into(),
        position: Some(("t".into(), 1, 3)),
        at: Timestamp(6),
    };
    put_quarantined(&mut part, 0, &quarantined);
    part.into_buffer()
}

/// As a start reads it, and as the verbs of `twinflow state` look at it.
fn frame_body(bytes: &[u8]) {
    const SHARDS: usize = 2;
    let mut piece = Piece { bytes: bytes.to_vec(), ..Piece::default() };
    // Whole entries before damaged ones are as much of an input as those before the end.
    let whole = entries(bytes).map_while(|entry| entry);
    let (mut end, mut count) = (0, 0);
    for entry in whole {
        if entry.kind.is_of_twin() && owner(entry.bucket, SHARDS) >= SHARDS {
            break;
        }
        end += bytes_of(&entry);
        count += 1;
    }
    piece.places.clear(SHARDS);
    let all = piece.places.add(bytes, 0..end, count, |_| Some(()));
    assert!(all, "what was counted is there");
    let read = Recovered::read(SHARDS, Arc::default(), |_, each| {
        each(&piece);
        Ok::<_, Infallible>(())
    });
    let Ok(recovered) = read;
    look(&recovered);
}

fn bytes_of(entry: &crate::store::Entry<'_>) -> usize {
    let mut part = EpochPart::default();
    part.put(entry.kind, entry.bucket.min(4096), entry.space, entry.key, entry.value);
    part.bytes().len()
}

fn look(recovered: &Recovered) {
    let models = Models::new().with("pumps", Pumps);
    let _loads = recovered.try_load(&models).is_ok();
    let _damage = recovered.damage().is_some();
    let mut part = EpochPart::default();
    let _of_model = recovered.put_model_gone(0, &mut part);
    let _of_connection = recovered.put_connection_gone(0, &mut part);
    let _all = (recovered.all_positions(), recovered.all_feedback().count());
}

fn message_id(bytes: &[u8]) {
    let twin = ids::twin_of_key(bytes);
    assert!(twin.is_none_or(|twin| twin.len() + 2 <= bytes.len()));
    assert!(ids::scope_of_key(bytes).is_none() || twin.is_some());
    let mut part = EpochPart::default();
    if bytes.len() <= usize::from(u16::MAX) {
        ids::put_gone_id(&mut part, 1, bytes);
    }
    let _stored = put_stored_id(&mut part, 1, &ids::id_key("a", 1, b"i"), bytes);
}

fn json_message(bytes: &[u8]) {
    let info = MessageInfo::new("web", Timestamp(1), Format::Json, Attributes::new(&[]));
    let raw = RawMessage { payload: bytes, info };
    let _typed = raw.deserialize::<Pump>().is_ok();
    let _any = raw.deserialize::<serde_json::Value>().is_ok();
}
