//! Tumbling windows over the changes of twins.

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Stream,
        channels::pact::{Exchange, ParallelizationContract, Pipeline},
        operators::{Capability, generic::operator::Operator},
    },
};
use twinflow_connectors::message::Timestamp;

use super::{behind::Happened, change::Change};
use crate::{model::TwinModel, process::guard::guarded, progress::Progress, worker::WorkerShared};

/// Windows that follow one another: [0, length), [length, 2 x length) and so on since 1970.
///
/// A window ends when time has passed its end, and time is what changes bring: where nothing comes,
/// nothing ends. Windows are in memory: after a restart those that were open begin anew, and say so
/// by [`WindowResult::whole`].
#[derive(Clone, Copy, Debug)]
pub struct Window {
    length: Duration,
    by_source: bool,
    lateness: Duration,
}

impl Window {
    /// By the time of epochs: nothing comes too late, since that never goes back.
    ///
    /// # Panics
    ///
    /// The length is less than a microsecond.
    pub fn by_epoch_time(length: Duration) -> Self {
        assert!(length.as_micros() > 0, "a window has a length");
        Self { length, by_source: false, lateness: Duration::ZERO }
    }

    /// By the source's own time: a change is late when a worker has seen one that is behind the
    /// end of its window by more than the lateness. What is late is not in any window, and counted
    /// in `twinflow_pipeline_late_changes`; so is what has no source time.
    ///
    /// # Panics
    ///
    /// The length is less than a microsecond.
    pub fn by_source_time(length: Duration, lateness: Duration) -> Self {
        Self { by_source: true, lateness, ..Self::by_epoch_time(length) }
    }

    fn length(&self) -> u64 {
        u64::try_from(self.length.as_micros()).unwrap_or(u64::MAX)
    }
}

/// What was in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowResult {
    /// The epoch that brought the time past its end.
    pub epoch: u64,
    /// Its time.
    pub at: Timestamp,
    /// The twin; `None`: all of them.
    pub twin: Option<String>,
    /// Where the window begins.
    pub start: Timestamp,
    /// Where the next one begins.
    pub end: Timestamp,
    /// How many values there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Whether the engine surely saw all of it: `false` when it begins before the first change
    /// since the start.
    pub whole: bool,
}

impl WindowResult {
    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Happened for WindowResult {
    fn when(&self) -> (u64, Timestamp) {
        (self.epoch, self.at)
    }

    fn twin(&self) -> &str {
        self.twin.as_deref().unwrap_or("all")
    }
}

/// What a window is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Twin,
    All,
}

/// One value on its way into a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Value {
    /// Empty: all twins.
    twin: String,
    /// `None`: its source gave it no time.
    time: Option<u64>,
    at: u64,
    value: f64,
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// The open windows of one worker. No timely inside.
#[derive(Debug)]
struct Open {
    window: Window,
    /// By start, so that those that end come first.
    sums: BTreeMap<(u64, String), Sum>,
    /// How far time is; windows that end at or before it are over.
    reached: u64,
    /// The time of the first value since the start.
    first: Option<u64>,
}

impl Open {
    fn new(window: Window) -> Self {
        Self { window, sums: BTreeMap::new(), reached: 0, first: None }
    }

    /// Takes the values of one epoch; gives what ended with it, and how many came too late.
    fn epoch(&mut self, epoch: u64, values: Vec<Value>) -> (Vec<WindowResult>, u64) {
        let length = self.window.length();
        let (mut late, mut newest, mut at) = (0, 0, 0);
        let first = values.iter().filter_map(|value| value.time).min();
        let first = *self.first.get_or_insert_with(|| first.unwrap_or(u64::MAX));
        for value in values {
            at = at.max(value.at);
            let Some(time) = value.time else {
                late += 1;
                continue;
            };
            newest = newest.max(time);
            let start = time / length * length;
            if start.saturating_add(length) <= self.reached {
                late += 1;
                continue;
            }
            let sum = self.sums.entry((start, value.twin)).or_insert(Sum {
                count: 0,
                sum: 0.0,
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
            });
            sum.count += 1;
            sum.sum += value.value;
            sum.min = sum.min.min(value.value);
            sum.max = sum.max.max(value.value);
        }
        let lateness = u64::try_from(self.window.lateness.as_micros()).unwrap_or(u64::MAX);
        self.reached = self.reached.max(newest.saturating_sub(lateness));
        let mut ended = Vec::new();
        while let Some(entry) = self.sums.first_entry() {
            let (start, end) = (entry.key().0, entry.key().0.saturating_add(length));
            if end > self.reached {
                break;
            }
            let ((_, twin), Sum { count, sum, min, max }) = entry.remove_entry();
            ended.push(WindowResult {
                epoch,
                at: Timestamp(at),
                twin: (!twin.is_empty()).then_some(twin),
                start: Timestamp(start),
                end: Timestamp(end),
                count,
                sum,
                min,
                max,
                whole: start >= first,
            });
        }
        (ended, late)
    }
}

/// Builds the windows.
pub(super) fn windows<'scope, M: TwinModel>(
    changes: Stream<'scope, u64, Vec<Change<M>>>,
    window: Window,
    over: Over,
    shared: &Rc<WorkerShared>,
    value: impl Fn(&Change<M>) -> Option<f64> + 'static,
) -> Stream<'scope, u64, Vec<WindowResult>> {
    let first_epoch = shared.setup.first_epoch;
    let values = changes.unary::<CapacityContainerBuilder<Vec<Value>>, _, _, _>(
        Pipeline,
        "window values",
        move |initial, _info| {
            drop(initial);
            move |input, output| {
                input.for_each(|capability, changes| {
                    let news = changes.drain(..).filter(|change| change.epoch >= first_epoch);
                    let values = news.filter_map(|change| {
                        let value = guarded(|| value(&change)).unwrap_or_else(|why| {
                            tracing::error!(twin = change.twin, why, "it is in no window");
                            None
                        })?;
                        let time = match window.by_source {
                            true => change.source_time.map(|time| time.0),
                            false => Some(change.at.0),
                        };
                        let twin = if over == Over::Twin { change.twin } else { String::new() };
                        Some(Value { twin, time, at: change.at.0, value })
                    });
                    output.session(&capability).give_iterator(values);
                });
            }
        },
    );
    let progress = Arc::clone(&shared.setup.progress);
    match over {
        Over::Twin => ending(values, Pipeline, window, progress),
        // The time of epochs is each worker's own; together they have the latest of them.
        Over::All => ending(values, Exchange::new(|_: &Value| 0), window, progress),
    }
}

fn ending<'scope, P: ParallelizationContract<u64, Vec<Value>>>(
    values: Stream<'scope, u64, Vec<Value>>,
    pact: P,
    window: Window,
    progress: Arc<Progress>,
) -> Stream<'scope, u64, Vec<WindowResult>> {
    values.unary_frontier::<CapacityContainerBuilder<Vec<WindowResult>>, _, _, _>(
        pact,
        "windows",
        move |initial, _info| {
            drop(initial);
            let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Value>)> = BTreeMap::new();
            let mut open = Open::new(window);
            move |(input, frontier), output| {
                input.for_each(|capability, values| {
                    let Some(held) = capability.retain_least(output.output_index()) else { return };
                    let of = waiting.entry(*held.time()).or_insert_with(|| (held, Vec::new()));
                    of.1.append(values);
                });
                while let Some(first) =
                    waiting.first_entry().filter(|first| !frontier.less_equal(first.key()))
                {
                    let (epoch, (capability, values)) = first.remove_entry();
                    let (ended, late) = open.epoch(epoch, values);
                    progress.pipeline.late.fetch_add(late, Ordering::Relaxed);
                    output.session(&capability).give_iterator(ended.into_iter());
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(twin: &str, time: u64, value: f64) -> Value {
        Value { twin: twin.to_owned(), time: Some(time), at: 500, value }
    }

    const MICROS: Duration = Duration::from_micros(10);

    fn ends(
        open: &mut Open,
        epoch: u64,
        values: Vec<Value>,
    ) -> (Vec<(String, u64, u64, f64)>, u64) {
        let (ended, late) = open.epoch(epoch, values);
        let short = |it: WindowResult| (it.twin().to_owned(), it.start.0, it.count, it.sum);
        (ended.into_iter().map(short).collect(), late)
    }

    #[test]
    fn a_window_ends_when_time_has_passed_its_end_and_what_comes_then_is_late() {
        let mut open = Open::new(Window::by_source_time(MICROS, Duration::ZERO));
        let first = vec![value("a", 11, 1.0), value("b", 12, 5.0), value("a", 19, 2.0)];
        assert_eq!(ends(&mut open, 1, first), (vec![], 0));
        // An epoch is taken as a whole: the 15 is not late beside the 20.
        let second = vec![value("a", 20, 9.0), value("a", 15, 4.0)];
        let ended = vec![("a".into(), 10, 3, 7.0), ("b".into(), 10, 1, 5.0)];
        assert_eq!(ends(&mut open, 2, second), (ended, 0));
        assert_eq!(ends(&mut open, 3, vec![value("a", 19, 1.0)]), (vec![], 1));
        let far = vec![value("a", 45, 1.0)];
        assert_eq!(ends(&mut open, 4, far), (vec![("a".into(), 20, 1, 9.0)], 0));
        let untimed = Value { time: None, ..value("a", 0, 1.0) };
        assert_eq!(ends(&mut open, 5, vec![untimed]), (vec![], 1));
    }

    #[test]
    fn lateness_keeps_windows_open_that_much_longer() {
        let mut open = Open::new(Window::by_source_time(MICROS, Duration::from_micros(5)));
        assert_eq!(ends(&mut open, 1, vec![value("a", 5, 1.0), value("a", 14, 1.0)]), (vec![], 0));
        assert_eq!(ends(&mut open, 2, vec![value("a", 9, 1.0)]), (vec![], 0));
        let ended = vec![("a".into(), 0, 2, 2.0)];
        assert_eq!(ends(&mut open, 3, vec![value("a", 15, 1.0)]), (ended, 0));
    }

    #[test]
    fn the_window_that_was_open_at_the_start_is_not_whole() {
        let mut open = Open::new(Window::by_epoch_time(MICROS));
        let (ended, _) = open.epoch(1, vec![value("", 13, 1.0), value("", 31, 1.0)]);
        let (more, _) = open.epoch(2, vec![value("", 47, 1.0)]);
        let whole: Vec<_> =
            ended.iter().chain(&more).map(|it| (it.start.0, it.whole, it.mean())).collect();
        assert_eq!(whole, [(10, false, 1.0), (30, true, 1.0)]);
    }
}
