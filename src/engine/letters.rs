//! The bounds of dead letters (law D12): a model whose dead letters take too much gets nothing more
//! until some are gone, and what is too old goes by itself.
//!
//! Callers that wait for their answer are told so; connections that brought such dead letters rest,
//! so that their messages wait where they are. Feedback stops no intake (law D6): beyond the bound
//! its oldest goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use tokio::task::{JoinHandle, JoinSet};
use twinflow_connectors::message::Timestamp;
use twinflow_operators::{
    ModelSettings,
    dead_letter::{KeepLimits, Kept},
    models::Models,
};

use super::handle::EngineHandle;

/// Dead letters that are dropped at the same time at most.
const AT_ONCE: usize = 1000;

/// Keeps the dead letters of an engine within their bounds.
pub(super) struct LetterKeeper {
    engine: EngineHandle,
    /// The models that get nothing; `None`: what is about no model.
    full: BTreeSet<Option<String>>,
    dropping: Option<JoinHandle<()>>,
}

/// Whether so many bytes are too many, when they were or were not before: it goes on when a tenth
/// is free again.
fn is_full(before: bool, bytes: u64, bytes_max: u64) -> bool {
    bytes >= if before { bytes_max - bytes_max / 10 } else { bytes_max }
}

/// What may be kept for a model. What belongs to a model that is not there is not touched (law D8).
fn limits(models: &Models, model: Option<&str>) -> Option<KeepLimits> {
    let default = ModelSettings::default();
    let settings = model.map_or(Some(&default), |name| models.settings(name))?;
    let (bytes_max, keep_secs) = (settings.dead_letters_bytes_max, settings.dead_letters_keep_secs);
    Some(KeepLimits { bytes_max, keep_secs })
}

impl LetterKeeper {
    pub(super) fn new(engine: EngineHandle) -> Self {
        Self { engine, full: BTreeSet::new(), dropping: None }
    }

    /// Stops what brings more than can be kept, and lets it go on.
    pub(super) fn look(&mut self) {
        let parts = &self.engine.parts;
        let kept = parts.dead_letters.kept();
        let full = kept.into_iter().filter_map(|kept| {
            let bytes_max = limits(&parts.models, kept.model.as_deref())?.bytes_max;
            let before = self.full.contains(&kept.model);
            let full = !kept.feedback && is_full(before, kept.bytes, bytes_max);
            full.then_some((kept, bytes_max))
        });
        let full: Vec<_> = full.collect();
        if full.is_empty() && self.full.is_empty() {
            return;
        }
        let mut models = BTreeMap::new();
        let mut connections = BTreeMap::new();
        for (kept, bytes_max) in &full {
            let reason = reason(kept, *bytes_max);
            let brought = kept.connections.iter().filter(|name| !self.answers(name));
            connections.extend(brought.map(|name| (name.clone(), reason.clone())));
            if !self.full.contains(&kept.model) {
                let (model, bytes) = (kept.model.as_deref(), kept.bytes);
                tracing::error!(model, bytes, "nothing more is taken in: {reason}");
            }
            models.extend(kept.model.clone().map(|model| (model, reason)));
        }
        parts.edge.refusals.set_overfull(models);
        self.engine.connections.hold(|name| connections.get(name).cloned());
        let now: BTreeSet<_> = full.into_iter().map(|(kept, _)| kept.model).collect();
        for model in self.full.difference(&now) {
            let model = model.as_deref();
            tracing::info!(model, "there is room for dead letters again; messages are taken in");
        }
        self.full = now;
    }

    /// Whether callers of this connection can be told one by one.
    fn answers(&self, connection: &str) -> bool {
        let mut places = self.engine.parts.slots.iter().map(|slot| &slot.place);
        places.any(|place| *place.connection == *connection && place.answers)
    }

    /// Drops what nobody has to keep any more. It goes by the front door, like what a person drops.
    pub(super) fn drop_due(&mut self, now: Timestamp) {
        if self.dropping.as_ref().is_some_and(|dropping| !dropping.is_finished()) {
            return;
        }
        let parts = &self.engine.parts;
        let due = parts.dead_letters.due(now, |model| limits(&parts.models, model), AT_ONCE);
        if !due.is_empty() {
            self.dropping = Some(tokio::spawn(drop_all(self.engine.clone(), due)));
        }
    }
}

fn reason(kept: &Kept, bytes_max: u64) -> String {
    let whose = match kept.model {
        Some(_) => "its dead letters",
        None => "dead letters without a model",
    };
    format!("{whose} take all of {bytes_max} bytes; drop or replay some")
}

/// What cannot be dropped now is due again a second later.
async fn drop_all(engine: EngineHandle, due: Vec<u64>) {
    let mut asked = JoinSet::new();
    for number in due {
        let engine = engine.clone();
        asked.spawn(async move { engine.drop_dead_letter(number).await });
    }
    let answers = asked.join_all().await;
    let dropped = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    if dropped > 0 {
        engine.parts.letters_expired.fetch_add(dropped as u64, Ordering::Relaxed);
        tracing::info!(dropped, "dead letters were dropped: they were kept for long enough");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_d12_it_goes_on_when_a_tenth_is_free() {
        assert!(!is_full(false, 99, 100) && is_full(false, 100, 100));
        assert!(is_full(true, 90, 100) && !is_full(true, 89, 100));
        assert!(is_full(true, 1, 1) && !is_full(true, 0, 1));
    }
}
