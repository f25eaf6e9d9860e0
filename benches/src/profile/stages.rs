//! The stages of a message's way, and which of them a sample was in.
//!
//! Estimate: a few comparisons of text a frame, for a million frames: a second.

use super::lines::Lines;
use super::samples::Sample;

/// A stage of the hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connector's thread.
    Edge,
    /// Deliveries into epochs and to their workers.
    Source,
    /// The worker's loop, progress and channels.
    Timely,
    /// Twins found, messages gathered, the guarded call around the function.
    Group,
    /// JSON into the message.
    Decode,
    /// What the limit does, too.
    Function,
    /// A changed state into bytes.
    Encode,
    /// What is behind the call, until the link is told.
    Commit,
    /// The threads of the log.
    Log,
    /// Nothing of these.
    Other,
}

/// The stages in the order of a message, each with its budget in nanoseconds a message.
pub(super) const BUDGETS: [(Stage, &str); 10] = [
    (Stage::Edge, "34-45"),
    (Stage::Source, "3-15, timely included"),
    (Stage::Timely, "see source"),
    (Stage::Group, "40-60"),
    (Stage::Decode, "what the limit takes"),
    (Stage::Function, "what the limit takes"),
    (Stage::Encode, "60, for stores that want states"),
    (Stage::Commit, "a part of 3-15"),
    (Stage::Log, "300-1,000 a changed state"),
    (Stage::Other, ""),
];

/// Parts of file names on a worker's thread, and their stage. The first frame from inside that fits
/// one of them decides; within a frame the first line of this list. Files of `connectors` are not
/// here: on a worker's thread they read rows for whoever asks.
const WORKER: [(&str, Stage); 23] = [
    ("/serde_json-", Stage::Decode),
    ("dec2flt", Stage::Decode),
    ("/rmp_serde-", Stage::Encode),
    ("/rmp-serde-", Stage::Encode),
    ("/rmp-", Stage::Encode),
    ("/crc32fast-", Stage::Function),
    ("benches/src/", Stage::Function),
    ("operators/src/process", Stage::Group),
    ("operators/src/message", Stage::Group),
    ("operators/src/context", Stage::Group),
    ("operators/src/model", Stage::Group),
    ("operators/src/prefetch", Stage::Group),
    ("operators/src/persist", Stage::Commit),
    ("operators/src/commit", Stage::Commit),
    ("operators/src/send", Stage::Commit),
    ("operators/src/acknowledge", Stage::Commit),
    ("operators/src/store", Stage::Commit),
    ("twinflow/src/store", Stage::Commit),
    ("operators/src/source", Stage::Source),
    ("operators/src/frame", Stage::Source),
    ("operators/src/worker", Stage::Timely),
    ("operators/src/", Stage::Source),
    ("/timely", Stage::Timely),
];

/// The stage of a sample; none for what the harness itself does.
pub(super) fn of(sample: &Sample, lines: &Lines) -> Option<Stage> {
    match &*sample.thread {
        name if name.starts_with("twinflow:log") => return Some(Stage::Log),
        "twinflow:edge" => return Some(Stage::Edge),
        name if name.starts_with("twinflow:") => return Some(Stage::Other),
        name if !name.starts_with("timely:") => return None,
        _ => {}
    }
    for frame in &sample.frames {
        let places = frame.offset.and_then(|offset| lines.get(&offset));
        for place in places.into_iter().flatten() {
            // The code that `serde` derives for a message stands in the message's own file.
            if place.file.contains("benches/src/") && place.function.contains("eserialize") {
                return Some(Stage::Decode);
            }
            let fits = |(part, _): &&(&str, Stage)| place.file.contains(part);
            if let Some((_, stage)) = WORKER.iter().find(fits) {
                return Some(*stage);
            }
        }
    }
    Some(Stage::Other)
}

#[cfg(test)]
mod tests {
    use super::super::lines::Place;
    use super::super::samples::Frame;
    use super::*;

    fn stage(thread: &str, places: &[(&str, &str)]) -> Option<Stage> {
        let place = |(function, file): &(&str, &str)| Place {
            function: (*function).into(),
            file: (*file).into(),
        };
        let lines = Lines::from([(7, places.iter().map(place).collect())]);
        let frames = vec![
            Frame { symbol: "memcpy".into(), offset: None },
            Frame { symbol: "x".into(), offset: Some(7) },
        ];
        of(&Sample { thread: thread.into(), nanos: 1, frames }, &lines)
    }

    #[test]
    fn the_innermost_file_that_is_known_decides() {
        let worker = |places: &[(&str, &str)]| stage("timely:work-0", places);
        let outer = ("step", "/x/timely-0.32.0/src/worker.rs");
        let call = ("run", "/w/operators/src/process/model_worker.rs");
        assert_eq!(worker(&[outer]), Some(Stage::Timely));
        assert_eq!(worker(&[("copy", "/rustc/core/ptr.rs"), call, outer]), Some(Stage::Group));
        let row = ("payload", "/w/connectors/src/row.rs");
        assert_eq!(worker(&[row, call, outer]), Some(Stage::Group));
        let json = ("parse", "/x/serde_json-1.0.1/src/de.rs");
        assert_eq!(worker(&[json, call, outer]), Some(Stage::Decode));
        let derived = ("<Reading as Deserialize>::deserialize", "/w/benches/src/w1.rs");
        assert_eq!(worker(&[derived, call]), Some(Stage::Decode));
        assert_eq!(worker(&[("apply", "/w/benches/src/w1.rs"), call]), Some(Stage::Function));
        assert_eq!(worker(&[]), Some(Stage::Other));
    }

    #[test]
    fn threads_are_stages_of_their_own() {
        let json = [("parse", "/x/serde_json-1.0.1/src/de.rs")];
        assert_eq!(stage("twinflow:edge", &json), Some(Stage::Edge));
        assert_eq!(stage("twinflow:log-sp", &json), Some(Stage::Log));
        assert_eq!(stage("twinflow-bench", &json), None);
    }

    #[test]
    fn stages_stand_in_their_order() {
        for (at, (stage, _)) in BUDGETS.iter().enumerate() {
            assert_eq!(*stage as usize, at);
        }
    }
}
