//! Both sides of a broker as systems.
//!
//! Estimate: nothing is added to what the broker's file says.

use crate::args::{Options, Systems};
use crate::check::Check;
use crate::data::DataSet;
use crate::engine::Twinflow;
use crate::limit::Limit;
use crate::meter::Usage;
use crate::system::{Measured, Server, System, Workload};
use crate::{Result, bench};

/// A broker whose backlog both sides drain.
pub(super) trait Broker {
    /// Makes the backlog, if it is not there.
    fn fill(&self, data: &DataSet) -> Result<()>;

    /// Drains it by the bare client, as many of them as there are workers.
    fn bare(&self, data: &DataSet) -> Result<(Usage, Check)>;

    /// Drains it through an engine.
    fn engine(&self, engine: Twinflow, data: &DataSet) -> Result<(Usage, Check)>;
}

/// One side of a broker as a system.
struct Side<B> {
    broker: B,
    /// The engine; without one it is the bare client.
    engine: Option<Twinflow>,
}

impl<B: Broker> System for Side<B> {
    fn name(&self) -> &'static str {
        if self.engine.is_some() { Twinflow::NAME } else { Limit.name() }
    }

    fn throughput(&self, workload: Workload, data: &DataSet) -> Result<Measured> {
        if workload != Workload::W1 {
            return Err("only w1 goes through a broker".into());
        }
        self.broker.fill(data)?;
        let (usage, check) = match self.engine {
            Some(engine) => self.broker.engine(engine, data)?,
            None => self.broker.bare(data)?,
        };
        Ok(Measured { check: Some(check), ..Measured::new(usage, data.len() as u64) })
    }

    fn latency(&self, _: &DataSet, _: u64) -> Result<Measured> {
        Err("latency through a broker is not measured; w3 goes through rest".into())
    }

    fn serve(&self, _: usize) -> Result<Box<dyn Server>> {
        Err("a broker serves no requests".into())
    }
}

/// The bare client and the engine, or the one of them that is asked for.
pub(super) fn sides<B: Broker + 'static>(
    options: &Options,
    broker: impl Fn() -> B,
) -> Vec<Box<dyn System>> {
    let side = |engine| -> Box<dyn System> { Box::new(Side { broker: broker(), engine }) };
    let engine = bench::engine(options);
    match options.system {
        Systems::Limit => vec![side(None)],
        Systems::Twinflow => vec![side(Some(engine))],
        Systems::Both => vec![side(None), side(Some(engine))],
    }
}
