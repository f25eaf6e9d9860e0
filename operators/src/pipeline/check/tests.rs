//! Operators that keep the contract, and one for each way to break it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use timely::{
    container::NoopBuilder,
    dataflow::{
        Stream,
        operators::{Capability, generic::operator::source},
    },
};
use twinflow_connectors::{
    frame::FrameBuilder,
    message::{Format, Timestamp},
    row::{RowHead, RowKind},
};

use super::*;

fn frame(positions: &[u64]) -> Frame {
    let mut builder = FrameBuilder::new(0, &Arc::default());
    for position in positions {
        let (kind, format) = (RowKind::Message, Format::Json);
        let received_at = Timestamp(0);
        let head = RowHead { received_at, position: *position, origin: 0, model: 0, kind, format };
        builder.push(7, &head, "t", &[], b"1");
    }
    Frame::new(builder.finish())
}

type Rows<'scope> = Stream<'scope, u64, Frame>;

/// What is said of an operator that gets three epochs of two rows, and then 20 s of nothing.
fn said_of(with: impl for<'s> FnOnce(Rows<'s>) -> Rows<'s> + Send + Sync + 'static) -> Vec<String> {
    timely::execute_directly(move |worker| {
        let breaches = Rc::new(RefCell::new(Vec::new()));
        let (time, frames) = (Arc::new(AtomicU64::new(0)), Rc::new(RefCell::new(VecDeque::new())));
        let (told, taken, clock) = (Rc::clone(&breaches), Rc::clone(&frames), Arc::clone(&time));
        let activator = worker.dataflow::<u64, _, _>(|scope| {
            let mut activator = None;
            let rows = source::<_, NoopBuilder<Frame>, _, _>(scope, "rows", |capability, info| {
                activator = Some(scope.activator_for(info.address));
                let mut held: Option<Capability<u64>> = Some(capability);
                move |output| {
                    while let Some((epoch, frame)) = taken.borrow_mut().pop_front() {
                        let Some(capability) = held.as_mut() else { return };
                        capability.downgrade(&epoch);
                        let frame: Option<Frame> = frame;
                        match frame {
                            Some(mut frame) => {
                                let mut session = output.session_with_builder(&*capability);
                                session.give_container(&mut frame);
                            }
                            None => held = None,
                        }
                    }
                }
            });
            let time: Clock = Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)));
            let breach = move |why| told.borrow_mut().push(why);
            checked(rows, "mine", time, with, breach);
            activator.unwrap()
        });
        for epoch in 1..=3 {
            frames.borrow_mut().push_back((epoch, Some(frame(&[epoch * 2, epoch * 2 + 1]))));
            activator.activate();
            for _ in 0..20 {
                worker.step();
            }
        }
        frames.borrow_mut().push_back((4, None));
        activator.activate();
        for secs in 0..20 {
            time.store(secs * 1_000_000, Ordering::SeqCst);
            for _ in 0..5 {
                worker.step_or_park(Some(Duration::from_millis(60)));
            }
            if !breaches.borrow().is_empty() {
                break;
            }
        }
        // A capability that is kept would keep the worker for ever.
        worker.installed_dataflows().into_iter().for_each(|it| worker.drop_dataflow(it));
        breaches.take()
    })
}

type Give<'g> = &'g mut dyn FnMut(&Capability<u64>, Frame);

/// An operator that does `each` with every frame.
fn unary<'s>(
    rows: Rows<'s>,
    mut each: impl FnMut(&Capability<u64>, Frame, Give<'_>) + 'static,
) -> Rows<'s> {
    rows.unary::<NoopBuilder<Frame>, _, _, _>(Pipeline, "mine", move |initial, _| {
        drop(initial);
        move |input, output| {
            input.for_each(|capability, frame| {
                let held = capability.retain_least(0).unwrap();
                each(&held, std::mem::take(frame), &mut |at, mut frame| {
                    output.session_with_builder(at).give_container(&mut frame);
                });
            });
        }
    })
}

#[test]
fn law_s8_who_gives_on_what_came_is_let_alone() {
    assert_eq!(said_of(|rows| unary(rows, |at, frame, give| give(at, frame))), [""; 0]);
}

#[test]
fn law_s8_who_loses_makes_or_moves_rows_is_named() {
    let one = |said: Vec<String>, expected: &str| {
        let first = said.first().unwrap_or_else(|| panic!("nothing was said of: {expected}"));
        assert!(first.contains("\"mine\"") && first.contains(expected), "{first}");
    };
    let loses = said_of(|rows| {
        unary(rows, |at, frame, give| {
            if *at.time() != 2 {
                give(at, frame);
            }
        })
    });
    one(loses, "of epoch 2 it kept 2 rows that came and gave 0");
    let makes = said_of(|rows| {
        unary(rows, |at, frame, give| {
            give(at, frame.clone());
            give(at, frame);
        })
    });
    one(makes, "of epoch 1 it kept 0 rows that came and gave 2");
    let moves = said_of(|rows| unary(rows, |at, frame, give| give(&at.delayed(&9), frame)));
    one(moves, "of epoch 1 it kept 2 rows");
}

#[test]
fn law_s8_who_holds_an_epoch_is_named() {
    let holds = said_of(|rows| {
        let mut kept = Vec::new();
        unary(rows, move |at, frame, give| {
            give(at, frame);
            if *at.time() == 2 {
                kept.push(at.clone());
            }
        })
    });
    let first = holds.first().expect("it was said");
    assert!(first.contains("\"mine\"") && first.contains("holds epoch 2"), "{first}");
}
