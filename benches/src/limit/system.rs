//! The limit as one of the systems.
//!
//! Estimate: see the workloads; nothing is added here but threads that start in 30 us.

use std::thread;

use super::{Counting, Opaque, Worker, threads};
use crate::check::Check;
use crate::clock;
use crate::data::DataSet;
use crate::latency::Histogram;
use crate::meter::Meter;
use crate::record::Partition;
use crate::rest::BareServer;
use crate::system::{Measured, Server, System, Workload};
use crate::w3::Pace;
use crate::{Result, limit};

/// A plain program without an engine.
#[derive(Clone, Copy, Debug)]
pub struct Limit;

impl System for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn throughput(&self, workload: Workload, data: &DataSet) -> Result<Measured> {
        let meter = Meter::start();
        let check = match workload {
            Workload::W1 => threads(Counting::default(), data.partitions()),
            Workload::W2 => threads(Opaque, data.partitions()),
        }?;
        let usage = meter.stop();
        Ok(Measured { check: Some(check), ..Measured::new(usage, data.len() as u64) })
    }

    fn latency(&self, data: &DataSet, rate: u64) -> Result<Measured> {
        let meter = Meter::start();
        let sources = data.partitions().len();
        let results = thread::scope(|scope| {
            let running: Vec<_> = data
                .partitions()
                .iter()
                .enumerate()
                .map(|(source, partition)| {
                    let pace = Pace::new(meter.started(), rate, source, sources);
                    scope.spawn(move || paced_loop(partition, pace))
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("a limit's thread does not panic"))
                .collect::<Result<Vec<_>>>()
        })?;
        let usage = meter.stop();
        let (mut check, mut latency) = (Check::default(), Histogram::default());
        for (of_source, its_latency) in &results {
            check.merge(*of_source);
            latency.merge(its_latency);
        }
        Ok(Measured {
            check: Some(check),
            latency: Some(latency),
            ..Measured::new(usage, data.len() as u64)
        })
    }

    fn serve(&self, workers: usize) -> Result<Box<dyn Server>> {
        Ok(Box::new(BareServer::start(workers)?))
    }
}

impl Limit {
    /// The check that every system must arrive at, by one thread.
    pub fn expected(workload: Workload, data: &DataSet) -> Result<Check> {
        match workload {
            Workload::W1 => limit::plain_loop(Counting::default(), data.partitions()),
            Workload::W2 => limit::plain_loop(Opaque, data.partitions()),
        }
    }

    /// The line beside W1's limit: the same parser, no state. A limit that takes more than twice
    /// as long is no limit.
    pub fn parse_only(data: &DataSet) -> Result<Measured> {
        let meter = Meter::start();
        limit::parse_only::<Counting>(data.partitions())?;
        let usage = meter.stop();
        Ok(Measured::new(usage, data.len() as u64))
    }
}

/// Handles each record of one source when it is due. No record changes threads: this is the floor.
fn paced_loop(partition: &Partition, pace: Pace) -> Result<(Check, Histogram)> {
    let mut worker = Worker::new(Counting::default());
    let mut latency = Histogram::default();
    let mut now = clock::now();
    for i in 0..partition.len() {
        let due = pace.due(i);
        clock::nap_until(due, now);
        worker.handle(partition.record(i))?;
        worker.flush();
        now = clock::now();
        latency.record(now.saturating_duration_since(due));
    }
    Ok((worker.finish(), latency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Amount, Plan};
    use crate::draw::Distribution;
    use crate::payload::Size;
    use crate::record::Format;

    #[test]
    fn a_paced_run_arrives_at_the_check_in_its_time() {
        let data = DataSet::generate(&Plan {
            format: Format::Json,
            size: Size::Small,
            twins: 100,
            distribution: Distribution::Uniform,
            amount: Amount::OfEachSource(1000),
            sources: 2,
        });
        let run = Limit.latency(&data, 20_000).unwrap();
        assert_eq!(run.check, Some(Limit::expected(Workload::W1, &data).unwrap()));
        assert_eq!(run.latency.unwrap().len(), 2000);
        assert!(run.usage.seconds > 0.0999);
    }
}
