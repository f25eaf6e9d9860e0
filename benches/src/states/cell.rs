//! One measurement: so many states of such a size, again and again, until its time is up.
//!
//! Estimate: nothing is added to what is measured but two reads of the clock a wait.

use std::path::Path;

use tempfile::TempDir;

use super::Measured;
use crate::latency::Histogram;
use crate::{Result, clock, meter};

/// How a system is measured.
pub(super) type Measure = fn(&Cell<'_>) -> Result<Measured>;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'o> {
    pub(super) twins: u64,
    /// States that change between two waits.
    pub(super) changed: u64,
    pub(super) state_bytes: u64,
    pub(super) seconds: f64,
    pub(super) dir: Option<&'o Path>,
}

impl Cell<'_> {
    /// A directory for the states, gone when it is dropped.
    pub(super) fn directory(&self) -> Result<TempDir> {
        Ok(match self.dir {
            Some(dir) => TempDir::new_in(dir)?,
            None => TempDir::new()?,
        })
    }

    /// Lets `change` make the changes that it is given the numbers of durable, again and again.
    /// What is done the first time, as making files, is not counted.
    pub(super) fn repeat(
        &self,
        mut change: impl FnMut(std::ops::Range<u64>) -> Result<()>,
    ) -> Result<Measured> {
        change(0..self.changed)?;
        let (mut next, mut waits) = (self.changed, Histogram::default());
        let (written, start) = (meter::written_bytes()?, clock::now());
        let mut last = start;
        while clock::seconds_since(start) < self.seconds || waits.len() < 3 {
            change(next..next + self.changed)?;
            next += self.changed;
            let now = clock::now();
            waits.record(now - last);
            last = now;
        }
        Ok(Measured {
            states: next - self.changed,
            seconds: (last - start).as_secs_f64(),
            written: meter::written_bytes()? - written,
            waits,
            right: true,
        })
    }
}
