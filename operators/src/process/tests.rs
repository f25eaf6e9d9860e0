//! One worker's twins without a graph: rows in, entries and rows for links out.

pub(crate) mod bench;
mod groups;
mod laws;
mod oracle;
mod recovery;
mod replays;
mod sweep;
