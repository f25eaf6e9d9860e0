//! The limit: what a plain loop without an engine does, the floor that every figure is divided by.
//!
//! Estimate: one thread pays the function (see [`crate::w1`] and [`crate::w2`]) and one look-up in
//! a table of its twins. Several threads pay besides it 5 ns to find a record's owner, for the
//! records of others 4 bytes of position written and read, and reading the record from another
//! core's cache, 20-40 ns: W2 gains less from a second thread than W1.

mod function;
mod hand_over;
mod system;

pub use function::{Counting, FoldHash, Opaque, TwinFunction};
pub use system::Limit;

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;

use crate::Result;
use crate::check::Check;
use crate::record::Partition;

/// How many messages are parsed before their twins are looked up. Look-ups that follow each other
/// wait for memory together: at 100,000 twins a message takes 315 ns and not 365, at 1,000,000
/// twins 400 and not 580. With one instead of 32, parsing keeps them apart.
pub const GROUP: usize = 32;

/// One thread's twins, and what came of their messages.
pub struct Twins<F: TwinFunction> {
    function: F,
    twins: HashMap<F::Key, F::State, FoldHash>,
    check: Check,
}

impl<F: TwinFunction> Twins<F> {
    /// None yet.
    pub fn new(function: F) -> Self {
        Self { function, twins: HashMap::default(), check: Check::default() }
    }

    /// Reads the messages of all these records, and then applies them in their order.
    pub fn take<'d>(&mut self, group: impl Iterator<Item = (&'d [u8], &'d [u8])>) -> Result<()> {
        let parsed = group.map(|(id, payload)| Ok((id, F::parse(payload)?)));
        for (id, message) in parsed.collect::<Result<Vec<_>>>()? {
            self.apply(id, &message);
        }
        Ok(())
    }

    fn apply(&mut self, id: &[u8], message: &F::Message<'_>) {
        let state = self.twins.entry(F::key(id)).or_default();
        self.function.apply(state, id, message, &mut self.check);
    }

    /// What came of all messages so far.
    pub fn check(&self) -> Check {
        self.check
    }
}

/// One thread's twins and the messages it has parsed.
struct Worker<'d, F: TwinFunction> {
    twins: Twins<F>,
    parsed: Vec<(&'d [u8], F::Message<'d>)>,
}

impl<'d, F: TwinFunction> Worker<'d, F> {
    /// A worker that has no twins yet.
    fn new(function: F) -> Self {
        Self { twins: Twins::new(function), parsed: Vec::with_capacity(GROUP) }
    }

    /// Takes one record; its message may wait until a group is full.
    fn handle(&mut self, (id, payload): (&'d [u8], &'d [u8])) -> Result<()> {
        self.parsed.push((id, F::parse(payload)?));
        if self.parsed.len() == GROUP {
            self.flush();
        }
        Ok(())
    }

    /// Applies all messages that wait, in their order.
    fn flush(&mut self) {
        for (id, message) in self.parsed.drain(..) {
            self.twins.apply(id, &message);
        }
    }

    /// What came of all messages.
    fn finish(mut self) -> Check {
        self.flush();
        self.twins.check
    }
}

/// One thread, one table, one loop over the records of all partitions.
pub fn plain_loop<F: TwinFunction>(function: F, partitions: &[Partition]) -> Result<Check> {
    let mut worker = Worker::new(function);
    for partition in partitions {
        for _ in 0..partition.passes() {
            for i in 0..partition.len() {
                worker.handle(partition.record(i))?;
            }
        }
    }
    Ok(worker.finish())
}

/// One thread a partition; a record of another thread's twin is handed over by its position.
pub fn threads<F: TwinFunction>(function: F, partitions: &[Partition]) -> Result<Check> {
    if partitions.len() == 1 {
        return plain_loop(function, partitions);
    }
    let checks = thread::scope(|scope| {
        let running: Vec<_> = hand_over::desks(partitions)
            .into_iter()
            .map(|desk| {
                let function = function.clone();
                scope.spawn(move || desk.run(Worker::new(function)))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a limit's thread does not panic"))
            .collect::<Result<Vec<Check>>>()
    })?;
    let mut check = Check::default();
    checks.into_iter().for_each(|of_worker| check.merge(of_worker));
    Ok(check)
}

/// The same parser over the same records with no state, one thread a partition.
pub fn parse_only<F: TwinFunction>(partitions: &[Partition]) -> Result<()> {
    thread::scope(|scope| {
        let running: Vec<_> = partitions
            .iter()
            .map(|partition| {
                scope.spawn(move || {
                    for _ in 0..partition.passes() {
                        for i in 0..partition.len() {
                            black_box(F::parse(partition.record(i).1)?);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a limit's thread does not panic"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Amount, DataSet, Plan};
    use crate::draw::Distribution;
    use crate::payload::Size;
    use crate::record::Format;

    fn data(format: Format, records: u64, sources: u64, distribution: Distribution) -> DataSet {
        DataSet::generate(&Plan {
            format,
            size: Size::Small,
            twins: 1000,
            distribution,
            amount: Amount::Total(records),
            sources,
        })
    }

    /// The checks of W1 and W2 on one data set, by the plain loop and by threads.
    fn checks(records: u64, sources: u64, distribution: Distribution) -> [String; 4] {
        let w1 = data(Format::Json, records, sources, distribution);
        let w2 = data(Format::Opaque, records, sources, distribution);
        [
            plain_loop(Counting::default(), w1.partitions()),
            threads(Counting::default(), w1.partitions()),
            plain_loop(Opaque, w2.partitions()),
            threads(Opaque, w2.partitions()),
        ]
        .map(|check| check.unwrap().to_string())
    }

    #[test]
    fn the_check_does_not_depend_on_the_number_of_threads() {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            let [w1, _, w2, _] = checks(5_000, 1, distribution);
            for sources in [1, 2, 3] {
                let expected = [&w1, &w1, &w2, &w2];
                assert_eq!(checks(5_000, sources, distribution).each_ref(), expected);
            }
        }
    }

    #[test]
    fn every_pass_counts() {
        let once = data(Format::Json, 5_000, 2, Distribution::Uniform);
        let again = once.clone().repeated(3);
        let check = |partitions| plain_loop(Counting::default(), partitions).unwrap();
        assert_eq!(again.len(), 3 * once.len());
        assert_ne!(check(again.partitions()), check(once.partitions()));
        let three = [once.partitions(), once.partitions(), once.partitions()].concat();
        assert_eq!(check(again.partitions()), check(&three));
        let of_threads = threads(Counting::default(), again.partitions()).unwrap();
        assert_eq!(check(again.partitions()), of_threads);
        parse_only::<Counting>(again.partitions()).unwrap();
    }

    /// The same sums came out of a program in another language. 2.4 % of messages alert.
    #[test]
    fn the_checks_are_fixed() {
        let [w1, _, w2, _] = checks(50_000, 1, Distribution::Uniform);
        assert_eq!([&*w1, &*w2], ["1195:0000025b4ebe465f", "5469:59fcfd32dfcb51d7"]);
    }

    #[test]
    fn what_is_not_json_stops_the_limit() {
        let w2 = data(Format::Opaque, 100, 2, Distribution::Uniform);
        assert!(parse_only::<Counting>(w2.partitions()).is_err());
    }
}
