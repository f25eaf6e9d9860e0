//! What came out of all lives, against what comes out of a life that nobody disturbs.
//!
//! Estimate: a look-up by 130 bytes of text for one message in 41.

use std::collections::{HashMap, HashSet};

use crate::Result;
use crate::check::Check;
use crate::data::DataSet;
use crate::w1::{Reading, State};

/// The outputs of an undisturbed life.
#[derive(Debug, Default)]
pub(super) struct Expected {
    texts: HashSet<Vec<u8>>,
    check: Check,
}

impl Expected {
    /// The outputs for the first `messages` of each source, whose records begin anew at their end.
    pub(super) fn of(data: &DataSet, messages: u64) -> Result<Self> {
        let mut expected = Self::default();
        for partition in data.partitions() {
            let mut twins = HashMap::<&[u8], State>::new();
            for j in 0..usize::try_from(messages)? {
                let (id, payload) = partition.record(j % partition.len());
                let reading: Reading<'_> = serde_json::from_slice(payload)?;
                if let Some(alert) = twins.entry(id).or_default().apply(&reading) {
                    let mut text = Vec::new();
                    alert.write(id, &mut text);
                    expected.check.add_bytes(&text);
                    expected.texts.insert(text);
                }
            }
        }
        Ok(expected)
    }

    /// Their check.
    pub(super) fn check(&self) -> Check {
        self.check
    }
}

/// The outputs that came, each once.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    seen: HashSet<Vec<u8>>,
    check: Check,
    duplicates: u64,
}

impl Outputs {
    /// Takes an output; says whether it is the first of its kind.
    pub(super) fn add(&mut self, text: &[u8]) -> bool {
        let first = self.seen.insert(text.to_vec());
        if first {
            self.check.add_bytes(text);
        } else {
            self.duplicates += 1;
        }
        first
    }

    /// The check of all that came, each counted once.
    pub(super) fn check(&self) -> Check {
        self.check
    }

    /// How many came again.
    pub(super) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// How many never came.
    pub(super) fn lost(&self, expected: &Expected) -> u64 {
        expected.texts.difference(&self.seen).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Amount, Plan};
    use crate::draw::Distribution;
    use crate::limit::Limit;
    use crate::payload::Size;
    use crate::record::Format;
    use crate::system::Workload;

    fn data() -> DataSet {
        DataSet::generate(&Plan {
            format: Format::Json,
            size: Size::Small,
            twins: 50,
            distribution: Distribution::Uniform,
            amount: Amount::OfEachSource(2_000),
            sources: 2,
        })
    }

    #[test]
    fn an_undisturbed_life_gives_what_the_limit_gives() {
        let data = data();
        let once = Expected::of(&data, 2_000).unwrap();
        assert_eq!(once.check(), Limit::expected(Workload::W1, &data).unwrap());
        let twice = Expected::of(&data, 4_000).unwrap();
        let repeated = Limit::expected(Workload::W1, &data.repeated(2)).unwrap();
        assert_eq!(twice.check(), repeated);
    }

    #[test]
    fn what_is_lost_or_comes_again_is_counted() {
        let expected = Expected::of(&data(), 2_000).unwrap();
        let mut outputs = Outputs::default();
        let mut texts = expected.texts.iter();
        let missing = texts.next().unwrap();
        assert!(texts.all(|text| outputs.add(text)));
        assert_eq!(outputs.lost(&expected), 1);
        assert_ne!(outputs.check(), expected.check());
        assert!(outputs.add(missing) && !outputs.add(missing));
        assert_eq!((outputs.lost(&expected), outputs.duplicates()), (0, 1));
        assert_eq!(outputs.check(), expected.check());
        outputs.add(b"nobody expects this");
        assert_ne!(outputs.check(), expected.check());
    }
}
