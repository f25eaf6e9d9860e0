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
