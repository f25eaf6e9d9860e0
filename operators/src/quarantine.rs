//! Twins that are set aside because working them off ended the process (law F4).
//!
//! Their messages become dead letters and their states stay as they are. An entry of the ledger
//! bucket keeps each until somebody releases it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::message::Timestamp;

use crate::store::{EntryKind, EpochPart};

/// A twin in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Name of its model.
    pub model: String,
    /// Its id.
    pub twin: String,
    /// What working it off did, in words for a person.
    pub reason: String,
    /// The connection that brought the message it was worked off for.
    pub connection: String,
    /// Topic, partition and position of that message, where it has them.
    pub position: Option<(String, i32, u64)>,
    /// Since when.
    pub at: Timestamp,
}

/// What is worked off now: noted before, so that a process that dies leaves it behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinNote {
    /// Name of the model.
    pub model: String,
    /// The twin's id.
    pub twin: String,
    /// The connection of its first message of the epoch.
    pub connection: String,
    /// Topic, partition and position of that message, where it has them.
    pub position: Option<(String, i32, u64)>,
}

/// Writes notes where the next process finds them.
pub trait TakeNotes: Send + Sync {
    /// Notes a twin until the value is dropped. One at a time in a process: who died in a call must
    /// be the only one that is noted.
    fn note<'n>(&'n self, note: &TwinNote) -> Box<dyn Noted + 'n>;
}

/// A note that stands until this is dropped.
pub trait Noted {}

/// The twins in quarantine of a process.
#[derive(Default)]
pub struct Quarantine {
    twins: Mutex<BTreeMap<(u16, String), Quarantined>>,
    notes: Option<Arc<dyn TakeNotes>>,
}

impl Quarantine {
    /// These twins by the numbers of their models, and who takes notes while the edge is careful.
    pub fn new(
        twins: impl IntoIterator<Item = (u16, Quarantined)>,
        notes: Option<Arc<dyn TakeNotes>>,
    ) -> Self {
        let key = |(model, one): (u16, Quarantined)| ((model, one.twin.clone()), one);
        Self { twins: Mutex::new(twins.into_iter().map(key).collect()), notes }
    }

    /// All of them, by model and id.
    pub fn list(&self) -> Vec<Quarantined> {
        self.twins().values().cloned().collect()
    }

    /// How many there are of a model.
    pub fn len_of(&self, model: u16) -> usize {
        self.twins().range((model, String::new())..).take_while(|(key, _)| key.0 == model).count()
    }

    /// Why messages for a twin become dead letters.
    pub(crate) fn reason(&self, model: u16, twin: &str) -> String {
        let twins = self.twins();
        let reason = twins.get(&(model, twin.to_owned())).map_or("", |one| one.reason.as_str());
        format!("the twin is in quarantine: {reason}")
    }

    pub(crate) fn remove(&self, model: u16, twin: &str) {
        self.twins().remove(&(model, twin.to_owned()));
    }

    pub(crate) fn notes(&self) -> Option<&Arc<dyn TakeNotes>> {
        self.notes.as_ref()
    }

    fn twins(&self) -> MutexGuard<'_, BTreeMap<(u16, String), Quarantined>> {
        self.twins.lock().expect("quarantine")
    }
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantine").field("twins", &self.twins().len()).finish_non_exhaustive()
    }
}

/// Makes it durable that a twin is in quarantine.
pub fn put_quarantined(part: &mut EpochPart, model: u16, quarantined: &Quarantined) {
    let value = rmp_serde::to_vec_named(quarantined).expect("a description always serialises");
    part.put_ledger(EntryKind::Quarantined, model, quarantined.twin.as_bytes(), &value);
}
