//! What happens in one run, decided by a seed.

use std::time::Duration;

use twinflow::store::Random;

use crate::twin::Act;

/// Partitions of the replayable source.
pub(crate) const PARTITIONS: usize = 3;

/// Which source a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// A partition of the one with positions.
    Log(usize),
    /// The one that waits for acknowledgements and has ids.
    Queue,
}

/// One message; its number is its place among all of the run.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: From,
    pub(crate) twin: String,
    pub(crate) act: Act,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Send(Vec<Sent>),
    /// Everything sent so far is waited for.
    Settle,
    /// A committed read of a twin.
    Read(String),
    /// The sessions of one source are cut: 0 the log, 1 the queue.
    Cut(usize),
    /// Whether feedback is confirmed from now on.
    Confirm(bool),
    /// What made calls fail is mended.
    Heal,
    /// The first dead letter is replayed.
    Replay,
    /// The queue sends an old message once more, with its id.
    Again(u64),
    /// The machine's clock jumps to so many seconds after its beginning.
    Clock(u64),
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Workers of the lives, one after the other.
    pub(crate) workers: [usize; 4],
    /// Slots of the replayable source.
    pub(crate) slots: usize,
    /// Groups of epochs share a sync.
    pub(crate) sync_every: Duration,
    /// A crash is a power cut; else the process alone is killed.
    pub(crate) power: bool,
    pub(crate) does: Vec<Does>,
}

/// The middle of the clock's life.
pub(crate) const NOON: u64 = 1_000_000;

impl Plan {
    /// Whether groups of epochs share a sync.
    pub(crate) fn shares_syncs(seed: u64) -> bool {
        seed % 4 == 3
    }

    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random(seed << 20);
        let workers = [(); 4].map(|()| 1 + random.below(3) as usize);
        let slots = 1 + random.below(PARTITIONS as u64) as usize;
        let every =
            if Self::shares_syncs(seed) { Duration::from_micros(500) } else { Duration::ZERO };
        let silent = random.below(3) == 0;
        let mut plan = Self {
            workers,
            slots,
            sync_every: every,
            power: !seed.is_multiple_of(3),
            does: vec![],
        };
        let mut number = 0;
        for _ in 0..40 {
            let does = next(&mut random, &mut number, silent);
            plan.does.push(does);
        }
        plan.does.push(Does::Settle);
        plan
    }
}

fn next(random: &mut Random, number: &mut u64, silent: bool) -> Does {
    match random.below(24) {
        0 => Does::Cut(random.below(2) as usize),
        1 => Does::Confirm(random.below(2) == 0),
        2 => Does::Heal,
        3 => Does::Replay,
        4 | 5 if *number > 0 => Does::Again(random.below(*number)),
        6 => Does::Clock(NOON + random.below(7200) - 3600),
        7 | 8 => Does::Read(format!("log-{}-0", random.below(PARTITIONS as u64))),
        9..=12 => Does::Settle,
        _ => {
            let count = 1 + random.below(5);
            *number += count;
            Does::Send((0..count).map(|_| message(random, silent)).collect())
        }
    }
}

fn message(random: &mut Random, silent: bool) -> Sent {
    // With a silent plan almost everything comes from one partition.
    let partition = if silent && random.below(8) > 0 { 0 } else { random.below(3) as usize };
    let from = match random.below(5) {
        0 | 1 if !silent => From::Queue,
        _ => From::Log(partition),
    };
    let own = match from {
        From::Log(partition) => format!("log-{partition}"),
        From::Queue => "queue".to_owned(),
    };
    let (twin, act) = match random.below(16) {
        0..=6 => (format!("{own}-{}", random.below(2)), Act::Count),
        7..=9 => (format!("{own}-{}", random.below(2)), Act::Reply),
        10 => ("heals".to_owned(), Act::Fail),
        11 => (format!("{own}-1"), Act::NoUpdate),
        12 => ("all".to_owned(), Act::Count),
        13 => (format!("{own}-goes"), Act::Remove),
        _ => (format!("{own}-goes"), Act::Count),
    };
    Sent { from, twin, act }
}
