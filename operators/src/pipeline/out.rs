//! What a closure of a pipeline gives for one message.

use std::ops::Range;

use serde::Serialize;
use twinflow_connectors::{
    link::ModelNames,
    message::{
        Format,
        limits::{DELIVERY_BYTES_MAX, DELIVERY_ROWS_MAX, PAYLOAD_BYTES_MAX},
        twin_id_error,
    },
};

use crate::model::ProcessingError;

/// Messages that one message may become.
const MADE_MAX: usize = DELIVERY_ROWS_MAX;
/// Bytes of the payloads of all of them.
const MADE_BYTES_MAX: usize = 16 * DELIVERY_BYTES_MAX;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the twin that it is for already.
    Same,
    /// To another twin of the same model.
    Twin(String),
    /// To a twin of another model.
    Model {
        /// Name of the model.
        model: String,
        /// Id of the twin.
        twin: String,
    },
}

impl Route {
    /// To this twin of the same model.
    pub fn twin(twin: impl Into<String>) -> Self {
        Self::Twin(twin.into())
    }

    /// To this twin of this model.
    pub fn model(model: impl Into<String>, twin: impl Into<String>) -> Self {
        Self::Model { model: model.into(), twin: twin.into() }
    }
}

/// A message that a closure gave.
#[derive(Debug)]
pub(super) struct Made {
    /// Number of the model, if another one.
    pub(super) model: Option<u16>,
    /// Place of the twin's id among the ids, if another one.
    pub(super) twin: Option<Range<usize>>,
    /// Place and format of the payload, if another one.
    pub(super) payload: Option<(Range<usize>, Option<Format>)>,
}

/// Buffers of what closures give, reused from message to message.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) made: Vec<Made>,
    pub(super) ids: String,
    pub(super) payloads: Vec<u8>,
}

impl Given {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.made.clear();
        self.ids.clear();
        self.payloads.clear();
    }
}

/// Takes what a message becomes: nothing, itself, one or several others. Everything of one message
/// stays in its epoch, and is acknowledged with it.
///
/// What is made keeps time, headers and source of the message it is made from, and its id: the
/// first as it is, the n-th with `#n` behind it, so that what is sent twice is told twice from the
/// same origin and applied once.
#[derive(Debug)]
pub struct Out<'o> {
    given: &'o mut Given,
    models: &'o ModelNames,
}

impl<'o> Out<'o> {
    pub(super) fn new(given: &'o mut Given, models: &'o ModelNames) -> Self {
        Self { given, models }
    }

    /// The message as it came.
    ///
    /// # Errors
    ///
    /// One message becomes more than 4,096.
    pub fn pass(&mut self) -> Result<(), ProcessingError> {
        self.put(&Route::Same, None)
    }

    /// The message as it came, to another twin.
    ///
    /// # Errors
    ///
    /// There is no such model, the id cannot be one, or as [`Self::pass`].
    pub fn pass_to(&mut self, to: &Route) -> Result<(), ProcessingError> {
        self.put(to, None)
    }

    /// Another payload, as JSON, to the same twin.
    ///
    /// # Errors
    ///
    /// It does not serialise, has more than 1 MiB, or the message becomes more than 4,096 or 16
    /// MiB.
    #[inline]
    pub fn emit<T: Serialize + ?Sized>(&mut self, payload: &T) -> Result<(), ProcessingError> {
        self.emit_to(&Route::Same, payload)
    }

    /// Another payload, as JSON, to another twin.
    ///
    /// # Errors
    ///
    /// As [`Self::emit`] and [`Self::pass_to`].
    #[inline]
    pub fn emit_to<T: Serialize + ?Sized>(
        &mut self,
        to: &Route,
        payload: &T,
    ) -> Result<(), ProcessingError> {
        let start = self.given.payloads.len();
        serde_json::to_writer(&mut self.given.payloads, payload)?;
        self.put(to, Some((start..self.given.payloads.len(), Some(Format::Json))))
    }

    /// Other bytes to another twin, or with [`Route::Same`] to the same, in the format that the
    /// connection declares.
    ///
    /// # Errors
    ///
    /// As [`Self::emit_to`].
    pub fn emit_bytes(&mut self, to: &Route, payload: &[u8]) -> Result<(), ProcessingError> {
        let start = self.given.payloads.len();
        self.given.payloads.extend_from_slice(payload);
        self.put(to, Some((start..self.given.payloads.len(), None)))
    }

    #[inline]
    fn put(
        &mut self,
        to: &Route,
        payload: Option<(Range<usize>, Option<Format>)>,
    ) -> Result<(), ProcessingError> {
        let bytes = payload.as_ref().map_or(0, |(range, _)| range.len());
        if bytes > PAYLOAD_BYTES_MAX {
            let what = format!("a payload of {bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}");
            return Err(ProcessingError::message(what));
        }
        if self.given.made.len() >= MADE_MAX || self.given.payloads.len() > MADE_BYTES_MAX {
            return Err(ProcessingError::message(format!(
                "one message becomes more than {MADE_MAX} messages or {MADE_BYTES_MAX} bytes"
            )));
        }
        let (model, twin) = match to {
            Route::Same => (None, None),
            Route::Twin(twin) => (None, Some(self.id(twin)?)),
            Route::Model { model, twin } => {
                let number = self.models.number(model).ok_or_else(|| {
                    ProcessingError::message(format!("no model is called \"{model}\""))
                })?;
                (Some(number), Some(self.id(twin)?))
            }
        };
        self.given.made.push(Made { model, twin, payload });
        Ok(())
    }

    fn id(&mut self, twin: &str) -> Result<Range<usize>, ProcessingError> {
        if let Some(why) = twin_id_error(twin) {
            return Err(ProcessingError::message(why));
        }
        let start = self.given.ids.len();
        self.given.ids.push_str(twin);
        Ok(start..self.given.ids.len())
    }
}
