//! The models of an engine: names, processors, settings.

use std::{collections::BTreeMap, fmt, sync::Arc};

use twinflow_connectors::message::model_name_error;

use crate::{
    model::MessageProcessor,
    process::{
        ModelSettings, ModelStatistics,
        model_worker::{ModelWorker, TypedModel},
    },
};

/// Makes the part of a model that lives on a worker.
trait MakeWorker: Send + Sync {
    fn make(&self, entry: &ModelEntry, number: u16, encode: bool) -> Box<dyn ModelWorker>;
}

struct Typed<P>(Arc<P>);

impl<P: MessageProcessor> MakeWorker for Typed<P> {
    fn make(&self, entry: &ModelEntry, number: u16, encode: bool) -> Box<dyn ModelWorker> {
        Box::new(TypedModel::new(
            Arc::clone(&entry.name),
            number,
            Arc::clone(&self.0),
            entry.settings.clone(),
            Arc::clone(&entry.statistics),
            encode,
        ))
    }
}

/// One registered model.
#[derive(Clone)]
struct ModelEntry {
    name: Arc<str>,
    settings: ModelSettings,
    statistics: Arc<ModelStatistics>,
    make: Arc<dyn MakeWorker>,
}

/// Models by name; cheap to clone, the same models on every worker.
#[derive(Clone, Default)]
pub struct Models {
    entries: BTreeMap<String, ModelEntry>,
    problems: Vec<String>,
}

impl Models {
    /// No models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model under the name that its twins are known by. A wrong or repeated name is
    /// reported by [`Self::problem`] when the engine starts.
    #[must_use]
    pub fn with<P: MessageProcessor>(self, name: &str, processor: P) -> Self {
        self.with_settings(name, processor, ModelSettings::default())
    }

    /// The same, with settings other than the defaults.
    #[must_use]
    pub fn with_settings<P: MessageProcessor>(
        mut self,
        name: &str,
        processor: P,
        settings: ModelSettings,
    ) -> Self {
        if let Some(problem) = model_name_error(name) {
            self.problems.push(problem);
        } else if self.entries.contains_key(name) {
            self.problems.push(format!("the model name \"{name}\" is registered twice"));
        }
        let entry = ModelEntry {
            name: name.into(),
            settings,
            statistics: Arc::default(),
            make: Arc::new(Typed(Arc::new(processor))),
        };
        self.entries.insert(name.to_owned(), entry);
        self
    }

    /// What is wrong with the names, if anything is.
    pub fn problem(&self) -> Option<&str> {
        self.problems.first().map(String::as_str)
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counters of a model.
    pub fn statistics(&self, name: &str) -> Option<&Arc<ModelStatistics>> {
        self.entries.get(name).map(|entry| &entry.statistics)
    }

    /// What a model was registered with.
    pub fn settings(&self, name: &str) -> Option<&ModelSettings> {
        self.entries.get(name).map(|entry| &entry.settings)
    }

    /// The parts of all models that live on one worker, by number.
    pub(crate) fn workers(
        &self,
        number: impl Fn(&str) -> Option<u16>,
        encode: bool,
    ) -> Vec<(u16, Box<dyn ModelWorker>)> {
        let numbered =
            self.entries.values().filter_map(|entry| Some((number(&entry.name)?, entry)));
        numbered.map(|(number, entry)| (number, entry.make.make(entry, number, encode))).collect()
    }
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}
