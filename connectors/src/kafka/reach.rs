//! Asks the brokers whether they would have us, and where the logs of our topics begin and end.

use std::{sync::Arc, time::Duration};

use rdkafka::{Offset, consumer::BaseConsumer};
use tokio::time::Instant;

use super::{
    assign::Brokers,
    heard::{Context, Heard},
    plan::Plan,
    session::consumer,
    trouble::{Said, Trouble, Verdict, retryable},
};
use crate::{
    connector::{PartitionEnds, Reached},
    error::{ConnectorError, chain},
};

/// Between two questions to brokers that do not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer or the time to connect is over; gives the client, too: to close
/// it with a broker away can take a minute.
pub(super) fn reach(
    plan: &Plan,
) -> (Result<Reached, ConnectorError>, Option<BaseConsumer<Context>>) {
    let heard = Arc::new(Heard::default());
    match consumer(plan, &heard) {
        Err(error) => (Err(error), None),
        Ok(client) => (ask(plan, &client, &heard), Some(client)),
    }
}

fn ask(
    plan: &Plan,
    client: &BaseConsumer<Context>,
    heard: &Heard,
) -> Result<Reached, ConnectorError> {
    let (settings, brokers) = (&plan.settings, Brokers { plan, consumer: client });
    let deadline = Instant::now() + Duration::from_millis(settings.connect_timeout_ms);
    let (mut trouble, mut newest) = (Trouble::default(), None);
    loop {
        let error = match ends(plan, brokers) {
            Err(error) if error.is_retryable() => error,
            answered => return answered,
        };
        drop(client.poll(PAUSE));
        for (code, reason) in heard.take_errors() {
            match trouble.judge(code, &reason, settings) {
                Verdict::GoesOn => {}
                Verdict::Trouble(text) => newest = Some(text),
                Verdict::Over(error) => return Err(error),
            }
        }
        if Instant::now() >= deadline {
            return Err(match newest {
                Some(text) => retryable("reach the brokers").because(Said(text)),
                None => trouble.unreachable(settings, &chain(&error)),
            });
        }
    }
}

fn ends(plan: &Plan, brokers: Brokers<'_>) -> Result<Reached, ConnectorError> {
    let mut reached = Reached { asked: true, ..Reached::default() };
    let mut wanted = Vec::new();
    for (topic, about) in plan.topics.iter().enumerate() {
        match brokers.partitions(&about.name)? {
            Ok(count) => wanted.extend((0..count).map(|partition| (topic, partition))),
            Err(why) => reached.warnings.push(why),
        }
    }
    if wanted.is_empty() {
        return Ok(reached);
    }
    let first = brokers.offsets(&wanted, Offset::Beginning)?;
    let next = brokers.offsets(&wanted, Offset::End)?;
    let position = |offset: i64| u64::try_from(offset).unwrap_or(0);
    let all = wanted.iter().zip(first.iter().zip(&next));
    reached.partitions.extend(all.map(|((topic, partition), (first, next))| PartitionEnds {
        topic: plan.topics[*topic].name.clone(),
        partition: *partition,
        first: position(*first),
        next: position(*next),
    }));
    Ok(reached)
}
