//! The dead letters of what devices spoiled: no broker tells of them, the engine shows them.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

use super::CONNECTION;
use crate::demo::{
    check::Reader,
    client::Broken,
    record::{Record, Way},
};

/// Dead letters of one page of the list.
const PAGE: usize = 1000;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct Page {
    dead_letters: Vec<Letter>,
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Letter {
    number: u64,
    connection: String,
    model: Option<String>,
    twin: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Shown {
    payload: String,
}

/// A payload with its message's number in the device's log.
#[derive(Deserialize)]
struct Spoiled {
    number: u64,
}

/// Notes in the logs which spoiled messages the engine shows as dead letters, until it has shown
/// all or `patience` is over. What else it shows, each as a sentence.
pub(in crate::demo) async fn confirm(
    address: SocketAddr,
    records: &[Arc<Record>],
    patience: Duration,
) -> Result<Vec<String>, Broken> {
    let over_mqtt = records.iter().filter(|record| record.way == Way::Mqtt);
    let by_twin = over_mqtt.map(|record| ((record.model, record.id.as_str()), record)).collect();
    let until = Instant::now() + patience;
    let mut reader = Reader::new(address, until);
    let mut confirmed = Confirmed { by_twin, seen: HashSet::new(), strange: Vec::new() };
    loop {
        confirmed.look(&mut reader).await?;
        let is_done = confirmed.by_twin.values().all(|record| record.log().unconfirmed() == 0);
        if is_done || Instant::now() >= until {
            return Ok(confirmed.strange);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Confirmed<'r> {
    by_twin: HashMap<(&'r str, &'r str), &'r Arc<Record>>,
    seen: HashSet<u64>,
    strange: Vec<String>,
}

impl Confirmed<'_> {
    /// Reads the whole list: numbers are given before their epoch is committed, so that a smaller
    /// one may show up later.
    async fn look(&mut self, reader: &mut Reader) -> Result<(), Broken> {
        let mut after = 0;
        loop {
            let path = format!("/v1/dead-letters?limit={PAGE}&after={after}");
            let page: Page = reader.read(&path).await?.ok_or("there is no list of dead letters")?;
            for letter in page.dead_letters {
                if letter.connection == CONNECTION && self.seen.insert(letter.number) {
                    self.note(reader, letter).await?;
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn note(&mut self, reader: &mut Reader, letter: Letter) -> Result<(), Broken> {
        let shown: Option<Shown> =
            reader.read(&format!("/v1/dead-letters/{}", letter.number)).await?;
        let shown = shown.ok_or("a dead letter of the list is not there")?;
        if let Err(why) = self.confirm(&letter, &shown.payload) {
            let Letter { number, reason, .. } = letter;
            self.strange.push(format!("dead letter {number}: {why} ({reason})"));
        }
        Ok(())
    }

    fn confirm(&self, letter: &Letter, payload: &str) -> Result<(), String> {
        let twin = letter.model.as_deref().zip(letter.twin.as_deref());
        let record = twin.and_then(|twin| self.by_twin.get(&twin));
        let record = record.ok_or("no device is its source")?;
        let Ok(Spoiled { number }) = serde_json::from_str(payload) else {
            return Err(format!("{} sends no such message", record.id));
        };
        let mut fresh = Err(format!("message {number} of {} is not spoiled", record.id));
        record.note(|log| {
            let one = [number].into_iter().collect::<crate::demo::Numbers>();
            if one.missing_in(&log.spoiled) == 0 {
                let is_new = log.dead_letters.insert(number);
                let twice = || format!("message {number} of {} has two", record.id);
                fresh = if is_new { Ok(()) } else { Err(twice()) };
            }
        });
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::models::TURBINES;

    #[test]
    fn only_a_spoiled_message_has_a_dead_letter_and_only_one() {
        let record = Arc::new(Record::new(TURBINES, "turbine-0001".into(), Way::Mqtt));
        record.note(|log| {
            log.sent = 4;
            log.spoiled = [3].into_iter().collect();
            log.applied = [1, 2, 4].into_iter().collect();
        });
        let by_twin = HashMap::from([((TURBINES, "turbine-0001"), &record)]);
        let known = Confirmed { by_twin, seen: HashSet::new(), strange: Vec::new() };
        let letter = |twin: &str| Letter {
            number: 7,
            connection: CONNECTION.into(),
            model: Some(TURBINES.into()),
            twin: Some(twin.into()),
            reason: String::new(),
        };
        let confirm = |twin, payload| known.confirm(&letter(twin), payload);
        assert_eq!(record.log().unconfirmed(), 1);
        assert_eq!(confirm("turbine-0001", r#"{"number":3}"#), Ok(()));
        assert_eq!(record.log().unconfirmed(), 0);
        let wrong = |twin, payload| confirm(twin, payload).unwrap_err();
        let twice = wrong("turbine-0001", r#"{"number":3}"#);
        assert_eq!(twice, "message 3 of turbine-0001 has two");
        let good = wrong("turbine-0001", r#"{"number":4}"#);
        assert_eq!(good, "message 4 of turbine-0001 is not spoiled");
        assert_eq!(wrong("turbine-0001", "x"), "turbine-0001 sends no such message");
        assert_eq!(wrong("turbine-0002", r#"{"number":3}"#), "no device is its source");
        assert_eq!(record.log().dead_letters, [3].into_iter().collect());
    }
}
