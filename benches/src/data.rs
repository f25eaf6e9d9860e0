//! The data sets: made in memory or read from a file before any clock starts, and cut into one
//! partition a source.
//!
//! Estimate: 2,000,000 records of 114 bytes are 228 MB and take about a second to make on one
//! thread. A file is read at the speed of the page cache, 0.1 s.

use std::path::Path;
use std::thread;

use bytes::Bytes;

use crate::Result;
use crate::draw::{Distribution, TwinPicker};
use crate::payload::Size;
use crate::record::{Format, Partition, Records};

/// How many records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The first so many records, whichever source they belong to.
    Total(u64),
    /// The first so many records of each source, as a paced run takes them.
    OfEachSource(u64),
}

/// What a data set is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The record format.
    pub format: Format,
    /// The payload size.
    pub size: Size,
    /// How many twins.
    pub twins: u64,
    /// How messages spread over them.
    pub distribution: Distribution,
    /// How many records.
    pub amount: Amount,
    /// How many partitions: a twin's partition is its number modulo this, parity for two.
    pub sources: u64,
}

/// The same records for every system, one partition a source.
#[derive(Clone, Debug)]
pub struct DataSet {
    partitions: Vec<Partition>,
}

impl DataSet {
    /// Makes the records of `plan`, one thread a partition.
    pub fn generate(plan: &Plan) -> Self {
        let records = Records::new(TwinPicker::new(plan.twins, plan.distribution));
        let partitions = thread::scope(|scope| {
            let makers: Vec<_> = (0..plan.sources)
                .map(|source| {
                    scope.spawn({
                        let records = &records;
                        move || generate_partition(plan, records, source)
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().expect("a maker does not panic")).collect()
        });
        Self { partitions }
    }

    /// The records of these partitions.
    pub fn of(partitions: Vec<Partition>) -> Self {
        Self { partitions }
    }

    /// Takes the records of `plan` from a file of the same format.
    pub fn read(path: &Path, plan: &Plan) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| format!("cannot read {path:?}: {e}"))?;
        Self::split(&bytes, plan).map_err(|e| format!("{path:?}: {e}").into())
    }

    /// Gives every record in `bytes` to the partition of its twin.
    fn split(bytes: &[u8], plan: &Plan) -> Result<Self> {
        let layout = plan.format.layout(plan.size);
        let mut left = vec![u64::MAX; index(plan.sources)];
        let mut total = u64::MAX;
        match plan.amount {
            Amount::Total(records) => total = records,
            Amount::OfEachSource(records) => left.fill(records),
        }
        let mut buffers = vec![Vec::new(); left.len()];
        for (record, number) in bytes.chunks(layout.stride()).zip(0..total) {
            let twin = (record.len() == layout.stride() && framed(record, plan))
                .then(|| plan.format.twin(&record[..layout.id]))
                .flatten()
                .ok_or_else(|| misplaced(number, plan))?;
            let source = index(twin % plan.sources);
            if left[source] > 0 {
                left[source] -= 1;
                buffers[source].extend_from_slice(record);
            }
        }
        if let Amount::OfEachSource(records) = plan.amount
            && left.iter().any(|missing| *missing > 0)
        {
            return Err(format!("fewer than {records} records for a source").into());
        }
        let partition = |buffer| Partition::new(Bytes::from(buffer), layout);
        Ok(Self { partitions: buffers.into_iter().map(partition).collect() })
    }

    /// The partitions, one a source.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The same records, handed over so many times, one pass behind the other.
    #[must_use]
    pub fn repeated(self, passes: usize) -> Self {
        let repeat = |partition: Partition| partition.repeated(passes);
        Self { partitions: self.partitions.into_iter().map(repeat).collect() }
    }

    /// How many records are handed over in all.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.len() * partition.passes()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes the records of one source.
fn generate_partition(plan: &Plan, records: &Records, source: u64) -> Partition {
    let layout = plan.format.layout(plan.size);
    let (total, mine) = match plan.amount {
        Amount::Total(records) => (records, u64::MAX),
        Amount::OfEachSource(records) => (u64::MAX, records),
    };
    let expected = mine.min(total / plan.sources);
    let mut bytes = Vec::with_capacity(index(expected + expected / 8) * layout.stride());
    let mut made = 0;
    for seq in 0..total {
        if made == mine {
            break;
        }
        if records.twin(seq) % plan.sources == source {
            records.write(&mut bytes, seq, plan.format, plan.size);
            made += 1;
        }
    }
    Partition::new(Bytes::from(bytes), layout)
}

/// Whether a record's separators are where its layout has them.
fn framed(record: &[u8], plan: &Plan) -> bool {
    let id = plan.format.layout(plan.size).id;
    plan.format == Format::Opaque || (record[id] == b'\t' && record.ends_with(b"\n"))
}

/// Says what a file must look like.
fn misplaced(number: u64, plan: &Plan) -> String {
    let bytes = plan.size.bytes();
    match plan.format {
        Format::Json => format!(
            "record {number} is not `twin-NNNNNNN`, a tab, {bytes} bytes of JSON and a newline"
        ),
        Format::Opaque => format!("record {number} is not 8 bytes of number and {bytes} more"),
    }
}

/// A number of things in memory as an index.
fn index(number: u64) -> usize {
    usize::try_from(number).expect("what is held in memory can be indexed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const PLAN: Plan = Plan {
        format: Format::Json,
        size: Size::Small,
        twins: 1000,
        distribution: Distribution::Zipf,
        amount: Amount::Total(5000),
        sources: 2,
    };

    /// The records of a plan with one source, as a file would have them.
    fn file_of(plan: Plan) -> Vec<u8> {
        let records = Records::new(TwinPicker::new(plan.twins, plan.distribution));
        let mut out = Vec::new();
        for seq in 0..5000 {
            records.write(&mut out, seq, plan.format, plan.size);
        }
        out
    }

    #[test]
    fn partitions_hold_twins_by_parity_in_order() {
        let data = DataSet::generate(&PLAN);
        assert_eq!(data.len(), 5000);
        for (parity, partition) in (0..).zip(data.partitions()) {
            let mut last = -1;
            for i in 0..partition.len() {
                let (id, payload) = partition.record(i);
                assert_eq!(Format::Json.twin(id).unwrap() % 2, parity);
                let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
                let seq = json["seq"].as_i64().unwrap();
                assert!(seq > last);
                last = seq;
            }
        }
    }

    #[test]
    fn a_file_gives_what_was_generated() {
        for format in [Format::Json, Format::Opaque] {
            for amount in [Amount::Total(5000), Amount::Total(700), Amount::OfEachSource(900)] {
                let plan = Plan { format, amount, ..PLAN };
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(&file_of(plan)).unwrap();
                let (made, read) =
                    (DataSet::generate(&plan), DataSet::read(file.path(), &plan).unwrap());
                for (a, b) in made.partitions().iter().zip(read.partitions()) {
                    assert_eq!(a.len(), b.len());
                    assert!((0..a.len()).all(|i| a.record(i) == b.record(i)));
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_record() {
        let mut bytes = file_of(PLAN);
        bytes[114 * 3 + 12] = b' ';
        let error = DataSet::split(&bytes, &PLAN).unwrap_err().to_string();
        assert!(error.starts_with("record 3 is not `twin-NNNNNNN`"), "{error}");
        let error = DataSet::split(&bytes[..200], &PLAN).unwrap_err().to_string();
        assert!(error.starts_with("record 1 is not"), "{error}");
    }

    #[test]
    fn a_file_too_short_for_a_paced_run_says_so() {
        let plan = Plan { amount: Amount::OfEachSource(4000), ..PLAN };
        let error = DataSet::split(&file_of(PLAN), &plan).unwrap_err().to_string();
        assert_eq!(error, "fewer than 4000 records for a source");
    }
}
