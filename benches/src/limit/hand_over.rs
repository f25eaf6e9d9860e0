//! Records handed from the thread that read them to the thread that owns their twin.
//!
//! Estimate: a batch of 1,024 positions is 4 KiB and one send, 100-300 ns, so a fraction of a
//! nanosecond a record; the channel holds at most the positions of a whole data set, 8 MB.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::function::owner;
use super::{TwinFunction, Worker};
use crate::Result;
use crate::check::Check;
use crate::record::Partition;

/// How many positions are handed over at a time.
const BATCH: usize = 1024;

/// Positions of records in one partition, all of twins of one worker.
struct Batch {
    partition: usize,
    positions: Vec<u32>,
}

/// One thread's place: its partition, the way to the others, and what they hand to it.
pub(super) struct Desk<'d> {
    me: usize,
    partitions: &'d [Partition],
    outboxes: Vec<SyncSender<Batch>>,
    inbox: Receiver<Batch>,
}

/// A desk for each partition, each with a way to all others.
pub(super) fn desks(partitions: &[Partition]) -> Vec<Desk<'_>> {
    // Room for all there is: two threads that wait for room at each other would stay so.
    let batches: usize = partitions.iter().map(|p| (p.len() / BATCH + 1) * p.passes()).sum();
    let (outboxes, inboxes): (Vec<_>, Vec<_>) =
        partitions.iter().map(|_| sync_channel(batches)).unzip();
    let desk = |(me, inbox)| Desk { me, partitions, outboxes: outboxes.clone(), inbox };
    inboxes.into_iter().enumerate().map(desk).collect()
}

impl<'d> Desk<'d> {
    /// Reads the own partition, keeps what is its own, hands over the rest, takes what comes.
    pub(super) fn run<F: TwinFunction>(self, mut worker: Worker<'d, F>) -> Result<Check> {
        let Self { me, partitions, outboxes, inbox } = self;
        let mut open: Vec<Vec<u32>> = outboxes.iter().map(|_| new_batch()).collect();
        let mine = &partitions[me];
        for _ in 0..mine.passes() {
            for i in 0..mine.len() {
                let record = mine.record(i);
                let owner = owner(F::key(record.0), outboxes.len());
                if owner == me {
                    worker.handle(record)?;
                } else {
                    open[owner].push(u32::try_from(i).expect("fewer than 2^32 records"));
                    if open[owner].len() == BATCH {
                        let positions = std::mem::replace(&mut open[owner], new_batch());
                        hand_over(&outboxes[owner], me, positions);
                    }
                }
                if i % BATCH == 0 {
                    for batch in inbox.try_iter() {
                        take(&mut worker, partitions, &batch)?;
                    }
                }
            }
        }
        for (outbox, positions) in outboxes.iter().zip(open) {
            hand_over(outbox, me, positions);
        }
        // Its own way to itself too, else the inbox would never end.
        drop(outboxes);
        for batch in inbox {
            take(&mut worker, partitions, &batch)?;
        }
        Ok(worker.finish())
    }
}

/// Room for one batch.
fn new_batch() -> Vec<u32> {
    Vec::with_capacity(BATCH)
}

/// Sends a batch. A receiver that is gone has failed and reports it, so its records are not missed.
fn hand_over(outbox: &SyncSender<Batch>, partition: usize, positions: Vec<u32>) {
    drop(outbox.send(Batch { partition, positions }));
}

/// Handles the records of a batch.
fn take<'d, F: TwinFunction>(
    worker: &mut Worker<'d, F>,
    partitions: &'d [Partition],
    batch: &Batch,
) -> Result<()> {
    let partition = &partitions[batch.partition];
    for position in &batch.positions {
        worker.handle(partition.record(*position as usize))?;
    }
    Ok(())
}
