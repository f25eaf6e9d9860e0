//! What happens in one case.

use proptest::prelude::*;

use crate::common::Act;

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Per connection whether its broker is a log; else it waits for acknowledgements.
    pub(super) replayable: Vec<bool>,
    pub(super) workers: usize,
    pub(super) steps: Vec<Does>,
    pub(super) faults: bool,
}

/// One message; its number is its place among all of the case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) connection: usize,
    pub(super) twin: usize,
    pub(super) act: Act,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Messages are sent.
    Send(Vec<Sent>),
    /// Everything sent so far is waited for.
    Settle,
    /// A session is cut.
    Cut(usize),
    /// A connection is paused.
    Pause(usize),
    /// And goes on.
    Resume(usize),
    /// Commits are held.
    Hold,
    /// And let through.
    Release,
    /// The engine stops and starts with another number of workers.
    Restart(usize),
    /// The engine is dropped where it is and starts again.
    Kill(usize),
}

impl Plan {
    /// All messages in the order in which they are sent.
    pub(super) fn sent(&self) -> Vec<Sent> {
        let sent = self.steps.iter().filter_map(|step| match step {
            Does::Send(messages) => Some(messages.as_slice()),
            _ => None,
        });
        sent.flatten().copied().collect()
    }
}

/// Twins from here on get messages of every connection, and none that removes them.
pub(super) const SHARED: usize = 40;

/// The twin's id: its own connection is in it, unless it is shared.
pub(super) fn twin_id(sent: &Sent) -> String {
    if sent.twin >= SHARED {
        format!("shared-{}", sent.twin)
    } else {
        format!("own-{}-{}", sent.connection, sent.twin)
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Count),
        6 => Just(Act::Reply),
        1 => Just(Act::Fail),
        1 => Just(Act::Panic),
        1 => Just(Act::NoUpdate),
        1 => Just(Act::Remove),
    ]
}

fn message(connections: usize) -> impl Strategy<Value = Sent> {
    // Few twins get most messages.
    let twin = prop_oneof![3 => 0..3usize, 1 => 3..SHARED, 2 => SHARED..SHARED + 3];
    (0..connections, twin, act()).prop_map(|(connection, twin, act)| {
        let act = if twin >= SHARED && act == Act::Remove { Act::Count } else { act };
        Sent { connection, twin, act }
    })
}

fn step(connections: usize, faults: bool) -> impl Strategy<Value = Does> {
    let fault = u32::from(faults);
    prop_oneof![
        6 => prop::collection::vec(message(connections), 1..60).prop_map(Does::Send),
        1 => Just(Does::Settle),
        fault => (0..connections).prop_map(Does::Cut),
        fault => (0..connections).prop_map(Does::Pause),
        fault => (0..connections).prop_map(Does::Resume),
        fault => Just(Does::Hold),
        fault => Just(Does::Release),
        fault => (1..=4usize).prop_map(Does::Restart),
        fault => (1..=4usize).prop_map(Does::Kill),
    ]
}

pub(super) fn plan(faults: bool) -> impl Strategy<Value = Plan> {
    let kinds = prop::collection::vec(any::<bool>(), 1..=3);
    (kinds, 1..=4usize).prop_flat_map(move |(replayable, workers)| {
        prop::collection::vec(step(replayable.len(), faults), 1..14).prop_map(move |steps| Plan {
            replayable: replayable.clone(),
            workers,
            steps,
            faults,
        })
    })
}
