//! A processor tested without an engine, by the engine's own decode, guard and limits.

use twinflow_connectors::{
    message::{Format, Timestamp},
    row::{Attributes, AttributesWriter},
};

use super::{
    call::{CallSite, Calls, call_twin},
    guard::{chain, guarded},
    settings::ModelSettings,
};
use crate::{
    message::{MessageInfo, RawMessage, TwinMessage},
    model::{MessageOf, MessageProcessor},
};

/// One twin and its processor. The state and the clock are fields.
///
/// ```
/// # use twinflow_operators::{TestTwin, message::Messages, model::*, context::ProcessingContext};
/// # #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
/// # struct Counter { seen: usize }
/// # impl TwinModel for Counter { type Message<'m> = u64; }
/// # struct Count;
/// # impl MessageProcessor for Count {
/// #     type Model = Counter;
/// #     fn process_messages(&self, cx: &mut ProcessingContext<'_>, twin: &mut Counter,
/// #         messages: Messages<'_, u64>) -> ProcessingResult {
/// #         twin.seen += messages.len();
/// #         cx.send_to_data_source(&twin.seen)?;
/// #         Ok(Outcome::Update)
/// #     }
/// # }
/// let mut twin = TestTwin::new(Count);
/// let call = twin.call(&["1", "2", "not a number"]);
/// assert_eq!((twin.state.seen, call.undecodable), (2, 1));
/// assert_eq!(call.feedback, [2]);
/// ```
#[derive(Debug)]
pub struct TestTwin<P: MessageProcessor> {
    processor: P,
    exists: bool,
    /// The twin's state; the default one until its first call.
    pub state: P::Model,
    /// The epoch's time.
    pub now: Timestamp,
    /// The settings that a model has in the file.
    pub settings: ModelSettings,
}

/// What one group of messages came to.
#[derive(Debug)]
pub struct Call {
    /// Why messages failed, in their order; empty when all were applied.
    pub failures: Vec<String>,
    /// How many messages could not be decoded.
    pub undecodable: usize,
    /// What the twin sent, as JSON; bytes that are no JSON are left out.
    pub feedback: Vec<serde_json::Value>,
    /// Whether the state was written (`Update` or `Remove`).
    pub updated: bool,
    /// How often the processor was called.
    pub calls: u64,
}

/// A message for [`TestTwin::call_messages`].
#[derive(Clone, Copy, Debug)]
pub struct TestMessage<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// Headers.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The source's own time.
    pub source_time: Option<Timestamp>,
}

impl<P: MessageProcessor> TestTwin<P> {
    /// A twin that does not exist yet.
    pub fn new(processor: P) -> Self {
        let settings = ModelSettings::default();
        Self { processor, exists: false, state: P::Model::default(), now: Timestamp(0), settings }
    }

    /// Calls the processor as an epoch with these JSON messages would.
    ///
    /// # Panics
    ///
    /// When the processor changed the state and then said `NoUpdate`: the engine would have thrown
    /// the change away.
    pub fn call(&mut self, payloads: &[&str]) -> Call {
        let messages: Vec<_> = payloads
            .iter()
            .map(|payload| TestMessage {
                payload: payload.as_bytes(),
                headers: &[],
                source_time: None,
            })
            .collect();
        self.call_messages(&messages)
    }

    /// The same with headers and source times.
    ///
    /// # Panics
    ///
    /// As [`Self::call`].
    pub fn call_messages(&mut self, messages: &[TestMessage<'_>]) -> Call {
        let attributes: Vec<_> = messages.iter().map(attributes_of).collect();
        let (mut values, mut infos, mut undecodable) = (Vec::new(), Vec::new(), 0);
        for (message, attributes) in messages.iter().zip(&attributes) {
            let attributes = Attributes::new(attributes.bytes());
            let info = MessageInfo::new("test", self.now, Format::Json, attributes);
            let raw = RawMessage { payload: message.payload, info };
            match guarded(|| MessageOf::<'_, P>::decode(raw).map_err(|error| chain(&error))) {
                Ok(Ok(value)) => {
                    values.push(value);
                    infos.push(info);
                }
                Ok(Err(_)) | Err(_) => undecodable += 1,
            }
        }
        let mut calls = Calls::default();
        if !values.is_empty() {
            let mut state = self.exists.then(|| self.state.clone());
            let site = self.site();
            call_twin(&site, &mut state, None, &values, &infos, &mut calls);
            self.exists = state.is_some();
            self.state = state.unwrap_or_default();
        }
        let feedback = (0..calls.feedback.len())
            .filter_map(|index| serde_json::from_slice(calls.feedback.get(index)).ok());
        Call {
            feedback: feedback.collect(),
            failures: calls.failures.iter().map(|failure| failure.reason.clone()).collect(),
            undecodable,
            updated: calls.changed,
            calls: calls.made,
        }
    }

    fn site(&self) -> CallSite<'_, P> {
        CallSite {
            processor: &self.processor,
            model: "test",
            twin: "test",
            now: self.now,
            has_data_source: true,
            grouping: self.settings.grouping.unwrap_or(P::GROUPING),
            retries_max: self.settings.retries_max,
            state_bytes_max: usize::try_from(self.settings.state_bytes_max).unwrap_or(usize::MAX),
            encode: true,
        }
    }
}

fn attributes_of(message: &TestMessage<'_>) -> AttributesWriter {
    let mut attributes = AttributesWriter::default();
    for (name, value) in message.headers {
        attributes.header(name, value);
    }
    if let Some(time) = message.source_time {
        attributes.source_time(time);
    }
    attributes
}
