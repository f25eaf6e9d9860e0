//! Every parser of this crate with what it is tried on: bytes that nobody wrote. Feature `testing`.
//!
//! A target ends in a value or an error, whatever it is given: no panic, no abort, no more memory
//! than a limit allows. `tests/fuzz/` mutates the seeds on every run of the tests; `fuzz/` gives
//! the same targets to cargo-fuzz. A file that decodes something and belongs to no target fails a
//! test (S34), so a parser of one's own comes with one.

use std::sync::Arc;

use crate::{
    answer::{StoredAnswer, reply_value},
    frame::{BufferPool, FrameBuilder, FrameView},
    message::{Format, Timestamp, model_name_error, twin_id_error},
    row::{AttributesWriter, RowHead, RowKind},
};

/// A parser and what is known to be good for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also for cargo-fuzz.
    pub name: &'static str,
    /// The files whose parsers it reaches, from the root of the repository.
    pub files: &'static [&'static str],
    /// Reads the bytes.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The targets of this crate in this build.
pub fn targets() -> Vec<Target> {
    let all = vec![
        Target {
            name: "stored_answer",
            files: &["connectors/src/answer.rs"],
            run: stored_answer,
            seeds: || vec![StoredAnswer::rejected(7, 3, "why").encode(), answer().encode()],
        },
        Target {
            name: "rows",
            files: &["connectors/src/row.rs", "connectors/src/frame.rs"],
            run: rows,
            seeds: || vec![frame(1), frame(3)],
        },
        Target {
            name: "names",
            files: &["connectors/src/message.rs"],
            run: names,
            seeds: || vec![b"site-1/pump 7".to_vec(), "\u{e9}\u{85}".into(), vec![b'x'; 257]],
        },
    ];
    #[cfg(any(feature = "kafka", feature = "mqtt"))]
    let all = [all, crate::pointer::fuzz_targets()].concat();
    #[cfg(feature = "rest")]
    let all = [all, crate::rest::fuzz_targets()].concat();
    #[cfg(feature = "mqtt")]
    let all = [all, crate::mqtt::TARGETS.to_vec()].concat();
    all
}

/// Text, where a target takes text, and what follows its first line.
#[cfg(any(feature = "kafka", feature = "mqtt", feature = "rest"))]
pub(crate) fn two_texts(bytes: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(bytes).ok()?.split_once('\n')
}

fn answer() -> StoredAnswer {
    let mut answer = StoredAnswer { merged: true, ..StoredAnswer::applied(9) };
    [&b"brake"[..], b"{\"level\":2}", b"\xff\0"].iter().for_each(|it| answer.push_reply(it));
    answer
}

fn stored_answer(bytes: &[u8]) {
    if let Ok(answer) = StoredAnswer::decode(bytes) {
        assert!(StoredAnswer::decode(&answer.encode()).is_ok(), "what was read can be written");
    }
    let _shown = reply_value(bytes);
}

/// A frame: bytes of its directory u32, directory, body.
fn frame(rows: usize) -> Vec<u8> {
    let mut builder = FrameBuilder::new(0, &Arc::new(BufferPool::default()));
    let mut attributes = AttributesWriter::default();
    attributes.header("k", b"v");
    attributes.message_id(b"id");
    attributes.name("site", "7");
    for row in 0..rows as u64 {
        let head = RowHead {
            received_at: Timestamp(row),
            position: row,
            origin: 1,
            model: 2,
            kind: RowKind::Message,
            format: Format::Json,
        };
        builder.push(row, &head, "twin-1", attributes.bytes(), &[b'x'; 40]);
    }
    let frame = builder.finish();
    let length = frame.directory.len() as u32;
    [&length.to_le_bytes()[..], &frame.directory, &frame.body].concat()
}

fn rows(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return };
    let Some((directory, body)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    else {
        return;
    };
    let view = FrameView::new(directory, body);
    if !view.is_sound() {
        return;
    }
    for row in (0..view.rows()).map(|index| view.row(index)) {
        let attributes = row.attributes();
        let _seen = (row.id().len(), row.payload().len(), row.kind(), row.format());
        let _told = (attributes.message_id(), attributes.source_time(), attributes.dead_letter());
        let _all = attributes.headers().count() + attributes.names().count();
    }
}

fn names(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let is_good = twin_id_error(text).is_none();
        assert!(!is_good || !text.chars().any(char::is_control), "{text:?}");
        let _model = model_name_error(text);
    }
}
