//! Reads segments on several threads, and gives their entries in one order.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use twinflow_operators::store::{Piece, Reading};

use super::chain::Counted;
use super::segment::{Fault, Segment, SegmentReader};

/// Threads that read at once, at most: each holds a segment, and one more is with who folds them.
const THREADS_MAX: usize = 4;

/// And at least, if there are segments for them: to read one into new memory takes longer than to
/// fold it, and an engine with one worker has a core to spare at its start.
const THREADS_LEAST: usize = 2;

const PANICKED: &str = "a reader has panicked";

/// Reads segments, the newest first, and gives the entries of each in that order; what each says is
/// given back in the order of their numbers. What follows their last frames is judged meanwhile.
pub(super) fn newest_first(
    reader: SegmentReader<'_>,
    segments: &[Counted],
    reading: &Reading,
    each: &mut dyn FnMut(&Piece),
) -> Vec<Result<Segment, Fault>> {
    let lanes = reader.shards.clamp(THREADS_LEAST, THREADS_MAX).min(segments.len());
    let lengths: Vec<_> = segments.iter().map(|segment| reader.length(segment.number)).collect();
    reading.begin(lengths.iter().sum());
    let spare = Mutex::new(Vec::<Piece>::new());
    let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                let (give, take) = sync_channel(0);
                let own = segments.iter().rev().skip(lane).step_by(lanes);
                let read = scope.spawn(move || {
                    let read = |segment: &Counted| {
                        let mut piece = spare().pop().unwrap_or_default();
                        let read = reader.read(*segment, &mut piece);
                        let given = give.send((piece, read.is_ok()));
                        let judged = read.and_then(|read| reader.judged(*segment, read));
                        given.map(|()| judged).ok()
                    };
                    own.map_while(read).collect::<Vec<_>>()
                });
                (take, read)
            })
            .collect();
        for (nth, length) in lengths.iter().rev().enumerate() {
            let (piece, is_read) = lanes[nth % lanes.len()].0.recv().expect(PANICKED);
            if is_read {
                each(&piece);
            }
            reading.add(*length);
            spare().push(piece);
        }
        let lanes = lanes.into_iter().map(|(_, read)| read.join().expect(PANICKED).into_iter());
        let mut lanes: Vec<_> = lanes.collect();
        let count = lanes.len();
        let take = |nth: usize| lanes[nth % count].next().expect("each segment was read");
        (0..segments.len()).map(take).collect::<Vec<_>>()
    });
    all.reverse();
    all
}
