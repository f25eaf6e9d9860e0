//! W1 and W2 as a user would write them: a twin model each and its message processor.
//!
//! Estimate: the functions' own (see [`crate::w1`] and [`crate::w2`]); W2's key is read from 16 hex
//! digits, 10-15 ns that the limit does not pay. A latency costs two reads of memory and one of the
//! clock, 60 ns, in W3 only.

use std::sync::Arc;

use twinflow::prelude::*;

use super::due::Due;
use super::stripes::Stripes;
use crate::check::Check;
use crate::clock;
use crate::latency::Histogram;
use crate::{w1, w2};

/// What one thread has counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) check: Check,
    latency: Option<Histogram>,
    text: Vec<u8>,
}

/// What came out of the twins of all workers.
#[derive(Debug, Default)]
pub(super) struct Outputs(Stripes);

impl Outputs {
    /// The output check so far.
    pub(super) fn check(&self) -> Check {
        let mut check = Check::default();
        self.0.each(|tally| check.merge(tally.check));
        check
    }

    /// All latencies so far.
    pub(super) fn latency(&self) -> Histogram {
        let mut all = Histogram::default();
        self.0.each(|tally| tally.latency.iter().for_each(|latency| all.merge(latency)));
        all
    }

    pub(super) fn alert(&self, alert: &w1::Alert, twin: &str) {
        self.0.with(|tally| {
            tally.text.clear();
            alert.write(twin.as_bytes(), &mut tally.text);
            tally.check.add_bytes(&tally.text);
        });
    }

    fn handled(&self, due: &Due, seq: u64) {
        let latency = due.since(seq, clock::now());
        self.0.with(|tally| tally.latency.get_or_insert_default().record(latency));
    }
}

impl TwinModel for w1::State {
    type Message<'m> = w1::Reading<'m>;
}

/// W1, and W3 when each message has a due time.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) outputs: Arc<Outputs>,
    pub(super) due: Option<Arc<Due>>,
}

impl MessageProcessor for Counting {
    type Model = w1::State;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut w1::State,
        readings: Messages<'_, w1::Reading<'_>>,
    ) -> ProcessingResult {
        for reading in readings {
            if let Some(alert) = twin.apply(reading) {
                self.outputs.alert(&alert, cx.twin());
            }
            if let Some(due) = &self.due {
                self.outputs.handled(due, reading.seq);
            }
        }
        Ok(Outcome::Update)
    }
}

impl TwinModel for w2::State {
    type Message<'m> = RawMessage<'m>;
}

/// W2.
#[derive(Debug)]
pub(super) struct Opaque {
    pub(super) outputs: Arc<Outputs>,
}

impl MessageProcessor for Opaque {
    type Model = w2::State;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut w2::State,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        let key = u64::from_str_radix(cx.twin(), 16)?;
        for message in messages {
            if let Some(output) = twin.apply(key, message.payload) {
                self.outputs.0.with(|tally| tally.check.add(output));
            }
        }
        Ok(Outcome::Update)
    }
}
