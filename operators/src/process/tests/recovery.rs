use super::{
    super::ModelSettings,
    bench::{Bench, Note, told},
};
use crate::store::{EntryKind, EpochPart};

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
