//! The names that a twin author needs, and no others.

pub use crate::engine::Engine;
#[cfg(feature = "rest")]
pub use twinflow_connectors::rest::Rest;
pub use twinflow_connectors::{memory::Memory, message::Timestamp};
pub use twinflow_derive::TwinMessage;
pub use twinflow_operators::{
    TestMessage, TestTwin,
    context::ProcessingContext,
    message::{DecodeError, MessageInfo, Messages, RawMessage, TwinMessage},
    model::{
        Grouping, MessageOf, MessageProcessor, Outcome, ProcessingError, ProcessingResult,
        RawState, Rollback, TwinModel,
    },
    pipeline::{Change, Inbound, Out, Route},
};
