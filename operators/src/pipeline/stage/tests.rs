//! Rows through closures, without a graph.

use serde::{Deserialize, Serialize};
use twinflow_connectors::{
    link::{Edge, ModelNames},
    message::{Format, Timestamp},
};

use super::{super::out::Route, *};
use crate::{
    models::Models,
    process::tests::bench::{shared_of, slot},
    recover::Recovered,
};

fn shared(workers: usize) -> Rc<WorkerShared> {
    let names = ModelNames::new([("log".to_owned(), 0)]);
    let edge = Edge::new(workers, names, Arc::new(|| Timestamp(0)));
    let slots = [slot(0, "plant", false, &edge)];
    shared_of(&edge, &slots, &Models::new(), &Arc::default(), &Recovered::default())
}

fn frame(owner: u32, rows: impl Iterator<Item = (u64, String, String)>) -> Frame {
    let mut builder = FrameBuilder::new(owner, &Arc::default());
    for (position, twin, payload) in rows {
        let (kind, format) = (RowKind::Message, Format::Json);
        let head =
            RowHead { received_at: Timestamp(1), position, origin: 0, model: 0, kind, format };
        builder.push(twin_hash(twin.as_bytes()), &head, &twin, &[], payload.as_bytes());
    }
    Frame::new(builder.finish())
}

fn rows(frames: &[Frame]) -> Vec<(usize, u64, String, String)> {
    let rows = frames.iter().flat_map(|frame| {
        let view = frame.view();
        (0..view.rows()).map(move |index| {
            let (row, hash) = (view.row(index), view.hash(index));
            assert_eq!(hash, twin_hash(row.id_bytes()), "the directory is right");
            let payload = String::from_utf8_lossy(row.payload()).into_owned();
            (frame.owner(), row.position(), row.id().to_owned(), payload)
        })
    });
    rows.collect()
}

#[test]
fn law_s8_rows_of_several_frames_are_readdressed_in_the_order_of_their_source() {
    let shared = shared(4);
    let message = |position: u64| (position, format!("t-{position}"), position.to_string());
    // Two owners' frames of one delivery.
    let frames =
        [frame(0, [0, 3, 4].into_iter().map(message)), frame(1, [1, 2].into_iter().map(message))];
    let made = Stage::new(&shared, true).run(&frames, |_, out| out.pass_to(&Route::twin("one")));
    let rows = rows(&made);
    let to = owner(bucket(twin_hash(b"one")), 4);
    assert!(rows.iter().all(|row| row.0 == to && row.2 == "one"), "{rows:?}");
    assert!(rows.iter().map(|row| row.1).eq(0..5), "{rows:?}");
}

#[test]
fn a_frame_of_which_all_is_kept_is_not_made_anew() {
    let mut stage = Stage::new(&shared(1), false);
    let of = |count: u64| frame(0, (0..count).map(|n| (n, "t".to_owned(), n.to_string())));
    let whole = of(9);
    let body = whole.view().row(0).bytes().as_ptr();
    let kept = stage.filter(vec![whole], &|_| true);
    assert_eq!(kept[0].view().row(0).bytes().as_ptr(), body);
    let kept = stage.filter(vec![of(9)], &|message| message.payload != b"4");
    assert!(rows(&kept).iter().map(|row| row.1).eq([0, 1, 2, 3, 5, 6, 7, 8]));
    assert_eq!(stage.shared.setup.progress.pipeline.dropped.load(Ordering::Relaxed), 1);
}

#[derive(Serialize, Deserialize)]
struct Reading {
    celsius: f64,
    vibration: f64,
    seq: u64,
}

/// `cargo test --release -p twinflow-operators --lib cost_of -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build on a quiet machine"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn cost_of_operators_before_the_twins() {
    let shared = shared(1);
    let payload = |n: u64| {
        format!(
            r#"{{"celsius":{}.25,"vibration":0.0{n},"seq":{n},"unit":"a-name-of-a-unit","x":0}}"#,
            n % 90
        )
    };
    let frames: Vec<_> = (0..64)
        .map(|_| frame(0, (0..1024).map(|n| (n, format!("turbine-{n}"), payload(n)))))
        .collect();
    let count = 64.0 * 1024.0;
    let measure = |what: &str, run: &mut dyn FnMut(&Frame)| {
        let mut best = f64::INFINITY;
        for _ in 0..15 {
            let start = std::time::Instant::now();
            frames.iter().for_each(&mut *run);
            best = best.min(start.elapsed().as_nanos() as f64 / count);
        }
        println!("{what}: {best:.0} ns a message");
    };
    let read = |payload: &[u8]| serde_json::from_slice::<Reading>(payload).unwrap();
    measure("read JSON and write JSON, no operator", &mut |frame| {
        let view = frame.view();
        let mut bytes = Vec::new();
        for index in 0..view.rows() {
            let mut reading = read(view.row(index).payload());
            reading.celsius += 1.0;
            bytes.clear();
            serde_json::to_writer(&mut bytes, &reading).unwrap();
            std::hint::black_box(&bytes);
        }
    });
    let mut stage = Stage::new(&shared, false);
    measure("map", &mut |frame| {
        let made = stage.run(std::slice::from_ref(frame), |message, out| {
            let mut reading: Reading = message.deserialize()?;
            reading.celsius += 1.0;
            out.emit(&reading)
        });
        std::hint::black_box(made);
    });
    measure("flat_map that passes each on", &mut |frame| {
        std::hint::black_box(stage.run(std::slice::from_ref(frame), |_, out| out.pass()));
    });
    measure("filter that keeps all", &mut |frame| {
        std::hint::black_box(
            stage.filter(vec![frame.clone()], &|message| !message.payload.is_empty()),
        );
    });
}
