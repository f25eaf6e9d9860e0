//! What is written to Kafka, and what every twin must have become of it. Pure: a record is
//! computed from its place, so nothing has to be kept of tens of millions.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

pub(crate) const PARTITIONS: u64 = 8;

/// One record of so many cannot be used, and becomes a dead letter.
const BAD_EVERY: u64 = 5_000;

/// Spreads a number over all bits (splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The records of all partitions.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    /// A multiple of the partitions; each twin has one of them.
    pub(crate) twins: u64,
}

impl Stream {
    /// The twin of a record: in a partition first each of its own once, then any.
    pub(crate) fn twin(self, partition: u64, offset: u64) -> u64 {
        let own = self.twins / PARTITIONS;
        let random = || mix(offset * PARTITIONS + partition) % own;
        let nth = if offset < own { offset } else { random() };
        nth * PARTITIONS + partition
    }

    /// Its id; `None` for one that cannot be used.
    pub(crate) fn id(partition: u64, offset: u64) -> Option<u64> {
        let id = offset * PARTITIONS + partition;
        (id % BAD_EVERY != BAD_EVERY - 1).then_some(id)
    }

    /// Key and payload.
    pub(crate) fn record(self, partition: u64, offset: u64) -> (String, String) {
        let payload = match Self::id(partition, offset) {
            Some(id) => format!("{{\"id\":{id}}}"),
            None => format!("{{\"no_id\":{offset}}}"),
        };
        (name(self.twin(partition, offset)), payload)
    }
}

/// The id of a twin.
pub(crate) fn name(twin: u64) -> String {
    format!("t-{twin}")
}

/// What a journal says of the ids that were applied, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) count: u32,
    hash: u64,
}

impl Fold {
    fn apply(&mut self, id: u64) {
        let crc = u64::from(crc32fast::hash(id.to_string().as_bytes()));
        self.count += 1;
        self.hash = self.hash.wrapping_mul(31).wrapping_add(crc);
    }

    fn of_state(state: &Value) -> Self {
        let hash = u64::from_str_radix(state["hash"].as_str().unwrap(), 16).unwrap();
        Self { count: state["count"].as_u64().unwrap() as u32, hash }
    }
}

/// What is wrong with twins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Messages that twins lack.
    pub(crate) lost: u64,
    /// Messages that twins have too many.
    pub(crate) twice: u64,
    /// Twins with as many as they should have, in another order or others.
    pub(crate) disordered: u64,
}

impl Wrong {
    fn add(&mut self, has: Fold, should: Fold) {
        self.lost += u64::from(should.count.saturating_sub(has.count));
        self.twice += u64::from(has.count.saturating_sub(should.count));
        self.disordered += u64::from(has.count == should.count && has.hash != should.hash);
    }
}

/// What twins must be, from the records below one offset of each partition.
pub(crate) struct Oracle {
    stream: Stream,
    ends: [u64; PARTITIONS as usize],
    twins: Vec<Fold>,
    /// Records that cannot be used.
    pub(crate) bad: u64,
}

impl Oracle {
    pub(crate) fn new(stream: Stream) -> Self {
        let twins = vec![Fold::default(); stream.twins as usize];
        Self { stream, ends: [0; PARTITIONS as usize], twins, bad: 0 }
    }

    /// Takes in the records below these offsets.
    pub(crate) fn advance(&mut self, ends: &[u64]) {
        for (partition, end) in (0..).zip(ends) {
            for offset in self.ends[partition as usize]..*end {
                match Stream::id(partition, offset) {
                    Some(id) => self.twins[self.stream.twin(partition, offset) as usize].apply(id),
                    None => self.bad += 1,
                }
            }
            self.ends[partition as usize] = *end;
        }
    }

    /// The twins of the newest `records` of each partition.
    pub(crate) fn newest(&self, records: u64) -> HashSet<u64> {
        let of = |(partition, end): (u64, u64)| {
            let offsets = end.saturating_sub(records)..end;
            offsets.map(move |offset| self.stream.twin(partition, offset))
        };
        (0..).zip(self.ends).flat_map(of).collect()
    }

    /// Holds twins that have at least the records so far, and further ones in order, none of them
    /// at or behind `written`, against their states.
    pub(crate) fn judge(
        &self,
        twins: &HashSet<u64>,
        written: &[u64],
        states: &BTreeMap<String, Value>,
    ) -> Wrong {
        let mut wrong = Wrong::default();
        let mut open = HashMap::<u64, (Fold, Fold)>::new();
        for twin in twins {
            let should = self.twins[*twin as usize];
            let has = states.get(&name(*twin)).map(Fold::of_state).unwrap_or_default();
            if has.count > should.count {
                open.insert(*twin, (has, should));
            } else {
                wrong.add(has, should);
            }
        }
        for (partition, (end, written)) in (0..).zip(self.ends.iter().zip(written)) {
            for offset in *end..*written {
                let (twin, id) =
                    (self.stream.twin(partition, offset), Stream::id(partition, offset));
                if let (Some((has, should)), Some(id)) = (open.get_mut(&twin), id)
                    && should.count < has.count
                {
                    should.apply(id);
                }
            }
        }
        open.values().for_each(|(has, should)| wrong.add(*has, *should));
        wrong
    }

    /// Holds all twins, with exactly the records so far, against their states.
    pub(crate) fn judge_all(&self, states: &BTreeMap<String, Value>) -> Wrong {
        let all = (0..self.stream.twins).collect();
        self.judge(&all, &self.ends, states)
    }

    /// Records so far, those that cannot be used too.
    pub(crate) fn records(&self) -> u64 {
        self.ends.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: Stream = Stream { twins: 16 };

    fn states(change: impl Fn(u64, &mut Vec<u64>)) -> BTreeMap<String, Value> {
        let mut ids = BTreeMap::<u64, Vec<u64>>::new();
        for (partition, offset) in (0..PARTITIONS).flat_map(|it| (0..50).map(move |at| (it, at))) {
            let of_twin = ids.entry(STREAM.twin(partition, offset)).or_default();
            of_twin.extend(Stream::id(partition, offset));
        }
        let state = |(twin, mut ids): (u64, Vec<u64>)| {
            change(twin, &mut ids);
            let mut fold = Fold::default();
            ids.iter().for_each(|id| fold.apply(*id));
            (name(twin), json!({"count": fold.count, "hash": format!("{:016x}", fold.hash)}))
        };
        ids.into_iter().map(state).collect()
    }

    #[test]
    fn losses_repetitions_and_another_order_are_seen_and_more_than_is_due_is_not_wrong() {
        let (mut early, mut late) = (Oracle::new(STREAM), Oracle::new(STREAM));
        early.advance(&[40; PARTITIONS as usize]);
        late.advance(&[50; PARTITIONS as usize]);
        let all = early.newest(20);
        let judge = |change: fn(u64, &mut Vec<u64>)| {
            let states = states(change);
            let written = [50; PARTITIONS as usize];
            (early.judge(&all, &written, &states), late.judge_all(&states))
        };
        let right = Wrong::default();
        assert_eq!(judge(|_, _| {}), (right, right));
        let lost = judge(|twin, ids| ids.truncate(if twin == 3 { ids.len() - 1 } else { 99 }));
        assert_eq!(lost, (right, Wrong { lost: 1, ..right }));
        let many = judge(|twin, ids| ids.truncate(if twin == 3 { 5 } else { 99 }));
        assert!(many.0.lost > 0 && many.1.lost > many.0.lost, "{many:?}");
        let twice = judge(|_, ids| ids.push(ids[0]));
        assert_eq!((twice.0.twice, twice.1.twice), (16, 16));
        let swapped = judge(|twin, ids| {
            if twin == 5 {
                ids.swap(2, 3)
            }
        });
        assert_eq!((swapped.0.disordered, swapped.1.disordered), (1, 1));
    }
}
