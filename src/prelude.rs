//! The names that a twin author needs, and no others.

pub use twinflow_connectors::message::Timestamp;
pub use twinflow_operators::{
    TestMessage, TestTwin,
    context::ProcessingContext,
    message::{DecodeError, MessageInfo, Messages, RawMessage, TwinMessage},
    model::{
        Grouping, MessageOf, MessageProcessor, Outcome, ProcessingError, ProcessingResult,
        RawState, Rollback, TwinModel,
    },
};
