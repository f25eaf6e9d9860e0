//! The opt-in codec where it may be used: between two processes over a socket pair.

use std::{os::unix::net::UnixStream, sync::mpsc};

use timely::{
    communication::{
        AllocatorBuilder, Hooks,
        allocator::{ProcessBuilder, zero_copy::initialize::initialize_networking_from_sockets},
    },
    container::CapacityContainerBuilder,
    dataflow::{
        InputHandle,
        channels::pact::ExchangeCore,
        operators::{Input, generic::Operator},
    },
};
use twinflow_operators::{abom::Abom, abom_row};

abom_row! {
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Event {
        number: u64,
        twin: String,
    }
}

type Builder = CapacityContainerBuilder<Abom<Event>>;

const EVENTS: u64 = 20_000;

fn event(number: u64) -> Event {
    Event { number, twin: format!("pump-{}", number % 97) }
}

/// One of the two: gives its half of the events out, and `to` what it gets.
fn process(index: usize, socket: UnixStream, to: mpsc::SyncSender<(usize, Event)>) {
    let hooks = Hooks::default();
    let inner = ProcessBuilder::new_typed_vector(1, hooks.refill.clone(), None);
    let mut sockets = vec![Some(socket)];
    sockets.insert(index, None);
    let (builders, guard) =
        initialize_networking_from_sockets(inner, sockets, index, 1, hooks).unwrap();
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    let config = timely::WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, Box::new(guard), config, move |worker| {
        let (mut input, to) = (InputHandle::<u64, Builder>::new_with_builder(), to.clone());
        worker.dataflow(|scope| {
            let pact = ExchangeCore::<Builder, _>::new_core(|event: &Event| event.number / 2);
            scope.input_from(&mut input).sink(pact, "receive", move |(input, _)| {
                input.for_each(|_, events: &mut Abom<Event>| {
                    events.rows().iter().for_each(|event| to.send((index, event.clone())).unwrap());
                });
            });
        });
        for number in (index as u64..EVENTS).step_by(2) {
            input.send(event(number));
        }
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
}

#[test]
fn abom_rows_of_each_process_arrive_at_their_owner() {
    let (one, other) = UnixStream::pair().unwrap();
    let (to, from) = mpsc::sync_channel(EVENTS as usize);
    let both = [one, other].into_iter().enumerate().map(|(index, socket)| {
        let to = to.clone();
        std::thread::spawn(move || process(index, socket, to))
    });
    let running: Vec<_> = both.collect();
    running.into_iter().for_each(|process| process.join().unwrap());
    drop(to);
    let mut arrived: Vec<_> = from.into_iter().collect();
    arrived.sort_by_key(|(_, event)| event.number);
    let owner = |number: u64| (number / 2 % 2) as usize;
    assert!(arrived.into_iter().eq((0..EVENTS).map(|number| (owner(number), event(number)))));
}
