//! The three types that a user writes: message, message processor, twin model.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    context::ProcessingContext,
    message::{Cause, DecodeError, Messages, TwinMessage},
};

/// The state of one twin. A model's name is given where it is registered, so one type can serve
/// several device classes.
pub trait TwinModel: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// What its data source sends.
    type Message<'m>: TwinMessage<'m>;

    /// Version of the stored form. Raise it when `#[serde(default)]` is not enough to read an older
    /// one, and write [`Self::migrate`].
    const STATE_VERSION: u32 = 1;

    /// Reads a state that an older version stored.
    ///
    /// # Errors
    ///
    /// The stored bytes do not fit; the start fails and names model, twin and field.
    fn migrate(_from: u32, state: RawState<'_>) -> Result<Self, DecodeError> {
        state.deserialize()
    }
}

/// A stored state before it is decoded.
#[derive(Clone, Copy, Debug)]
pub struct RawState<'s>(&'s [u8]);

impl<'s> RawState<'s> {
    /// A state in its stored form: MessagePack with field names.
    pub fn new(bytes: &'s [u8]) -> Self {
        Self(bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// The bytes do not fit `T`; the error names the field.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        rmp_serde::from_slice(self.0).map_err(|error| self.with_path::<T>(error))
    }

    /// Reads once more to find the field; only a start that fails pays for it.
    fn with_path<T: DeserializeOwned>(&self, error: rmp_serde::decode::Error) -> DecodeError {
        let mut bytes = rmp_serde::Deserializer::from_read_ref(self.0);
        match serde_path_to_error::deserialize::<_, T>(&mut bytes) {
            Err(found) if found.path().iter().next().is_some() => {
                DecodeError::new(format!("field \"{}\": {}", found.path(), found.inner()))
            }
            _ => DecodeError::new(error),
        }
    }
}

/// The message type of a processor's model.
pub type MessageOf<'m, P> = <<P as MessageProcessor>::Model as TwinModel>::Message<'m>;

/// The user's code, called once per twin and epoch with everything that waited.
pub trait MessageProcessor: Send + Sync + 'static {
    /// The twins that it works on.
    type Model: TwinModel;

    /// Whether messages of one epoch come in one call; the file's `grouping` wins over it.
    const GROUPING: Grouping = Grouping::Epoch;

    /// How a twin gets back to what it was when a call fails or says `NoUpdate`.
    const ROLLBACK: Rollback = Rollback::Clone;

    /// Called once, before the first message of a new twin, in the same call.
    ///
    /// # Errors
    ///
    /// As [`Self::process_messages`]; the twin then does not exist.
    fn initialize(
        &self,
        _cx: &mut ProcessingContext<'_>,
        _twin: &mut Self::Model,
    ) -> Result<(), ProcessingError> {
        Ok(())
    }

    /// Applies messages, in arrival order, to one twin.
    ///
    /// # Errors
    ///
    /// Any error: the twin stays as before the call. The messages of a failed group are then called
    /// one by one, and those that fail become dead letters with the error as reason.
    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Self::Model,
        messages: Messages<'_, MessageOf<'_, Self>>,
    ) -> ProcessingResult;
}

/// How many messages a call gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Everything that waited in the epoch.
    #[default]
    Epoch,
    /// One.
    Single,
}

/// How a twin gets back to what it was before a call (law P8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollback {
    /// It is cloned before each call: right for small states.
    #[default]
    Clone,
    /// Its last encoded form is kept and decoded again: right for large states.
    LastEncoded,
}

/// What a call did to the twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state changed and is written.
    Update,
    /// Changes are discarded; the next call sees the old state.
    NoUpdate,
    /// The twin is gone after the call; a later message creates it anew.
    Remove,
}

/// What a processor returns.
pub type ProcessingResult = Result<Outcome, ProcessingError>;

/// Why a call failed. It is not itself `std::error::Error`, so that `?` takes every error.
#[derive(Debug)]
pub struct ProcessingError {
    /// What went wrong.
    pub cause: Cause,
    /// Whether the model's `retries_max` applies.
    pub retry: bool,
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ProcessingError {
    fn from(error: E) -> Self {
        Self { cause: error.into(), retry: false }
    }
}

impl ProcessingError {
    /// An error in the processor's own words.
    pub fn message(text: impl Into<String>) -> Self {
        Self { cause: text.into().into(), retry: false }
    }

    /// An error after which the same call may succeed: it is retried at once, up to the model's
    /// `retries_max` (law P5).
    pub fn retryable(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), retry: true }
    }
}
