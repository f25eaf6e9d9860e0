//! What an engine reads of what it wrote itself, as targets.

use twinflow_operators::{fuzz::Target, quarantine::TwinNote};

use super::{handle::read_cursor, notes};

pub(crate) const TARGETS: [Target; 2] = [
    Target {
        name: "cursor",
        files: &["src/engine/handle.rs"],
        run: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(read_cursor(&text, 3).is_none_or(|(worker, _)| worker < 3));
        },
        seeds: || vec![b"2-4294967295".to_vec()],
    },
    Target {
        name: "careful_note",
        files: &["src/engine/notes.rs"],
        run: |bytes| drop(notes::parse(bytes)),
        seeds: || {
            let note = TwinNote {
                model: "m".into(),
                twin: "t".into(),
                connection: "web".into(),
                position: Some(("t".into(), 1, 7)),
            };
            vec![rmp_serde::to_vec(&note).expect("a note can be stored")]
        },
    },
];
