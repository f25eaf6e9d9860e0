//! The contract of an operator over rows, looked after where tests run (law S8): every row leaves
//! in the epoch in which it came, none is made or lost, and no epoch is held up.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use timely::{
    container::NoopBuilder,
    dataflow::{
        Stream,
        channels::pact::Pipeline,
        operators::{Capability, generic::operator::Operator},
    },
};
use twinflow_connectors::message::Clock;

use crate::frame::Frame;

/// How long an operator may hold an epoch that is over for its input.
const HOLDS_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// Slot and position, and receipt where there is one.
type Mark = (u16, Option<u32>, u64);

/// What came and did not leave yet, by epoch. No timely inside.
#[derive(Debug, Default)]
struct Balance(BTreeMap<u64, HashMap<Mark, i64>>);

impl Balance {
    fn add(&mut self, epoch: u64, frame: &Frame, by: i64) {
        let (view, marks) = (frame.view(), self.0.entry(epoch).or_default());
        for row in (0..view.rows()).map(|index| view.row(index)) {
            let mark = (row.origin(), row.attributes().partition(), row.position());
            let count = marks.entry(mark).or_default();
            *count += by;
            if *count == 0 {
                marks.remove(&mark);
            }
        }
    }

    /// Epochs before `epoch` are over on both sides; what is wrong with one, if anything is.
    fn end(&mut self, epoch: Option<u64>) -> Option<String> {
        while let Some(first) =
            self.0.first_entry().filter(|it| epoch.is_none_or(|e| *it.key() < e))
        {
            let (of, marks) = first.remove_entry();
            let missing: i64 = marks.values().filter(|count| **count > 0).sum();
            let invented: i64 = marks.values().filter(|count| **count < 0).sum();
            if (missing, invented) != (0, 0) {
                return Some(format!(
                    "of epoch {of} it kept {missing} rows that came and gave {} that did not come \
                     in it; rows are dropped by `filter` and made by `flat_map`, which count them",
                    -invented
                ));
            }
        }
        None
    }
}

/// Puts `with` between two operators that compare what comes with what leaves. The first breach of
/// the contract is told to `breach`, by the operator's name.
pub(crate) fn checked<'scope>(
    rows: Stream<'scope, u64, Frame>,
    name: &str,
    time: Clock,
    with: impl FnOnce(Stream<'scope, u64, Frame>) -> Stream<'scope, u64, Frame>,
    breach: impl Fn(String) + 'static,
) -> Stream<'scope, u64, Frame> {
    let scope = rows.scope();
    let given = with(rows.clone());
    let name = name.to_owned();
    given.binary_frontier::<Frame, NoopBuilder<Frame>, _, _, _, _>(
        rows,
        Pipeline,
        Pipeline,
        "contract of rows",
        move |initial, info| {
            drop(initial);
            let again = scope.activator_for(info.address.clone());
            let mut balance = Balance::default();
            // The oldest epoch that is over for the input and held by the operator, and since when.
            let mut held: Option<(u64, u64)> = None;
            move |(given, given_frontier), (came, came_frontier), output| {
                let index = output.output_index();
                came.for_each(|capability, frame| {
                    if let Some(epoch) = capability.least() {
                        balance.add(*epoch, frame, 1);
                    }
                });
                given.for_each(|capability, frame| {
                    let Some(epoch): Option<Capability<u64>> = capability.retain_least(index)
                    else {
                        return;
                    };
                    balance.add(*epoch.time(), frame, -1);
                    output.session_with_builder(&epoch).give_container(frame);
                });
                let over = |frontier: &[u64]| frontier.first().copied();
                let came = over(&came_frontier.frontier());
                let gave = over(&given_frontier.frontier());
                let both = came.into_iter().chain(gave).min();
                if let Some(why) = balance.end(both) {
                    breach(format!("the operator \"{name}\" breaks its contract: {why}"));
                }
                let holds = gave.filter(|gave| came.is_none_or(|came| *gave < came));
                let now = time().0;
                held = holds.map(|epoch| match held {
                    Some((of, since)) if of == epoch => (of, since),
                    _ => (epoch, now),
                });
                if let Some((epoch, since)) = held {
                    if now.saturating_sub(since) > HOLDS_MAX.as_micros() as u64 {
                        breach(format!(
                            "the operator \"{name}\" breaks its contract: it holds epoch {epoch} \
                             for more than {} s after its end; nothing that came since can be \
                             acknowledged",
                            HOLDS_MAX.as_secs()
                        ));
                    }
                    again.activate_after(LOOKS_EVERY);
                }
            }
        },
    )
}

#[cfg(test)]
mod tests;
