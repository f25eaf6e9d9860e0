//! What is acknowledged is there after a restart, with any number of workers (laws D2 to D9).

use twinflow::{Engine, connectors::memory::Memory, error::ErrorKind, prelude::*};

use crate::common::{Act, PATIENCE, Seen, Watch, seen, start, step, wait_acknowledged};

#[test]
fn law_d3_a_restart_goes_on_behind_the_stored_positions_with_any_number_of_workers() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(3);
    let broker = memory.broker();
    for (round, workers) in [1usize, 3, 2, 4].into_iter().enumerate() {
        let round = round as u64;
        for n in round * 300..(round + 1) * 300 {
            broker.send("seen", &format!("twin-{}", n % 30), step(n, Act::Count));
        }
        let (engine, broker) = start(dir.path(), workers, Memory::from(&broker));
        wait_acknowledged(&broker, (round + 1) * 300);
        for twin in 0..30 {
            let state = seen(&engine, &format!("twin-{twin}")).unwrap();
            let expected = (twin..(round + 1) * 300).step_by(30);
            assert!(state.numbers.iter().copied().eq(expected), "round {round}: {state:?}");
            assert_eq!(state.initialized, 1);
        }
        // The odd rounds end without a word, as a killed process does, but for what is synced.
        if round.is_multiple_of(2) { drop(engine.stop().unwrap()) } else { drop(engine) }
    }
}

#[test]
fn law_d6_unconfirmed_feedback_comes_again_with_the_same_id_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    broker.confirm_feedback(false);
    let mut first = Vec::new();
    {
        let (engine, broker) = start(dir.path(), 1, memory);
        broker.send("seen", "a", step(1, Act::Reply));
        broker.send("seen", "a", step(2, Act::Reply));
        wait_acknowledged(&broker, 2);
        assert!(broker.wait(PATIENCE, |broker| {
            first.extend(broker.feedback());
            first.len() == 2
        }));
        drop(engine);
    }
    broker.confirm_feedback(true);
    let (engine, broker) = start(dir.path(), 2, Memory::from(&broker));
    let mut again = Vec::new();
    assert!(broker.wait(PATIENCE, |broker| {
        again.extend(broker.feedback());
        again.len() == 2
    }));
    for (old, new) in first.iter().zip(&again) {
        assert_eq!((old.id, &old.payload), (new.id, &new.payload));
    }
    assert!(engine.stop().unwrap().left.is_empty());
    let (engine, broker) = start(dir.path(), 1, Memory::from(&broker));
    let more =
        broker.wait(std::time::Duration::from_millis(300), |broker| !broker.feedback().is_empty());
    assert!(!more, "confirmed feedback is not handed out again");
    engine.stop().unwrap();
}

#[test]
fn law_d8_a_model_or_connection_that_the_configuration_lacks_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, broker) = start(dir.path(), 1, Memory::replayable(1));
    broker.send("seen", "a", step(1, Act::Count));
    wait_acknowledged(&broker, 1);
    engine.stop().unwrap();
    let other = Engine::builder().workers(1).state_dir(dir.path()).model("other", Watch);
    let error = other.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateRefused);
    let text = error.report();
    assert!(text.contains("model \"seen\" (1 twins)"), "{text}");
    assert!(text.contains("connection \"plant\" (1 positions"), "{text}");
}

/// The same name, another shape: `numbers` was a list.
#[derive(Debug, Default, Clone, serde::Serialize, serde::Deserialize)]
struct Reshaped {
    numbers: String,
}

impl TwinModel for Reshaped {
    type Message<'m> = serde::de::IgnoredAny;
}

struct Ignore;

impl MessageProcessor for Ignore {
    type Model = Reshaped;
    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        _twin: &mut Reshaped,
        _messages: Messages<'_, serde::de::IgnoredAny>,
    ) -> ProcessingResult {
        Ok(Outcome::NoUpdate)
    }
}

#[test]
fn law_d9_a_state_that_does_not_load_stops_the_start_and_names_model_and_twin() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, broker) = start(dir.path(), 1, Memory::replayable(1));
    broker.send("seen", "pump-7", step(1, Act::Count));
    wait_acknowledged(&broker, 1);
    engine.stop().unwrap();
    let memory = Memory::from(&broker);
    let other = Engine::builder().workers(2).state_dir(dir.path()).model("seen", Ignore);
    let error = other.connection("plant", memory).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateRefused);
    let text = error.report();
    assert!(text.contains("model \"seen\"") && text.contains("twin \"pump-7\""), "{text}");
}

#[test]
fn dead_letters_and_their_payloads_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, broker) = start(dir.path(), 1, Memory::acknowledged(20));
    broker.send("seen", "a", b"not json");
    wait_acknowledged(&broker, 1);
    engine.stop().unwrap();
    let (engine, broker) = start(dir.path(), 2, Memory::from(&broker));
    let letters = engine.handle().dead_letters().list(0, 10);
    assert_eq!(letters.len(), 1);
    let payload = engine.handle().dead_letter_payload(letters[0].number).unwrap();
    assert_eq!(payload.as_deref(), Some(&b"not json"[..]));
    broker.send("seen", "b", b"nor this");
    wait_acknowledged(&broker, 2);
    let letters = engine.handle().dead_letters().list(0, 10);
    assert!(letters.len() == 2 && letters[0].number != letters[1].number);
    assert_eq!(seen(&engine, "b"), None::<Seen>);
    engine.stop().unwrap();
}
