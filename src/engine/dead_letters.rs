//! Dead letters as other tasks see them: shown, replayed through the front door, dropped.

use std::sync::Arc;

use twinflow_connectors::{
    link::{DeadLetterRow, OutcomeKind, RequestRow},
    message::{Format, limits::CUT_BYTES},
    row::RowKind,
};
use twinflow_operators::dead_letter::{DeadLetter, DeadLetterKind, DeadLetters};

use super::{
    handle::{EngineHandle, RequestError},
    start::ENGINE,
};
use crate::error::Error;

/// Number of no model, in rows that are about none.
const NO_MODEL: u16 = u16::MAX;

impl EngineHandle {
    /// The dead letters of this process.
    pub fn dead_letters(&self) -> Arc<DeadLetters> {
        Arc::clone(&self.parts.dead_letters)
    }

    /// Payload of a dead letter.
    ///
    /// # Errors
    ///
    /// The store cannot read it.
    pub fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.parts.store.dead_letter_payload(number)?)
    }

    /// Gives the message of a dead letter to its twin once more. The dead letter is gone with the
    /// epoch that applied it, whose number this is; `None`: there is no such dead letter. Ids and
    /// positions are not looked at (law D5). What the twin sends goes to its data source.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: `NotReplayable`, and `Failed` when it fails again and stays.
    pub async fn replay(&self, number: u64) -> Result<Option<u64>, RequestError> {
        let Some(letter) = self.dead_letters().get(number) else { return Ok(None) };
        let (model, twin) = addressee(&letter)?;
        let (model, _) = (self.model(model)?, self.owner(twin)?);
        let format = self.format_of(&letter.connection)?;
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || reader.dead_letter_payload(number)).await;
        let payload = match read {
            Ok(Ok(Some(payload))) => payload,
            Ok(Ok(None)) => return Err(not("its payload is kept no more")),
            Ok(Err(error)) => {
                tracing::warn!(number, error = error.report(), "a payload cannot be read");
                return Err(not("the store cannot read its payload"));
            }
            Err(_stopping) => return Err(RequestError::Stopping),
        };
        let connection = letter.connection.as_str();
        let row = DeadLetterRow { number, connection, format, payload: &payload };
        let kind = RowKind::Replay;
        gone(self.request(RequestRow { kind, model, twin, dead_letter: Some(row) }).await?)
    }

    /// Forgets a dead letter; the epoch that did, or `None` if there is no such one.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn drop_dead_letter(&self, number: u64) -> Result<Option<u64>, RequestError> {
        let Some(letter) = self.dead_letters().get(number) else { return Ok(None) };
        let connection = letter.connection.as_str();
        let row = DeadLetterRow { number, connection, format: Format::Bytes, payload: &[] };
        let (kind, twin) = (RowKind::Drop, letter.twin.as_deref().unwrap_or_default());
        gone(
            self.request(RequestRow { kind, model: NO_MODEL, twin, dead_letter: Some(row) })
                .await?,
        )
    }

    /// How the connection that brought it means its payloads.
    fn format_of(&self, connection: &str) -> Result<Format, RequestError> {
        let mut slots = self.parts.slots.iter().map(|slot| &slot.place);
        let place = slots.find(|place| *place.connection == *connection);
        place.map(|place| place.format).ok_or_else(|| {
            not(&format!("connection \"{connection}\" is not there to say how it is meant"))
        })
    }
}

/// The model and the twin that the message is for.
fn addressee(letter: &DeadLetter) -> Result<(&str, &str), RequestError> {
    if letter.kind == DeadLetterKind::Feedback {
        return Err(not("it is what a twin sent"));
    }
    if letter.kind == DeadLetterKind::Pipeline {
        // A replay goes to the twin as it is, and this never became what the twin takes.
        return Err(not("it failed in the pipeline before its twin; let its source send it again"));
    }
    if letter.connection == ENGINE {
        return Err(not("it was a request and no message"));
    }
    let (Some(model), Some(twin)) = (&letter.model, &letter.twin) else {
        return Err(not("nobody can tell which twin it is for"));
    };
    // Only what cannot be delivered is ever cut (law D12).
    if letter.kind == DeadLetterKind::Undeliverable && letter.payload_bytes == CUT_BYTES as u64 {
        return Err(not("only a part of its payload is kept"));
    }
    Ok((model, twin))
}

fn not(why: &str) -> RequestError {
    RequestError::NotReplayable(why.to_owned())
}

fn gone((outcome, epoch): (OutcomeKind, u64)) -> Result<Option<u64>, RequestError> {
    Ok(matches!(outcome, OutcomeKind::DeadLetterGone(true)).then_some(epoch))
}

#[cfg(test)]
mod tests {
    use twinflow_connectors::message::Timestamp;

    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            number: 1,
            kind: DeadLetterKind::Failed,
            model: Some("m".into()),
            twin: Some("t".into()),
            connection: "web".into(),
            partition: None,
            position: None,
            reason: String::new(),
            attempts: 1,
            at: Timestamp(0),
            epoch: 1,
            payload_bytes: CUT_BYTES as u64,
        }
    }

    #[test]
    fn only_a_whole_message_for_a_twin_can_be_replayed() {
        assert_eq!(addressee(&letter()), Ok(("m", "t")));
        let undeliverable = DeadLetterKind::Undeliverable;
        let wrong = [
            (DeadLetter { kind: DeadLetterKind::Feedback, ..letter() }, "it is what a twin sent"),
            (DeadLetter { kind: DeadLetterKind::Pipeline, ..letter() }, "before its twin"),
            (DeadLetter { connection: ENGINE.into(), ..letter() }, "it was a request"),
            (DeadLetter { twin: None, ..letter() }, "which twin"),
            (DeadLetter { kind: undeliverable, ..letter() }, "only a part"),
        ];
        for (letter, why) in wrong {
            let said = addressee(&letter).unwrap_err().to_string();
            assert!(said.starts_with("it cannot be replayed: ") && said.contains(why), "{said}");
        }
        let short = DeadLetter { kind: undeliverable, payload_bytes: 7, ..letter() };
        assert_eq!(addressee(&short), Ok(("m", "t")), "its model may be there now");
    }
}
