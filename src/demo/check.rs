//! The proof: each device's log against the state of its twin, read over HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::Instant};

use super::{
    client::{Broken, Client},
    models::{Applied, GAS_SENSORS, TURBINES},
    record::{Log, Record, Way},
};

/// Twins that are read at the same time.
const READERS: usize = 8;
/// Ids of one page of a list.
const PAGE: usize = 1000;
const PAUSE: Duration = Duration::from_millis(100);

/// What the twins' states say about the devices' logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Twins that the engine lists.
    pub(super) twins: u64,
    /// Messages that the twins applied.
    pub(super) applied: u64,
    /// Messages that were acknowledged and are not in their twin's state.
    pub(super) lost: u64,
    /// Messages that were applied again.
    pub(super) twice: u64,
    /// Messages in a state that its device never sent, or that were answered as dead letters.
    pub(super) strange: u64,
}

impl Checked {
    fn add(&mut self, other: Self) {
        self.twins += other.twins;
        self.applied += other.applied;
        self.lost += other.lost;
        self.twice += other.twice;
        self.strange += other.strange;
    }
}

/// When logs and twins are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// While devices send: what a broker took may still be on its way to its twin.
    Running,
    /// After the last message was handled.
    Drained,
}

/// One device's log against its twin. The log must be the older of the two, or else both must be
/// final; `strange` says something only if they are.
fn compare(log: &Log, way: Way, applied: &Applied, moment: Moment) -> Checked {
    let numbers = &applied.numbers;
    let known = numbers.up_to(log.sent) - numbers.common(&log.dead_letters);
    Checked {
        twins: 0,
        applied: applied.count,
        lost: match (way, moment) {
            (Way::Mqtt, Moment::Running) => 0,
            _ => log.applied.missing_in(numbers) + log.unconfirmed(),
        },
        twice: applied.count.saturating_sub(numbers.len()),
        strange: numbers.len() - known,
    }
}

/// Reads every twin and compares; asks again while the engine is away, up to `patience`.
pub(super) async fn check(
    address: SocketAddr,
    records: &[Arc<Record>],
    moment: Moment,
    patience: Duration,
) -> Result<Checked, Broken> {
    let until = Instant::now() + patience;
    let mut readers = JoinSet::new();
    for part in records.chunks(records.len().div_ceil(READERS).max(1)) {
        let (part, reader) = (part.to_vec(), Reader::new(address, until));
        readers.spawn(reader.compare_all(part, moment));
    }
    let mut checked = Checked::default();
    while let Some(part) = readers.join_next().await {
        checked.add(part??);
    }
    let mut reader = Reader::new(address, until);
    for model in [TURBINES, GAS_SENSORS] {
        checked.twins += reader.count(model).await?;
    }
    Ok(checked)
}

#[derive(Deserialize)]
struct Twin {
    state: State,
}

#[derive(Deserialize)]
struct State {
    applied: Applied,
}

#[derive(Deserialize)]
struct Page {
    twins: Vec<serde::de::IgnoredAny>,
    next: Option<String>,
}

/// Asks the engine, and asks again while it is away.
pub(super) struct Reader {
    client: Client,
    until: Instant,
}

impl Reader {
    /// Gives up at `until`.
    pub(super) fn new(address: SocketAddr, until: Instant) -> Self {
        Self { client: Client::new(address), until }
    }

    async fn compare_all(
        mut self,
        records: Vec<Arc<Record>>,
        moment: Moment,
    ) -> Result<Checked, Broken> {
        let mut checked = Checked::default();
        for record in records {
            let log = record.log();
            let applied = self.applied(&record).await?;
            checked.add(compare(&log, record.way, &applied, moment));
        }
        Ok(checked)
    }

    /// What the twin of this device has applied.
    pub(super) async fn applied(&mut self, record: &Record) -> Result<Applied, Broken> {
        let path = format!("/v1/twins/{}/{}", record.model, record.id);
        let twin: Option<Twin> = self.read(&path).await?;
        Ok(twin.map(|twin| twin.state.applied).unwrap_or_default())
    }

    async fn count(&mut self, model: &str) -> Result<u64, Broken> {
        let (mut count, mut after) = (0, String::new());
        loop {
            let path = format!("/v1/twins/{model}?limit={PAGE}{after}");
            let page: Page = self.read(&path).await?.ok_or("the list is not there")?;
            count += page.twins.len() as u64;
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(count),
            }
        }
    }

    /// `None`: there is no such thing.
    pub(super) async fn read<T: DeserializeOwned>(
        &mut self,
        path: &str,
    ) -> Result<Option<T>, Broken> {
        loop {
            let why: Broken = match self.client.get(path).await {
                Ok(response) => match response.status {
                    StatusCode::OK => return Ok(Some(serde_json::from_slice(&response.body)?)),
                    StatusCode::NOT_FOUND => return Ok(None),
                    status => format!("GET {path} gave {status}").into(),
                },
                Err(broken) => broken,
            };
            if Instant::now() >= self.until {
                return Err(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One way, and everything is over.
    fn compare(log: &Log, applied: &Applied) -> Checked {
        super::compare(log, Way::Http, applied, Moment::Drained)
    }

    fn log(sent: u64, dead: &[u64]) -> Log {
        let applied = (1..=sent).filter(|number| !dead.contains(number)).collect();
        Log { sent, applied, dead_letters: dead.iter().copied().collect(), ..Log::default() }
    }

    fn applied(numbers: impl Iterator<Item = u64> + Clone) -> Applied {
        Applied { count: numbers.clone().count() as u64, numbers: numbers.collect() }
    }

    #[test]
    fn a_log_and_its_twin_agree() {
        let good = compare(&log(9, &[4]), &applied((1..=9).filter(|number| *number != 4)));
        assert_eq!(good, Checked { applied: 8, ..Checked::default() });
    }

    #[test]
    fn a_planted_loss_is_seen_and_what_was_not_acknowledged_is_no_loss() {
        let lost = compare(&log(9, &[]), &applied((1..=9).filter(|number| *number != 5)));
        assert_eq!((lost.lost, lost.twice, lost.strange), (1, 0, 0));
        assert_eq!(compare(&log(9, &[4]), &Applied::default()).lost, 8, "the twin is gone");
        let mut open = log(9, &[]);
        open.sent = 11;
        let more = compare(&open, &applied(1..=10));
        assert_eq!((more.lost, more.strange, more.applied), (0, 0, 10));
    }

    #[test]
    fn a_planted_repetition_is_seen() {
        let twice = compare(&log(9, &[]), &applied((1..=9).chain([7])));
        assert_eq!((twice.lost, twice.twice, twice.strange), (0, 1, 0));
        assert_eq!(twice.applied, 10);
    }

    #[test]
    fn what_nobody_sent_and_what_was_a_dead_letter_is_strange() {
        assert_eq!(compare(&log(9, &[]), &applied(1..=10)).strange, 1);
        assert_eq!(compare(&log(9, &[4]), &applied(1..=9)).strange, 1);
    }

    #[test]
    fn what_the_broker_took_is_lost_only_once_everything_is_drained() {
        let mut log = log(9, &[]);
        log.applied = (1..=9).filter(|number| *number != 4).collect();
        log.spoiled = [4].into_iter().collect();
        let half = applied(1..=3);
        let at = |log: &Log, applied, moment| super::compare(log, Way::Mqtt, applied, moment).lost;
        assert_eq!(at(&log, &half, Moment::Running), 0);
        assert_eq!(at(&log, &half, Moment::Drained), 6, "5 of them good and 1 spoiled");
        let all = applied((1..=9).filter(|number| *number != 4));
        assert_eq!(at(&log, &all, Moment::Drained), 1, "the dead letter was not seen");
        log.dead_letters = [4].into_iter().collect();
        assert_eq!(at(&log, &all, Moment::Drained), 0);
        assert_eq!(log.acknowledged(), 9);
        let twice = applied((1..=9).filter(|number| *number != 4).chain([9]));
        assert_eq!(super::compare(&log, Way::Mqtt, &twice, Moment::Running).twice, 1);
    }
}
