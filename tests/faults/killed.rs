use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    client::{Client, TWINS},
    target::{Journal, Target, engine},
};

const KILLS: u64 = 20;
const CLIENTS: usize = 6;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Everything that was answered is in the directory; with another number of workers each time.
fn check(dir: &Path, workers: usize, clients: &[Client]) {
    let engine = engine(dir, workers, "127.0.0.1:0");
    for client in clients {
        let states = (0..TWINS).map(|twin| engine.twin::<Journal>("journal", &client.twin(twin)));
        let states: Vec<Vec<u64>> =
            states.map(|state| state.unwrap().map_or(Vec::new(), |it| it.numbers)).collect();
        // Counted after the states were read: the process that answered is dead.
        let answered = client.answered.load(Ordering::SeqCst);
        for (twin, numbers) in (0..).zip(states) {
            let (count, least) =
                (client.assert_applied(twin, &numbers, answered), Client::of_twin(answered, twin));
            let told = format!("client {}, twin {twin}: {numbers:?}", client.number);
            assert!(count <= least + 1, "only one can be on its way: {told}");
        }
    }
    // As a crash, so that the next start has something to mend.
    drop(engine);
}

#[test]
fn acknowledged_is_durable_and_keys_are_applied_once_over_twenty_kills() {
    let dir = tempfile::tempdir().unwrap();
    let (address, stop) = (free_address(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| Client::start(number, address, &stop)).collect();
    let answered = || clients.iter().map(|it| it.answered.load(Ordering::SeqCst)).sum::<u64>();
    for kill in 0..KILLS {
        let before = answered();
        let mut target = Target::start(dir.path(), address);
        // Not until it works, and then at another moment each time.
        for _look in 0..2000 {
            if answered() > before {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(500 + kill * 7919 % 1000));
        assert!(answered() > before, "nothing was answered before kill {kill}");
        assert!(target.runs(), "it ended by itself before kill {kill}");
        drop(target);
        check(dir.path(), 1 + kill as usize % 3, &clients);
    }
    stop.store(true, Ordering::Relaxed);
    let repeated = clients.iter().map(|it| it.repeated.load(Ordering::SeqCst)).sum::<u64>();
    assert!(answered() > KILLS * 10 && repeated > KILLS, "{} and {repeated}", answered());
    check(dir.path(), 2, &clients);
    clients.into_iter().for_each(Client::end);
}
