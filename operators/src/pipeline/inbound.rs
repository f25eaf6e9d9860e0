//! A message before its twin, as the closures of a pipeline see it.

use serde::Deserialize;
use twinflow_connectors::{
    link::{ModelNames, Slot},
    row::Row,
};

use crate::message::{DecodeError, MessageInfo, RawMessage};

/// A message on its way to its twin.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'m> {
    /// Name of the model that it is for.
    pub model: &'m str,
    /// Id of the twin that it is for.
    pub twin: &'m str,
    /// The bytes as they came, or as the operator before made them.
    pub payload: &'m [u8],
    /// What else is known.
    pub info: MessageInfo<'m>,
}

impl<'m> Inbound<'m> {
    /// The message of a row that came by `slot`.
    #[inline]
    pub(super) fn new(row: Row<'m>, slot: &'m Slot, models: &'m ModelNames) -> Self {
        let (connection, attributes) = (&slot.place.connection, row.attributes());
        Self {
            model: models.name(row.model()).unwrap_or_default(),
            twin: row.id(),
            payload: row.payload(),
            info: MessageInfo::new(connection, row.received_at(), row.format(), attributes),
        }
    }

    /// Reads the payload in the format that the connection declares.
    ///
    /// # Errors
    ///
    /// As [`RawMessage::deserialize`].
    #[inline]
    pub fn deserialize<T: Deserialize<'m>>(&self) -> Result<T, DecodeError> {
        RawMessage { payload: self.payload, info: self.info }.deserialize()
    }
}
