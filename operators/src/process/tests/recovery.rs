use super::{
    super::ModelSettings,
    bench::{Bench, Note, told},
};
use crate::{
    model::RawState,
    store::{EntryKind, EpochPart},
};

#[test]
fn law_d9_what_was_written_is_what_the_next_start_has() {
    let mut bench = Bench::new(Note::<true> { greeting: None });
    bench.epoch(&[told("a"), told("b")]);
    let mut bench =
        Bench::with(Note::<true> { greeting: None }, ModelSettings::default(), bench.written());
    assert_eq!(bench.words().as_deref(), Some("new a b"));
    bench.epoch(&[told("fail")]);
    assert_eq!(bench.words().as_deref(), Some("new a b"));
}

#[test]
fn law_p8_a_migrated_twin_rolls_back_to_its_migrated_form() {
    let mut stored = 1u32.to_le_bytes().to_vec();
    stored.extend(rmp_serde::to_vec_named("an old text").unwrap());
    let mut written = EpochPart::default();
    let hash = twinflow_connectors::route::twin_hash(b"t");
    let bucket = twinflow_connectors::route::bucket(hash);
    written.put(EntryKind::State, bucket, 0, b"t", &stored);
    let note = Note::<true> { greeting: None };
    let mut bench = Bench::with(note, ModelSettings::default(), written);
    assert_eq!(bench.words().as_deref(), Some("an old text"));
    bench.epoch(&[told("fail")]);
    assert_eq!(bench.words().as_deref(), Some("an old text"));
}

#[test]
fn case_13_a_state_whose_field_has_another_type_is_refused_by_the_name_of_the_field() {
    #[derive(serde::Deserialize, Debug)]
    struct Inner {
        _depth: u8,
    }
    #[derive(serde::Deserialize, Debug)]
    struct Outer {
        _inner: Vec<Inner>,
    }
    let stored = serde_json::json!({ "_inner": [{ "_depth": 1 }, { "_depth": "deep" }] });
    let stored = rmp_serde::to_vec_named(&stored).unwrap();
    let error = RawState::new(&stored).deserialize::<Outer>().unwrap_err().to_string();
    assert!(error.starts_with("field \"_inner[1]._depth\": "), "{error}");
}
