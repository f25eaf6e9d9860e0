//! What a processor may do besides changing its twin.

use serde::Serialize;
use twinflow_connectors::message::Timestamp;

use crate::model::ProcessingError;

/// Feedback messages of one call (law: numbers).
pub const FEEDBACK_PER_CALL_MAX: usize = 100;
/// Bytes of the feedback of one call.
pub const FEEDBACK_BYTES_PER_CALL_MAX: usize = 1 << 20;

/// The twin that is called, the epoch's time, and the way back to the data source.
#[derive(Debug)]
pub struct ProcessingContext<'c> {
    model: &'c str,
    twin: &'c str,
    now: Timestamp,
    has_data_source: bool,
    feedback: &'c mut FeedbackBuffer,
}

impl<'c> ProcessingContext<'c> {
    /// A context for one call.
    pub(crate) fn new(
        model: &'c str,
        twin: &'c str,
        now: Timestamp,
        has_data_source: bool,
        feedback: &'c mut FeedbackBuffer,
    ) -> Self {
        Self { model, twin, now, has_data_source, feedback }
    }

    /// The name that the twin's model is registered under.
    pub fn model(&self) -> &str {
        self.model
    }

    /// The twin's id.
    pub fn twin(&self) -> &str {
        self.twin
    }

    /// The epoch's time: it never goes back, and a replay of the epoch sees the same (law P6).
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether feedback has somewhere to go.
    pub fn has_data_source(&self) -> bool {
        self.has_data_source
    }

    /// Sends a payload, as JSON, to the twin's data source once this call is durable.
    ///
    /// A twin without a data source is not an error: the feedback becomes a dead letter.
    ///
    /// # Errors
    ///
    /// The payload does not serialise, or the call passes 100 messages or 1 MiB.
    pub fn send_to_data_source<T: Serialize + ?Sized>(
        &mut self,
        payload: &T,
    ) -> Result<(), ProcessingError> {
        self.feedback.push_with(|bytes| Ok(serde_json::to_writer(bytes, payload)?))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The call passes 100 messages or 1 MiB.
    pub fn send_bytes_to_data_source(&mut self, payload: &[u8]) -> Result<(), ProcessingError> {
        self.feedback.push_with(|bytes| {
            bytes.extend_from_slice(payload);
            Ok(())
        })
    }
}

/// Feedback of one twin's calls in an epoch, one buffer for all.
#[derive(Debug, Default)]
pub(crate) struct FeedbackBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where the current call began: messages and bytes.
    call: (usize, usize),
    /// The limit that the current call passed: it fails even if it goes on.
    passed: Option<String>,
}

impl FeedbackBuffer {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.call = (0, 0);
        self.passed = None;
    }

    /// A new call begins; its limits count from here.
    #[inline]
    pub(crate) fn start_call(&mut self) {
        self.call = (self.ends.len(), self.bytes.len());
        self.passed = None;
    }

    /// The limit that the current call passed, if it did.
    pub(crate) fn passed(&self) -> Option<&str> {
        self.passed.as_deref()
    }

    /// The call failed: what it sent is forgotten.
    pub(crate) fn undo_call(&mut self) {
        self.ends.truncate(self.call.0);
        self.bytes.truncate(self.call.1);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn push_with(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ProcessingError>,
    ) -> Result<(), ProcessingError> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes).and_then(|()| self.within_limits());
        match written {
            Ok(()) => self.ends.push(self.bytes.len()),
            Err(_) => self.bytes.truncate(start),
        }
        written
    }

    fn within_limits(&mut self) -> Result<(), ProcessingError> {
        let (messages, bytes) = self.call;
        let passed = if self.ends.len() - messages >= FEEDBACK_PER_CALL_MAX {
            format!("the call sends more than {FEEDBACK_PER_CALL_MAX} feedback messages")
        } else if self.bytes.len() - bytes > FEEDBACK_BYTES_PER_CALL_MAX {
            format!("the call sends more than {FEEDBACK_BYTES_PER_CALL_MAX} bytes of feedback")
        } else {
            return Ok(());
        };
        self.passed = Some(passed.clone());
        Err(ProcessingError::message(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hundred_and_first_feedback_of_a_call_is_refused() {
        let mut buffer = FeedbackBuffer::default();
        for call in 0..2 {
            buffer.start_call();
            let mut cx = ProcessingContext::new("m", "t", Timestamp(0), true, &mut buffer);
            for _ in 0..FEEDBACK_PER_CALL_MAX {
                cx.send_to_data_source("x").unwrap();
            }
            assert!(cx.send_to_data_source("x").is_err(), "call {call}");
        }
        buffer.undo_call();
        assert_eq!((buffer.len(), buffer.get(99)), (100, &b"\"x\""[..]));
    }
}
