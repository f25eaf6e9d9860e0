//! The broker that all tests share which do not end it.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use twinflow_servers::{Kafka, Proxy};

/// Ways to it; each test that cuts takes one for itself.
const WAYS: usize = 4;

/// Started by the test that asks first.
pub(crate) fn shared() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| Kafka::start_with_ways(WAYS).unwrap())
}

/// A way to it that no other test has.
pub(crate) fn way() -> &'static Proxy {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    shared().way(number).expect("a way for each test: see WAYS")
}
