//! A processor tested without an engine, by the engine's own decode, guard and limits.

use std::sync::atomic::{AtomicBool, Ordering};

use twinflow_connectors::{
    error::chain,
    message::{Format, Timestamp},
    row::{Attributes, AttributesWriter},
};

use super::{
    call::{CallSite, Calls, call_twin},
    guard::guarded,
    settings::ModelSettings,
};
use crate::{
    context::ProcessingContext,
    message::{MessageInfo, Messages, RawMessage, TwinMessage},
    model::{
        Grouping, MessageOf, MessageProcessor, Outcome, ProcessingError, ProcessingResult,
        Rollback, TwinModel,
    },
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
    processor: Watched<P>,
    exists: bool,
    /// The twin's state; the default one until its first call. A test may set it between calls; set
    /// before the first call it counts only for a twin from [`TestTwin::existing`].
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
        Self {
            processor: Watched { processor, discarded: AtomicBool::new(false) },
            exists: false,
            state: P::Model::default(),
            now: Timestamp(0),
            settings,
        }
    }

    /// A twin that exists already, with this state: `initialize` is not called for it.
    pub fn existing(processor: P, state: P::Model) -> Self {
        Self { exists: true, state, ..Self::new(processor) }
    }

    /// Whether the twin exists: a call made it and none removed it since.
    pub fn exists(&self) -> bool {
        self.exists
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
            let saved =
                (P::ROLLBACK == Rollback::LastEncoded && self.exists).then(|| encoded(&self.state));
            let site = self.site();
            let messages = Messages::new(&values, &infos);
            call_twin(&site, "test", &mut state, saved.as_deref(), messages, &mut calls);
            self.exists = state.is_some();
            self.state = state.unwrap_or_default();
        }
        assert!(
            !self.processor.discarded.load(Ordering::Relaxed),
            "the processor changed the twin and then said NoUpdate: the change is lost"
        );
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

    fn site(&self) -> CallSite<'_, Watched<P>> {
        CallSite {
            processor: &self.processor,
            model: "test",
            now: self.now,
            grouping: self.settings.grouping.unwrap_or(P::GROUPING),
            retries_max: self.settings.retries_max,
            state_bytes_max: usize::try_from(self.settings.state_bytes_max).unwrap_or(usize::MAX),
            encode: true,
            owe: false,
        }
    }
}

/// A processor that is watched for changes which it then discards.
#[derive(Debug)]
struct Watched<P> {
    processor: P,
    /// Whether a call changed the state and said `NoUpdate`.
    discarded: AtomicBool,
}

impl<P: MessageProcessor> MessageProcessor for Watched<P> {
    type Model = P::Model;
    const GROUPING: Grouping = P::GROUPING;
    const ROLLBACK: Rollback = P::ROLLBACK;

    fn initialize(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut P::Model,
    ) -> Result<(), ProcessingError> {
        self.processor.initialize(cx, twin)
    }

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut P::Model,
        messages: Messages<'_, MessageOf<'_, P>>,
    ) -> ProcessingResult {
        // States need not be comparable; their encoded forms are.
        let before = encoded(twin);
        let result = self.processor.process_messages(cx, twin, messages);
        if matches!(result, Ok(Outcome::NoUpdate)) && encoded(twin) != before {
            self.discarded.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// The stored form; empty when there is none, which the call itself reports.
fn encoded<M: TwinModel>(twin: &M) -> Vec<u8> {
    rmp_serde::to_vec_named(twin).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Sum {
        initialized: u32,
        sum: i64,
    }

    impl TwinModel for Sum {
        type Message<'m> = i64;
    }

    /// Adds; 0 is ignored, negative numbers are errors after the fact.
    struct Add<const LAST_ENCODED: bool>;

    impl<const LAST_ENCODED: bool> MessageProcessor for Add<LAST_ENCODED> {
        type Model = Sum;
        const ROLLBACK: Rollback =
            if LAST_ENCODED { Rollback::LastEncoded } else { Rollback::Clone };

        fn initialize(
            &self,
            _: &mut ProcessingContext<'_>,
            twin: &mut Sum,
        ) -> Result<(), ProcessingError> {
            twin.initialized += 1;
            Ok(())
        }

        fn process_messages(
            &self,
            _: &mut ProcessingContext<'_>,
            twin: &mut Sum,
            messages: Messages<'_, i64>,
        ) -> ProcessingResult {
            for number in messages {
                twin.sum += number;
                if *number < 0 {
                    return Err(ProcessingError::message("negative"));
                }
                if *number > 99 {
                    return Ok(Outcome::NoUpdate);
                }
            }
            let zeros = messages.iter().all(|number| *number == 0);
            Ok(if zeros { Outcome::NoUpdate } else { Outcome::Update })
        }
    }

    fn law_p1_a_failed_call_leaves_the_twin<P: MessageProcessor<Model = Sum>>(processor: P) {
        let mut twin = TestTwin::new(processor);
        twin.call(&["3"]);
        let call = twin.call(&["-1"]);
        assert_eq!((call.failures.len(), call.updated), (1, false));
        assert_eq!((twin.state.sum, twin.exists(), twin.state.initialized), (3, true, 1));
        let call = twin.call(&["4", "-1", "5"]);
        assert_eq!((call.failures, call.calls), (vec!["negative".to_owned()], 4));
        assert_eq!((twin.state.sum, twin.state.initialized), (12, 1));
        assert!(!twin.call(&["0"]).updated);
        assert_eq!((twin.state.sum, twin.exists()), (12, true));
    }

    #[test]
    fn law_p1_a_failed_call_leaves_a_twin_that_rolls_back_by_its_clone() {
        law_p1_a_failed_call_leaves_the_twin(Add::<false>);
    }

    #[test]
    fn law_p8_a_failed_call_leaves_a_twin_that_rolls_back_by_its_encoded_form() {
        law_p1_a_failed_call_leaves_the_twin(Add::<true>);
    }

    #[test]
    #[should_panic(expected = "changed the twin and then said NoUpdate")]
    fn a_change_that_is_discarded_fails_the_test() {
        TestTwin::new(Add::<false>).call(&["100"]);
    }

    #[test]
    fn a_no_update_of_an_unchanged_twin_fails_nothing() {
        let mut twin = TestTwin::new(Add::<false>);
        assert!(!twin.call(&["0"]).updated);
        assert!(!twin.exists(), "law P4: a new twin whose only outcome is NoUpdate");
    }

    #[test]
    fn an_existing_twin_is_not_initialized_again() {
        let mut twin = TestTwin::existing(Add::<true>, Sum { initialized: 7, sum: 1 });
        twin.call(&["1"]);
        assert_eq!((twin.state.initialized, twin.state.sum), (7, 2));
    }

    struct Shout;

    impl MessageProcessor for Shout {
        type Model = Sum;

        fn process_messages(
            &self,
            cx: &mut ProcessingContext<'_>,
            twin: &mut Sum,
            messages: Messages<'_, i64>,
        ) -> ProcessingResult {
            for number in messages {
                let refused = (0..*number).filter(|n| cx.send_to_data_source(n).is_err()).count();
                twin.sum += refused as i64;
            }
            Ok(Outcome::Update)
        }
    }

    #[test]
    fn law_p1_a_call_over_the_feedback_limit_fails_even_if_it_ignores_the_error() {
        let mut twin = TestTwin::new(Shout);
        let call = twin.call(&["101"]);
        assert_eq!(call.failures, ["the call sends more than 100 feedback messages"]);
        assert!(call.feedback.is_empty() && !twin.exists());
        assert_eq!(twin.call(&["100"]).feedback.len(), 100);
        assert_eq!(twin.state.sum, 0);
    }
}
