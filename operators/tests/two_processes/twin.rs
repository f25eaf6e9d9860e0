//! A twin that notes numbers and answers each.

use serde::{Deserialize, Serialize};
use twinflow_operators::{
    context::ProcessingContext,
    message::Messages,
    model::{MessageProcessor, Outcome, ProcessingResult, TwinModel},
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) numbers: Vec<u64>,
}

impl TwinModel for Log {
    type Message<'m> = u64;
}

pub(crate) struct Answer;

impl MessageProcessor for Answer {
    type Model = Log;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        log: &mut Log,
        numbers: Messages<'_, u64>,
    ) -> ProcessingResult {
        for number in numbers {
            log.numbers.push(*number);
            cx.send_to_data_source(number)?;
        }
        Ok(Outcome::Update)
    }
}
