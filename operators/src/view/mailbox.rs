//! Where workers leave states for a view. Nobody waits here for the view.
//!
//! Bounded: of epochs that are not committed, which law S4 bounds, every change is kept; of those
//! that are, only the newest state of each twin that changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, atomic::Ordering},
};

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::Bell;
use crate::{
    feed::{Attach, Changes, Feed},
    model::TwinModel,
    pipeline::Change,
    progress::Progress,
};

/// The newest state of a twin; `None`: it is gone.
pub(super) type States<M> = HashMap<String, Option<M>>;

pub(super) struct Mailbox<M> {
    model: Arc<str>,
    progress: Arc<Progress>,
    inner: Mutex<Inner<M>>,
    news: Condvar,
}

struct Inner<M> {
    /// Per worker: every change before this epoch was put here.
    workers: Vec<u64>,
    uncommitted: BTreeMap<u64, Vec<(String, Option<M>)>>,
    ready: States<M>,
    /// Everything before this epoch is in `ready` or was taken.
    through: u64,
    /// The thread works on what it took.
    busy: bool,
    stopped: bool,
}

impl<M> Inner<M> {
    /// Moves what is committed to where the view takes it; whether there is anything.
    fn fold(&mut self, committed: u64) -> bool {
        let put = self.workers.iter().copied().min().unwrap_or(0);
        self.through = self.through.max(put.min(committed));
        while let Some(first) =
            self.uncommitted.first_entry().filter(|first| *first.key() < self.through)
        {
            self.ready.extend(first.remove());
        }
        !self.ready.is_empty()
    }
}

impl<M> Mailbox<M> {
    pub(super) fn new(model: Arc<str>, workers: usize, progress: Arc<Progress>) -> Arc<Self> {
        let inner = Inner {
            workers: vec![0; workers],
            uncommitted: BTreeMap::new(),
            ready: HashMap::new(),
            through: 0,
            busy: false,
            stopped: false,
        };
        Arc::new(Self { model, progress, inner: Mutex::new(inner), news: Condvar::new() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner<M>> {
        self.inner.lock().expect("a mailbox is never left half changed")
    }

    fn committed_before(&self) -> u64 {
        self.progress.committed.load(Ordering::Acquire)
    }

    /// What a worker saw, and the epoch before which it has seen all.
    pub(super) fn put(&self, worker: usize, changes: Vec<Change<M>>, before: u64) {
        let mut inner = self.inner();
        for Change { epoch, twin, is, .. } in changes {
            inner.uncommitted.entry(epoch).or_default().push((twin, is));
        }
        inner.workers[worker] = before;
        if inner.fold(self.committed_before()) {
            self.news.notify_one();
        }
    }

    /// Waits for news; the states that changed and the epoch before which that is all. `None`: the
    /// engine stops.
    pub(super) fn take(&self) -> Option<(States<M>, u64)> {
        let mut inner = self.inner();
        inner.busy = false;
        loop {
            if inner.stopped {
                return None;
            }
            if inner.fold(self.committed_before()) {
                inner.busy = true;
                return Some((std::mem::take(&mut inner.ready), inner.through));
            }
            inner = self.news.wait(inner).expect("a mailbox is never left half changed");
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.inner().stopped
    }
}

impl<M: TwinModel> Bell for Mailbox<M> {
    fn committed(&self) {
        if self.inner().fold(self.committed_before()) {
            self.news.notify_one();
        }
    }

    fn stop(&self) {
        self.inner().stopped = true;
        self.news.notify_one();
    }

    fn settled(&self) -> Option<u64> {
        let mut inner = self.inner();
        let waits = inner.fold(self.committed_before());
        (!waits && !inner.busy).then(|| inner.through.saturating_sub(1))
    }
}

/// What a graph attaches; a mailbox that is shared with the thread.
impl<M: TwinModel> Attach for Mailbox<M> {
    fn attach<'s>(self: Arc<Self>, feed: Feed<'s, Changes>) -> Feed<'s, Changes> {
        let (worker, model) = (feed.worker(), Arc::clone(&self.model));
        feed.changes::<M>(&model, move |changes| {
            changes.stream().sink(Pipeline, "view", move |(input, frontier)| {
                let mut all = Vec::new();
                input.for_each(|_capability, changes| all.append(changes));
                let before = frontier.frontier().first().copied().unwrap_or(u64::MAX);
                self.put(worker, all, before);
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(epoch: u64, twin: &str, is: Option<u64>) -> Change<u64> {
        let at = twinflow_connectors::message::Timestamp(0);
        Change { epoch, at, source_time: None, twin: twin.to_owned(), was: None, is }
    }

    #[test]
    fn only_the_newest_committed_state_of_a_twin_waits_and_nothing_of_later_epochs() {
        let progress = Arc::<Progress>::default();
        let mailbox = Mailbox::new("m".into(), 2, Arc::clone(&progress));
        let own = vec![change(3, "a", Some(1)), change(4, "a", Some(2)), change(5, "a", Some(3))];
        mailbox.put(0, own, 9);
        progress.committed.store(5, Ordering::SeqCst);
        assert!(!mailbox.inner().fold(5), "the other worker may still have something of it");
        mailbox.put(1, vec![change(4, "b", None)], 7);
        let (states, through) = mailbox.take().unwrap();
        assert_eq!(states, HashMap::from([("a".into(), Some(2)), ("b".into(), None)]));
        assert_eq!(through, 5);
        progress.committed.store(100, Ordering::SeqCst);
        let (states, through) = mailbox.take().unwrap();
        assert_eq!((states, through), (HashMap::from([("a".into(), Some(3))]), 7));
        mailbox.inner().stopped = true;
        assert!(mailbox.take().is_none());
    }
}
