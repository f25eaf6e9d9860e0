//! Drives a log as two workers would, and knows what it may and must give back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use twinflow_operators::store::{
    Claimed, Entry, EntryKind, EpochPart, EpochStore, Reading, StoreError,
};

use super::super::dead_letters::appended;
use super::super::mistakes::Mistake;
use super::super::simulated::Random;
use super::super::{Disk, LocalLog, LogOptions};

pub(super) const SEGMENT: u64 = 20 << 10;

/// An entry that was appended or replayed.
pub(super) type Owned = (EntryKind, Vec<u8>, Vec<u8>);

/// An open log, with a bell and a failure that are waited for.
pub(super) struct Driver {
    pub(super) log: LocalLog,
    events: Receiver<Option<StoreError>>,
    pub(super) failures: Vec<StoreError>,
}

impl Driver {
    pub(super) fn open(disk: Arc<dyn Disk>, random: u64) -> Result<Self, StoreError> {
        Self::open_as(disk, random, SEGMENT, None)
    }

    /// Opens a log with segments of this length and a mistake in it.
    pub(super) fn open_as(
        disk: Arc<dyn Disk>,
        random: u64,
        segment_bytes: u64,
        mistake: Option<Mistake>,
    ) -> Result<Self, StoreError> {
        Self::open_with(disk, random, (segment_bytes, mistake, None))
    }

    /// Opens a damaged log and gives up everything behind an epoch.
    pub(super) fn recovering(disk: Arc<dyn Disk>, epoch: u64) -> Result<Self, StoreError> {
        Self::open_with(disk, 99, (SEGMENT, None, Some(epoch)))
    }

    fn open_with(
        disk: Arc<dyn Disk>,
        random: u64,
        (segment_bytes, mistake, recover_from): (u64, Option<Mistake>, Option<u64>),
    ) -> Result<Self, StoreError> {
        // At most the bells of the epochs that a test leaves open, and one failure.
        let (bell, events) = sync_channel(4096);
        let failure = bell.clone();
        let mut options = LogOptions::new(
            random,
            Arc::new(move |error| failure.send(Some(error)).expect("the driver is there")),
        );
        (options.segment_bytes, options.recover_from) = (segment_bytes, recover_from);
        options.seal_after = Duration::from_secs(3600);
        Self::start(disk, options, mistake, (bell, events))
    }

    /// Opens a log of which all epochs that gather while it writes share a sync: each group ends a
    /// microsecond after the last one by a clock that moves whenever it is asked.
    pub(super) fn sharing(disk: Arc<dyn Disk>, random: u64) -> Result<Self, StoreError> {
        let (bell, events) = sync_channel(4096);
        let failure = bell.clone();
        let now = AtomicU64::new(0);
        let mut options = LogOptions::new(
            random,
            Arc::new(move |error| failure.send(Some(error)).expect("the driver is there")),
        );
        options.clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
        (options.segment_bytes, options.sync_every) = (SEGMENT, Duration::from_micros(3));
        options.seal_after = Duration::from_secs(3600);
        Self::start(disk, options, None, (bell, events))
    }

    fn start(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        mistake: Option<Mistake>,
        (bell, events): (SyncSender<Option<StoreError>>, Receiver<Option<StoreError>>),
    ) -> Result<Self, StoreError> {
        let mut log = LocalLog::open_on(disk, options)?;
        log.mistakes.planted = mistake;
        log.attach(0, Box::new(move || bell.send(None).expect("the driver is there")));
        Ok(Self { log, events, failures: vec![] })
    }

    /// Everything in the order in which it was written. Newest first and on two threads, as a start
    /// reads it, the same comes out.
    pub(super) fn replay(&self) -> Result<Vec<Owned>, StoreError> {
        let mut back = [vec![], vec![], vec![]];
        let newest_first = self.log.replay_newest_first(2, &Reading::default(), &mut |piece| {
            back[0].extend(piece.of_shard(0).map(owned));
            back[1].extend(piece.of_shard(1).map(owned));
            back[2].extend(piece.of_ledger().map(appended).map(owned));
        });
        // One that was cut off comes to something else when it is done again.
        if let Err(error @ StoreError::Io { .. }) = newest_first {
            return Err(error);
        }
        let (mut all, mut shards) = (vec![], vec![]);
        let in_order = self.log.replay(&mut |entry| {
            let half = usize::from(entry.bucket / 2048);
            shards.push(if entry.kind.is_of_twin() { half } else { 2 });
            all.push(owned(entry));
        });
        assert_eq!(newest_first.map_err(|it| it.to_string()), said(&in_order));
        if in_order.is_ok() {
            for (number, back) in back.iter().enumerate() {
                let of = all.iter().zip(&shards).filter(|(_, shard)| **shard == number);
                assert!(of.map(|(entry, _)| entry).eq(back.iter().rev()), "shard {number}");
            }
        }
        in_order.map(|()| all)
    }

    pub(super) fn append(&self, worker: usize, epoch: u64, entries: &[Owned]) {
        let mut part = EpochPart::default();
        for (kind, key, value) in entries {
            part.put(*kind, bucket(*kind), 1, key, value);
        }
        self.log.append(worker, epoch, part);
    }

    /// Waits until every epoch below this one is durable, or the log has failed.
    pub(super) fn wait(&mut self, through: u64) -> bool {
        while self.log.durable(0) < through && self.failures.is_empty() {
            let event = self.events.recv_timeout(Duration::from_secs(10));
            self.failures.extend(event.expect("the log says something in time"));
        }
        self.log.durable(0) >= through
    }

    /// All failures there will be; the log ends.
    pub(super) fn into_failures(self) -> Vec<StoreError> {
        let Self { log, events, mut failures } = self;
        drop(log);
        failures.extend(events.try_iter().flatten());
        failures
    }
}

fn owned(entry: Entry<'_>) -> Owned {
    (entry.kind, entry.key.to_vec(), entry.value.to_vec())
}

fn said(result: &Result<(), StoreError>) -> Result<(), String> {
    result.as_ref().copied().map_err(ToString::to_string)
}

/// Removals and routes are in the upper half of the buckets, other entries of twins in the lower.
pub(super) fn bucket(kind: EntryKind) -> u16 {
    match kind {
        EntryKind::Removal | EntryKind::Route => 4000,
        kind if kind.is_of_twin() => 5,
        _ => 4096,
    }
}

/// Opens a log and gives what it holds.
pub(super) fn contents(disk: Arc<dyn Disk>) -> Result<Vec<Owned>, StoreError> {
    Driver::open(disk, 1)?.replay()
}

/// Opens a log, replays and claims it for `workers`.
pub(super) fn claimed(disk: Arc<dyn Disk>, random: u64, workers: usize) -> (Driver, Claimed) {
    let driver = Driver::open(disk, random).unwrap();
    driver.replay().unwrap();
    let claimed = driver.log.claim(workers).unwrap();
    (driver, claimed)
}

pub(super) fn state(number: u64, length: usize) -> Owned {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(length.max(8), number as u8 | 1);
    (EntryKind::State, format!("twin-{number}").into_bytes(), value)
}

pub(super) fn letter(number: u64, payload: &[u8]) -> Owned {
    let value = [&3u32.to_le_bytes()[..], b"why", payload].concat();
    (EntryKind::DeadLetter, number.to_le_bytes().to_vec(), value)
}

/// A few entries that no other call makes.
pub(super) fn some_entries(random: &mut Random, next: &mut u64) -> Vec<Owned> {
    (0..random.below(4))
        .map(|_| {
            *next += 1;
            match random.below(8) {
                0 => letter(*next, &vec![*next as u8 | 1; random.below(1500) as usize]),
                _ => state(*next, random.below(1200) as usize),
            }
        })
        .collect()
}

/// The entry as replay gives it.
pub(super) fn as_replayed(entry: &Owned) -> Owned {
    match entry.0 {
        EntryKind::DeadLetter => (entry.0, entry.1.clone(), entry.2[..7].to_vec()),
        _ => entry.clone(),
    }
}

/// Every dead letter of these that was not replayed with its own payload.
pub(super) fn wrong_payloads(log: &LocalLog, entries: &[Owned]) -> usize {
    let letters = entries.iter().filter(|(kind, ..)| *kind == EntryKind::DeadLetter);
    letters
        .filter(|(_, key, value)| {
            let number = u64::from_le_bytes(key[..].try_into().unwrap());
            log.dead_letter_payload(number).ok().flatten().as_deref() != Some(&value[7..])
        })
        .count()
}
