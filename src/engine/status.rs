//! Counters of a running engine, gathered when somebody asks.

use std::sync::atomic::Ordering;

use twinflow_operators::store::StoreStatistics;

use super::start::Parts;
use crate::connections::{ConnectionStatus, Connections};

/// Counters of a process since its start.
#[derive(Clone, Debug, Default)]
pub struct EngineStatistics {
    /// Workers of the process.
    pub workers: usize,
    /// The generation.
    pub generation: u64,
    /// Epochs closed with data by its sources.
    pub epochs: u64,
    /// The open epoch.
    pub open_epoch: u64,
    /// Every epoch before this one is processed.
    pub processed_epoch: u64,
    /// Every epoch before this one is committed.
    pub committed_epoch: u64,
    /// Bytes that wait in the queues of all links.
    pub queued_bytes: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Dead letters that were dropped because of their age, or as too much feedback.
    pub dead_letters_expired: u64,
    /// Whether the store has not moved for two seconds.
    pub held: bool,
    /// Whether the disk of the state has so little room that nothing is taken in.
    pub disk_full: bool,
    /// Whether the engine takes one message per link and epoch (law F4).
    pub careful: bool,
    /// Calls that took longer than a second.
    pub slow_calls: u64,
    /// Messages that operators before the twins dropped; they are acknowledged all the same.
    pub pipeline_dropped: u64,
    /// Messages that those operators made beyond one for each that came.
    pub pipeline_added: u64,
    /// Messages on which those operators failed: dead letters.
    pub pipeline_failed: u64,
    /// Changes that came too late for their window, or without a time.
    pub pipeline_late: u64,
    /// Per model, by name.
    pub models: Vec<ModelStatus>,
    /// The store.
    pub store: StoreStatistics,
}

/// Counters of one model.
#[derive(Clone, Debug, Default)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Messages applied.
    pub messages: u64,
    /// Calls of its processor.
    pub calls: u64,
    /// Messages that failed.
    pub failed: u64,
    /// Messages whose id had been handled.
    pub repeated: u64,
    /// Messages whose twin was in quarantine.
    pub quarantined: u64,
    /// Twins in quarantine.
    pub quarantined_twins: u64,
    /// Feedback messages sent.
    pub feedback: u64,
    /// Twins that exist.
    pub twins: u64,
    /// Bytes of its dead letters.
    pub dead_letter_bytes: u64,
    /// Whether these are so many that nothing is taken in for it.
    pub dead_letters_full: bool,
}

pub(super) fn statistics(parts: &Parts) -> EngineStatistics {
    let progress = &parts.progress;
    let (kept, overfull) = (parts.dead_letters.kept(), parts.edge.refusals.overfull());
    let of_model = |name: &str| {
        let name = Some(name.to_owned());
        kept.iter().filter(move |kept| kept.model == name)
    };
    let model = |name: &str| {
        let counters = parts.models.statistics(name)?;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Some(ModelStatus {
            name: name.to_owned(),
            messages: load(&counters.messages),
            calls: load(&counters.calls),
            failed: load(&counters.failed),
            repeated: load(&counters.repeated),
            quarantined: load(&counters.quarantined),
            quarantined_twins: set_aside(parts, name),
            feedback: load(&counters.feedback),
            twins: load(&counters.twins),
            dead_letter_bytes: of_model(name).map(|kept| kept.bytes).sum(),
            dead_letters_full: overfull.contains_key(name),
        })
    };
    let pipeline = &progress.pipeline;
    EngineStatistics {
        workers: parts.controls.len(),
        generation: parts.generation,
        epochs: progress.epochs.load(Ordering::Relaxed),
        open_epoch: parts.clock.now(),
        processed_epoch: progress.processed.load(Ordering::Acquire),
        committed_epoch: progress.committed.load(Ordering::Acquire),
        queued_bytes: parts.edge.budget.bytes() as u64,
        dead_letters: parts.dead_letters.len() as u64,
        dead_letters_expired: parts.letters_expired.load(Ordering::Relaxed),
        held: parts.edge.refusals.is_held(),
        disk_full: parts.store.is_full(),
        careful: parts.edge.is_careful(),
        slow_calls: parts.slow_calls.load(Ordering::Relaxed),
        pipeline_dropped: pipeline.dropped.load(Ordering::Relaxed),
        pipeline_added: pipeline.added.load(Ordering::Relaxed),
        pipeline_failed: pipeline.failed.load(Ordering::Relaxed),
        pipeline_late: pipeline.late.load(Ordering::Relaxed),
        models: parts.models.names().filter_map(model).collect(),
        store: parts.store.statistics(),
    }
}

fn set_aside(parts: &Parts, model: &str) -> u64 {
    let number = parts.edge.models.number(model);
    number.map_or(0, |number| parts.quarantine.len_of(number) as u64)
}

/// What runs, in a few lines for the terminal.
pub(super) fn banner(parts: &Parts, connections: &Connections) -> String {
    let models: Vec<_> = parts.models.names().collect();
    let mut text = format!(
        "twinflow {}: {} worker(s), generation {}, epoch {}\n  models: {}\n  store: {}",
        env!("CARGO_PKG_VERSION"),
        parts.controls.len(),
        parts.generation,
        parts.clock.now(),
        if models.is_empty() { "none".to_owned() } else { models.join(", ") },
        parts.store_about,
    );
    for connection in connections.status() {
        let ConnectionStatus { name, kind, guarantee, address, .. } = connection;
        let at = address.map(|address| format!(" on {address}")).unwrap_or_default();
        text.push_str(&format!("\n  connection \"{name}\" ({kind}){at}: {guarantee}"));
    }
    text
}
