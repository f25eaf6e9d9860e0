//! Drives the event loop of a client crate inside the task that asks for its events.
//!
//! The loop of the crate may not be dropped half way, a packet that it was writing would be lost;
//! what waits for its events is dropped all the time. So the loop is a future of its own that is
//! kept between the calls.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use super::ClientEvent;
use crate::mqtt::trouble::Trouble;

/// Events that are gathered before they are given out, if the network has them ready.
const EVENTS_AT_ONCE: usize = 256;

/// The event loop, and what it has told.
pub(super) struct Driver {
    /// Never resolves before the connection is over.
    run: Pin<Box<dyn Future<Output = Trouble> + Send>>,
    told: Told,
    over: Option<Trouble>,
}

/// Where the loop puts its events.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Vec<ClientEvent>>>);

impl Told {
    /// Adds an event; lets the reader have its turn when there are enough.
    pub(super) async fn push(&self, event: ClientEvent) {
        let count = {
            let mut told = self.0.lock().expect("nothing here panics");
            told.push(event);
            told.len()
        };
        if count >= EVENTS_AT_ONCE {
            tokio::task::yield_now().await;
        }
    }

    fn take(&self, events: &mut Vec<ClientEvent>) -> bool {
        let mut told = self.0.lock().expect("nothing here panics");
        events.append(&mut told);
        !events.is_empty()
    }
}

impl Driver {
    pub(super) fn new<F>(run: impl FnOnce(Told) -> F) -> Self
    where
        F: Future<Output = Trouble> + Send + 'static,
    {
        let told = Told::default();
        Self { run: Box::pin(run(told.clone())), told, over: None }
    }

    /// Events as soon as there are any; the trouble that ended the connection after all of them.
    pub(super) async fn next(&mut self, events: &mut Vec<ClientEvent>) -> Result<(), Trouble> {
        poll_fn(|context| {
            if self.over.is_none()
                && let Poll::Ready(trouble) = self.run.as_mut().poll(context)
            {
                self.over = Some(trouble);
            }
            if self.told.take(events) {
                return Poll::Ready(Ok(()));
            }
            match &self.over {
                Some(trouble) => Poll::Ready(Err(trouble.clone())),
                None => Poll::Pending,
            }
        })
        .await
    }
}
