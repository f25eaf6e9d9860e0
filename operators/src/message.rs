//! Messages as a processor sees them: values in arrival order, metadata on request.

use std::{
    error::Error as StdError,
    fmt,
    ops::{Deref, Range},
};

use serde::Deserialize;
use twinflow_connectors::{
    message::{Format, Timestamp},
    row::Attributes,
};

/// The cause below a [`DecodeError`] or a processing error.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What is known of a message beside its payload.
#[derive(Clone, Copy, Debug)]
pub struct MessageInfo<'m> {
    /// Name of the connection that it came by.
    pub connection: &'m str,
    /// When the engine took it.
    pub received_at: Timestamp,
    /// The source's own time, where it has one.
    pub source_time: Option<Timestamp>,
    format: Format,
    attributes: Attributes<'m>,
}

impl<'m> MessageInfo<'m> {
    /// The metadata of a row.
    #[inline]
    pub fn new(
        connection: &'m str,
        received_at: Timestamp,
        format: Format,
        attributes: Attributes<'m>,
    ) -> Self {
        let source_time = if attributes.is_plain() { None } else { attributes.source_time() };
        Self { connection, received_at, source_time, format, attributes }
    }

    /// A Kafka header, MQTT user property, HTTP header, or a name captured by a topic template.
    pub fn header(&self, name: &str) -> Option<&'m [u8]> {
        let headers = self.attributes.headers().find(|(key, _)| *key == name);
        headers.map(|(_, value)| value).or_else(|| {
            let mut names = self.attributes.names();
            names.find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes())
        })
    }

    /// The sender's own id of the message.
    pub fn id(&self) -> Option<&'m [u8]> {
        self.attributes.message_id()
    }
}

/// A message before it is decoded.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'m> {
    /// The bytes as they came.
    pub payload: &'m [u8],
    /// What else is known.
    pub info: MessageInfo<'m>,
}

impl<'m> RawMessage<'m> {
    /// Reads the payload in the format that the connection declares.
    ///
    /// # Errors
    ///
    /// The payload is not of that format or does not fit `T`, or the connection declares opaque
    /// bytes.
    #[inline]
    pub fn deserialize<T: Deserialize<'m>>(&self) -> Result<T, DecodeError> {
        serde_json::from_slice(self.json()?).map_err(DecodeError::json)
    }

    /// The payload, if the connection declares JSON.
    #[inline]
    pub(crate) fn json(&self) -> Result<&'m [u8], DecodeError> {
        match self.info.format {
            Format::Json => Ok(self.payload),
            Format::Bytes => Err(DecodeError::new(
                "the connection's decoder is \"bytes\"; a model for it takes RawMessage",
            )),
        }
    }
}

/// How payload bytes become the model's message.
///
/// Everything that is `Deserialize` already is one. `#[derive(TwinMessage)]`, a fast extractor for
/// JSON, or a hand-written impl, which may choose by header or topic, replaces `Deserialize` on the
/// type.
pub trait TwinMessage<'m>: Sized {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// Whatever makes the message unusable; it becomes a dead letter with this reason.
    fn decode(raw: RawMessage<'m>) -> Result<Self, DecodeError>;

    /// The engine's way in: [`Self::decode`] to the end of a list. A type that can say more cheaply
    /// where its value goes saves a move or two of it.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`]; nothing was added then.
    #[inline]
    fn decode_to(raw: RawMessage<'m>, to: &mut Vec<Self>) -> Result<(), DecodeError> {
        to.push(Self::decode(raw)?);
        Ok(())
    }
}

impl<'m, T: Deserialize<'m>> TwinMessage<'m> for T {
    #[inline]
    fn decode(raw: RawMessage<'m>) -> Result<Self, DecodeError> {
        raw.deserialize()
    }

    // An error of another type would have the value moved from one result into another; so would
    // `from_slice`, which does the same with a reader that it is given.
    #[inline(always)]
    fn decode_to(raw: RawMessage<'m>, to: &mut Vec<Self>) -> Result<(), DecodeError> {
        let mut json = serde_json::Deserializer::from_slice(raw.json()?);
        match T::deserialize(&mut json) {
            Ok(value) => {
                json.end().map_err(DecodeError::json)?;
                to.push(value);
                Ok(())
            }
            Err(error) => Err(DecodeError::json(error)),
        }
    }
}

impl<'m> TwinMessage<'m> for RawMessage<'m> {
    #[inline]
    fn decode(raw: RawMessage<'m>) -> Result<Self, DecodeError> {
        Ok(raw)
    }
}

/// Why a message or a state could not be read.
#[derive(Debug)]
pub struct DecodeError(Cause);

impl DecodeError {
    /// An error with this cause.
    pub fn new(cause: impl Into<Cause>) -> Self {
        Self(cause.into())
    }

    fn json(error: serde_json::Error) -> Self {
        // Borrowed text cannot hold what was escaped; the remedy is not obvious from serde's words.
        if error.to_string().contains("expected a borrowed string") {
            return Self::new(format!(
                "{error}; a &str field cannot hold escaped text: use Cow<str> with #[serde(borrow)]"
            ));
        }
        Self::new(error)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for DecodeError {}

/// The messages of one call, in arrival order: derefs to a slice of values.
#[derive(Debug)]
pub struct Messages<'a, M> {
    values: &'a [M],
    infos: &'a [MessageInfo<'a>],
}

impl<'a, M> Messages<'a, M> {
    /// Values and their metadata, one of each per message.
    #[inline]
    pub fn new(values: &'a [M], infos: &'a [MessageInfo<'a>]) -> Self {
        debug_assert_eq!(values.len(), infos.len(), "one info per value");
        Self { values, infos }
    }

    /// Some of them.
    #[inline]
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        Self { values: &self.values[range.clone()], infos: &self.infos[range] }
    }

    /// Each message with its metadata.
    pub fn with_info(&self) -> impl Iterator<Item = (&'a M, &'a MessageInfo<'a>)> + use<'a, M> {
        self.values.iter().zip(self.infos)
    }
}

impl<M> Clone for Messages<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Messages<'_, M> {}

impl<M> Deref for Messages<'_, M> {
    type Target = [M];
    fn deref(&self) -> &[M] {
        self.values
    }
}

impl<'a, M> IntoIterator for Messages<'a, M> {
    type Item = &'a M;
    type IntoIter = std::slice::Iter<'a, M>;
    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}
