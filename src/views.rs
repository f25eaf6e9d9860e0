//! Live views of an engine: their threads, what they know, and who listens.
//!
//! The computation is in `operators::view`; this file keeps the newest result of each view and
//! tells it on. Without the feature `live-views` there are none.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;
use tokio::sync::broadcast;
use twinflow_operators::{
    feed::Attach,
    progress::Progress,
    view::{Bell, Running, Sums, View, ViewKind, ViewUpdate, from_millionths},
};

use crate::error::{Error, ErrorKind, Result};

/// Updates that wait for one listener; one that is further behind gets the whole view again.
const UPDATES_MAX: usize = 64;

/// One group of a view.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewGroup {
    /// Its name.
    pub group: String,
    /// How many twins it has; 0: it is gone.
    pub count: u64,
    /// The sum of their values, in views of the kinds sum and average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// The mean of their values, in views of the kind average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
}

/// A view as it is after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewState {
    /// Its name.
    pub view: String,
    /// The model whose twins it is over.
    pub model: String,
    /// `count`, `sum` or `average`.
    pub kind: &'static str,
    /// The last epoch that is in it; it is committed.
    pub epoch: u64,
    /// Twins on which the view's code failed, or that would make too many groups.
    pub left_out: u64,
    /// The groups by name: all of them, or in an update those that changed.
    pub groups: Vec<ViewGroup>,
}

/// What becomes of a view, from one moment on.
#[derive(Debug)]
pub struct ViewListener {
    view: Arc<LiveView>,
    updates: broadcast::Receiver<Arc<ViewUpdate>>,
    /// Everything up to this epoch was told.
    told: u64,
}

impl ViewListener {
    /// Waits for what comes next: the groups that changed, or all of them (`true`) after so many
    /// updates were missed that nobody kept them. `None`: the engine stops.
    pub async fn next(&mut self) -> Option<(ViewState, bool)> {
        loop {
            match self.updates.recv().await {
                Ok(update) if update.epoch <= self.told => {}
                Ok(update) => {
                    self.told = update.epoch;
                    let groups = update.groups.iter();
                    let groups = groups.map(|(group, sums)| (group, sums.unwrap_or_default()));
                    return Some((self.view.shown(update.epoch, update.left_out, groups), false));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let state = self.view.state();
                    self.told = state.epoch;
                    return Some((state, true));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

struct LiveView {
    about: View,
    bell: Arc<dyn Bell>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    epoch: u64,
    left_out: u64,
    groups: BTreeMap<String, Sums>,
    /// None once the engine stops.
    updates: Option<broadcast::Sender<Arc<ViewUpdate>>>,
}

impl LiveView {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("a view is never left half changed")
    }

    fn update(&self, update: ViewUpdate) {
        let mut known = self.known();
        (known.epoch, known.left_out) = (update.epoch, update.left_out);
        for (group, sums) in &update.groups {
            match sums {
                Some(sums) => drop(known.groups.insert(group.clone(), *sums)),
                None => drop(known.groups.remove(group)),
            }
        }
        if let Some(updates) = known.updates.as_ref().filter(|_| !update.groups.is_empty()) {
            let _nobody_listens = updates.send(Arc::new(update)).is_err();
        }
    }

    fn state(&self) -> ViewState {
        // Where nothing waits for the view, it is as new as what is committed. Asked first: what
        // comes after that has a later epoch.
        let settled = self.bell.settled();
        let known = self.known();
        let epoch = settled.map_or(known.epoch, |settled| settled.max(known.epoch));
        self.shown(epoch, known.left_out, known.groups.iter().map(|(name, sums)| (name, *sums)))
    }

    fn shown<'g>(
        &self,
        epoch: u64,
        left_out: u64,
        groups: impl Iterator<Item = (&'g String, Sums)>,
    ) -> ViewState {
        let kind = self.about.kind();
        let group = |(group, (count, sum)): (&String, Sums)| {
            let sum = from_millionths(sum);
            ViewGroup {
                group: group.clone(),
                count: u64::try_from(count).unwrap_or_default(),
                sum: (kind != ViewKind::Count).then_some(sum),
                average: (kind == ViewKind::Average && count > 0).then(|| sum / count as f64),
            }
        };
        ViewState {
            view: self.about.name().to_owned(),
            model: self.about.model().to_owned(),
            kind: kind.as_str(),
            epoch,
            left_out,
            groups: groups.map(group).collect(),
        }
    }
}

impl fmt::Debug for LiveView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveView").field("about", &self.about).finish_non_exhaustive()
    }
}

/// All views of an engine.
#[derive(Default)]
pub(crate) struct Views {
    live: Vec<Arc<LiveView>>,
    watchers: Vec<Arc<dyn Attach>>,
}

impl Views {
    /// Starts the threads; they wait for the workers.
    pub(crate) fn start(
        views: Vec<View>,
        workers: usize,
        progress: &Arc<Progress>,
    ) -> Result<Self> {
        let mut all = Self::default();
        for about in views {
            check(&about, &all.live)?;
            let Running { watch, bell, run } = about.start(workers, Arc::clone(progress));
            let known =
                Known { updates: Some(broadcast::channel(UPDATES_MAX).0), ..Known::default() };
            let live = Arc::new(LiveView { about, bell, known: Mutex::new(known) });
            let to = Arc::clone(&live);
            let thread = std::thread::Builder::new().name("twinflow:view".into());
            thread.spawn(move || run.run(|update| to.update(update))).map_err(|error| {
                let what = format!("could not start the thread of view \"{}\"", live.about.name());
                Error::new(ErrorKind::Unavailable, what).because(error)
            })?;
            all.live.push(live);
            all.watchers.push(watch);
        }
        let bells: Vec<_> = all.live.iter().map(|live| Arc::clone(&live.bell)).collect();
        if !bells.is_empty() {
            progress.bell.attach(move || bells.iter().for_each(|bell| bell.committed()));
        }
        Ok(all)
    }

    /// What every graph has attached.
    pub(crate) fn watchers(&self) -> Vec<Arc<dyn Attach>> {
        self.watchers.clone()
    }

    /// Names, in the order in which they were given.
    pub(crate) fn names(&self) -> Vec<String> {
        self.live.iter().map(|live| live.about.name().to_owned()).collect()
    }

    /// A view as it is.
    pub(crate) fn state(&self, name: &str) -> Option<ViewState> {
        self.find(name).map(|live| live.state())
    }

    /// A view as it is, and what becomes of it.
    pub(crate) fn listen(&self, name: &str) -> Option<(ViewState, ViewListener)> {
        let view = Arc::clone(self.find(name)?);
        // What comes between the two lines is in both, and told once.
        let updates = view.known().updates.as_ref()?.subscribe();
        let state = view.state();
        let told = state.epoch;
        Some((state, ViewListener { view, updates, told }))
    }

    fn find(&self, name: &str) -> Option<&Arc<LiveView>> {
        self.live.iter().find(|live| live.about.name() == name)
    }

    /// Threads end, and who listens hears that it is over.
    pub(crate) fn stop(&self) {
        for live in &self.live {
            live.bell.stop();
            live.known().updates = None;
        }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Views").field(&self.live).finish()
    }
}

fn check(view: &View, others: &[Arc<LiveView>]) -> Result<()> {
    let name = view.name();
    if let Some(problem) = twinflow_connectors::message::model_name_error(name) {
        return Err(Error::misconfigured(problem.replacen("model name", "view name", 1)));
    }
    if others.iter().any(|other| other.about.name() == name) {
        return Err(Error::misconfigured(format!("the view name \"{name}\" is given twice")));
    }
    Ok(())
}
