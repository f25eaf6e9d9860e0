//! Reads segments on several threads, and gives their entries in one order.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use twinflow_operators::store::{Piece, Reading};

use super::chain::Counted;
use super::segment::{Fault, Segment, SegmentReader};

/// Threads that read at once, at most: each holds a segment, and one more is with who folds them.
const THREADS_MAX: usize = 4;

/// Reads segments, the newest first, and gives the entries of each in that order; what each says is
/// given back in the order of their numbers.
pub(super) fn newest_first(
    reader: SegmentReader<'_>,
    segments: &[Counted],
    reading: &Reading,
    each: &mut dyn FnMut(&Piece),
) -> Vec<Result<Segment, Fault>> {
    let lanes = reader.shards.clamp(1, THREADS_MAX).min(segments.len());
    reading.begin(segments.iter().map(|segment| reader.length(segment.number)).sum());
    let spare = Mutex::new(Vec::<Piece>::new());
    let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                let (give, take) = sync_channel(0);
                let own = segments.iter().rev().skip(lane).step_by(lanes);
                scope.spawn(move || {
                    for segment in own {
                        let mut piece = spare().pop().unwrap_or_default();
                        let read = reader.read(*segment, &mut piece);
                        if give.send((piece, read)).is_err() {
                            return;
                        }
                    }
                });
                take
            })
            .collect();
        let take = |nth: usize| {
            let (piece, read) = lanes[nth % lanes.len()].recv().expect("a reader has panicked");
            if read.is_ok() {
                each(&piece);
            }
            reading.add(piece.bytes.len() as u64);
            spare().push(piece);
            read
        };
        (0..segments.len()).map(take).collect::<Vec<_>>()
    });
    all.reverse();
    all
}
