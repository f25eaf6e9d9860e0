//! What a message costs in the three containers that may stand at an exchange: frames of rows (the
//! engine's default), timely's `Vec` by serde, and `Abom`. Each is filled, written into a slab,
//! made of its bytes again, and read to the last byte.
//!
//! Estimate: a message of 300 bytes is copied and read once, 2 x 10 ns. A frame adds checks of its
//! lengths and its text, 10 ns; `Abom` a pass over lengths, a second copy and two pointers, some
//! 10 ns, and no check; serde two allocations and their ends, 60 ns. Before that, a frame is filled
//! straight from a client's buffer; the two others want values with two allocations each. The
//! values come and go on one thread here; an end on another one costs more.

use std::hint::black_box;

use serde::{Deserialize, Serialize};
use twinflow_connectors::{
    frame::FrameBuilder,
    message::{Format, Timestamp},
    route::twin_hash,
    row::{RowHead, RowKind},
};

use super::*;
use crate::frame::Frame;

const ROWS: usize = 1024;
const PASSES: usize = 200;
const ROUNDS: usize = 15;

abom_row! {
    #[derive(Clone, Serialize, Deserialize)]
    struct Message {
        position: u64,
        received_at: u64,
        twin: String,
        payload: String,
    }
}

fn message(number: usize, bytes: usize) -> Message {
    let twin = format!("twin-{number:07}");
    let payload = (0..bytes).map(|at| char::from(b'a' + (at + number) as u8 % 26)).collect();
    Message { position: number as u64, received_at: 1, twin, payload }
}

fn frame(messages: &[Message]) -> Frame {
    let mut builder = FrameBuilder::new(0, &Default::default());
    for message in messages {
        let head = RowHead {
            received_at: Timestamp(message.received_at),
            position: message.position,
            origin: 0,
            model: 0,
            kind: RowKind::Message,
            format: Format::Bytes,
        };
        let hash = twin_hash(message.twin.as_bytes());
        builder.push(hash, &head, &message.twin, &[], message.payload.as_bytes());
    }
    Frame::new(builder.finish())
}

fn sum(position: u64, twin: &str, payload: &[u8]) -> u64 {
    let words = payload.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.fold(position + twin.len() as u64, u64::wrapping_add)
}

fn sum_of(messages: &[Message]) -> u64 {
    let each = messages.iter().map(|m| sum(m.position, &m.twin, m.payload.as_bytes()));
    each.fold(0, u64::wrapping_add)
}

/// Nanoseconds a message to fill, to write, and to make and read again; and the sum that was read.
type Round = ([f64; 3], u64);

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn round<C: ContainerBytes>(fill: impl Fn() -> C, read: impl Fn(&C) -> u64) -> Round {
    let now = std::time::Instant::now;
    let mut slab = BytesMut::from(vec![0; fill().length_in_bytes()]);
    let (mut times, mut total) = ([0.0; 3], 0_u64);
    let mut add = |part: usize, start: std::time::Instant| {
        times[part] += start.elapsed().as_nanos() as f64 / (PASSES * ROWS) as f64;
    };
    for _ in 0..PASSES {
        let start = now();
        let container = black_box(fill());
        add(0, start);
        let start = now();
        let length = container.length_in_bytes();
        container.into_bytes(&mut &mut slab[..length]);
        add(1, start);
        let start = now();
        drop(container);
        add(0, start);
        let start = now();
        let back = C::from_bytes(black_box(slab.extract_to(length)));
        total = total.wrapping_add(read(&back));
        drop(back);
        add(2, start);
        assert_eq!(slab.try_regenerate::<Vec<u8>>(), Some(true), "nobody has it any more");
    }
    (times, total)
}

fn rounds(vector: &[Message]) -> [Round; 3] {
    let frames = round(
        || frame(vector),
        |frame| {
            let view = frame.view();
            let rows = (0..view.rows()).map(|index| view.row(index));
            let each = rows.map(|row| sum(row.position(), row.id(), row.payload()));
            each.fold(0, u64::wrapping_add)
        },
    );
    let by_serde = round(|| vector.to_vec(), |vector| sum_of(vector));
    let aboms = round(|| Abom::from(vector.to_vec()), |abom| sum_of(abom.rows()));
    assert!(frames.1 == by_serde.1 && by_serde.1 == aboms.1, "they read the same");
    [frames, by_serde, aboms]
}

/// `TWINFLOW_ABOMONATION=same-machine cargo test --release -p twinflow-operators --lib
/// --features abomonation cost_of_codecs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build on a quiet machine"]
fn cost_of_codecs_at_an_exchange() {
    println!("payload, ns a message: fill, write, make and read again; medians");
    for payload in [32, 104, 256] {
        let vector: Vec<_> = (0..ROWS).map(|number| message(number, payload)).collect();
        let rounds: Vec<_> = (0..ROUNDS).map(|_| rounds(&vector)).collect();
        let median = |of: &dyn Fn(&[Round; 3]) -> f64| {
            let mut values: Vec<_> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        for (at, name) in ["frame", "Vec by serde", "Abom"].into_iter().enumerate() {
            let [fill, write, read] = [0, 1, 2].map(|part| median(&|round| round[at].0[part]));
            println!("{payload:>3} B {name:<12} {fill:>4.0} {write:>4.0} {read:>4.0}");
        }
        let codec = |round: &Round| round.0[1] + round.0[2];
        let all = |round: &Round| round.0.iter().sum::<f64>();
        let [frame, serde] = [0, 1].map(|to| median(&|round| codec(&round[2]) / codec(&round[to])));
        let filled = median(&|round| all(&round[2]) / all(&round[0]));
        println!(
            "{payload:>3} B Abom / frame {frame:.2}, filled too {filled:.2}; / Vec {serde:.2}"
        );
    }
}
