//! One call of user code, and what becomes of a group when it fails (laws P1, P2, P5, P8).
//!
//! The engine and `TestTwin` both go through here: what a test sees is what runs.

use std::ops::Range;

use twinflow_connectors::{error::chain, message::Timestamp};

use super::{encoding, guard::guarded};
use crate::{
    context::{FeedbackBuffer, ProcessingContext},
    message::Messages,
    model::{
        Grouping, MessageOf, MessageProcessor, Outcome, ProcessingError, RawState, Rollback,
        TwinModel,
    },
};

/// Who is called in an epoch, when, and within which limits; the same for all twins of a model.
#[derive(Debug)]
pub(crate) struct CallSite<'a, P> {
    pub(crate) processor: &'a P,
    pub(crate) model: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) grouping: Grouping,
    pub(crate) retries_max: u32,
    pub(crate) state_bytes_max: usize,
    /// Whether the store wants encoded states (law D13).
    pub(crate) encode: bool,
    /// Whether a state need only be one that can be encoded: it is written when the epochs that
    /// share a commit are over.
    pub(crate) owe: bool,
}

/// A message that failed, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Its index among the messages of the twin.
    pub(crate) message: usize,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
}

/// A call that succeeded: which messages it had and which feedback it sent.
#[derive(Debug)]
pub(crate) struct CallRecord {
    pub(crate) messages: Range<usize>,
    pub(crate) feedback: Range<usize>,
}

/// What the calls of one twin in one epoch left behind; kept and reused between twins.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) feedback: FeedbackBuffer,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) failures: Vec<Failure>,
    /// The encoded form of the state, if a call changed it.
    pub(crate) encoded: Vec<u8>,
    /// Instead of it: the state can be encoded, in at most so many bytes.
    pub(crate) owed: Option<usize>,
    /// Whether any call changed the state.
    pub(crate) changed: bool,
    /// Calls made, failed ones too.
    pub(crate) made: u64,
    trial: Vec<u8>,
}

impl Calls {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.feedback.clear();
        self.records.clear();
        self.failures.clear();
        self.encoded.clear();
        (self.changed, self.made, self.owed) = (false, 0, None);
    }
}

/// Why a call did not count.
struct Failed {
    reason: String,
    retry: bool,
}

impl From<ProcessingError> for Failed {
    fn from(error: ProcessingError) -> Self {
        Self { reason: chain(&*error.cause), retry: error.retry }
    }
}

/// Applies the messages of one twin: one group call, or one call each.
///
/// `saved` is the last encoded form, kept only for models that roll back by it.
#[inline]
pub(crate) fn call_twin<P: MessageProcessor>(
    site: &CallSite<'_, P>,
    twin: &str,
    state: &mut Option<P::Model>,
    saved: Option<&[u8]>,
    messages: Messages<'_, MessageOf<'_, P>>,
    calls: &mut Calls,
) {
    if site.grouping == Grouping::Epoch
        && messages.len() > 1
        && call(site, twin, state, saved, messages, 0..messages.len(), calls).is_ok()
    {
        return;
    }
    for message in 0..messages.len() {
        let range = message..message + 1;
        let mut attempts = 1;
        loop {
            match call(site, twin, state, saved, messages, range.clone(), calls) {
                Ok(()) => break,
                Err(failed) if failed.retry && attempts <= site.retries_max => attempts += 1,
                Err(Failed { reason, .. }) => {
                    calls.failures.push(Failure { message, reason, attempts });
                    break;
                }
            }
        }
    }
}

/// Creates the twin without a message. What it sends has no data source; that is the caller's.
pub(crate) fn create<P: MessageProcessor>(
    site: &CallSite<'_, P>,
    twin: &str,
    state: &mut Option<P::Model>,
    calls: &mut Calls,
) -> Result<(), String> {
    let none = Messages::new(&[], &[]);
    call(site, twin, state, None, none, 0..0, calls).map_err(|failed| failed.reason)?;
    // A record stands for messages, and there was none.
    calls.records.pop();
    Ok(())
}

/// One call. On success the state is what the processor made of it, and `calls` has its encoded
/// form and feedback; on failure everything is as before.
fn call<P: MessageProcessor>(
    site: &CallSite<'_, P>,
    twin: &str,
    state: &mut Option<P::Model>,
    saved: Option<&[u8]>,
    all: Messages<'_, MessageOf<'_, P>>,
    messages: Range<usize>,
    calls: &mut Calls,
) -> Result<(), Failed> {
    let by_clone = P::ROLLBACK == Rollback::Clone || !site.encode;
    let was_there = state.is_some();
    let sent = calls.feedback.len();
    calls.feedback.start_call();
    calls.trial.clear();
    calls.made += 1;
    let Calls { feedback, trial, .. } = calls;
    let batch = all.slice(messages.clone());
    let mut before = None;
    let result = guarded(|| {
        if by_clone {
            // Cloning is the user's code too; a state that cannot be cloned was not touched.
            before = Some(state.clone());
        }
        run(site, twin, state, batch, feedback, trial)
    })
    .unwrap_or_else(|panic| Err(Failed { reason: panic, retry: false }));
    if !matches!(result, Ok((Outcome::Update | Outcome::Remove, _))) {
        if let Some(before) = before {
            *state = before;
        } else if !by_clone {
            // What an earlier call of this epoch encoded is newer than what was saved.
            let newest = if calls.changed { Some(&calls.encoded[..]) } else { saved };
            *state = newest.filter(|_| was_there).map(decode_own::<P::Model>);
        }
    }
    match result {
        Ok((outcome, owed)) => {
            if outcome != Outcome::NoUpdate {
                std::mem::swap(&mut calls.encoded, &mut calls.trial);
                (calls.changed, calls.owed) = (true, owed);
            }
            let feedback = sent..calls.feedback.len();
            calls.records.push(CallRecord { messages, feedback });
            Ok(())
        }
        Err(failed) => {
            calls.feedback.undo_call();
            Err(failed)
        }
    }
}

/// Everything that is inside the guard (law P1), decoding apart. With the outcome comes the length
/// of a state that is to be written later.
fn run<P: MessageProcessor>(
    site: &CallSite<'_, P>,
    twin: &str,
    state: &mut Option<P::Model>,
    messages: Messages<'_, MessageOf<'_, P>>,
    feedback: &mut FeedbackBuffer,
    encoded: &mut Vec<u8>,
) -> Result<(Outcome, Option<usize>), Failed> {
    // Only what brings a message has a source.
    let has_data_source = !messages.is_empty();
    let mut cx = ProcessingContext::new(site.model, twin, site.now, has_data_source, feedback);
    let twin = match state {
        Some(twin) => twin,
        None => {
            let twin = state.insert(P::Model::default());
            site.processor.initialize(&mut cx, twin)?;
            twin
        }
    };
    let outcome = if messages.is_empty() {
        Outcome::Update
    } else {
        site.processor.process_messages(&mut cx, twin, messages)?
    };
    if let Some(limit) = feedback.passed() {
        return Err(Failed { reason: limit.to_owned(), retry: false });
    }
    let mut owed = None;
    match outcome {
        Outcome::Update if site.encode => {
            owed = bound_of(site, twin);
            if owed.is_none() {
                encode(twin, encoded, site.state_bytes_max)?;
            }
        }
        Outcome::Remove => *state = None,
        Outcome::Update | Outcome::NoUpdate => {}
    }
    Ok((outcome, owed))
}

/// The length of a state that may be written later, at most; it keeps its limit whatever it is.
#[inline]
fn bound_of<P: MessageProcessor>(site: &CallSite<'_, P>, twin: &P::Model) -> Option<usize> {
    let may = site.owe && P::ROLLBACK == Rollback::Clone;
    let bound = if may { encoding::bound(twin) } else { None };
    bound.filter(|bytes| *bytes <= site.state_bytes_max)
}

fn encode<M: TwinModel>(twin: &M, to: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failed> {
    let failed = |reason| Failed { reason, retry: false };
    encoding::write(to, twin)
        .map_err(|error| failed(format!("the state does not serialise: {error}")))?;
    if to.len() > bytes_max {
        let len = to.len();
        return Err(failed(format!("the state has {len} bytes, the limit is {bytes_max}")));
    }
    Ok(())
}

/// A state that this very process encoded, decoded again.
fn decode_own<M: TwinModel>(bytes: &[u8]) -> M {
    RawState::new(bytes).deserialize().expect("a state that was encoded here can be decoded here")
}
