//! The output check: how many outputs there were and the sum of what they were.
//!
//! Estimate: an addition. Order plays no part, so that workers add up their own and merge.

use std::fmt;

/// Printed as `count:hex16`. A figure without the right check is no figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    count: u64,
    sum: u64,
}

impl Check {
    /// Counts one output: the CRC-32 of an alert's bytes for W1, the output itself for W2.
    pub fn add(&mut self, output: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(output);
    }

    /// Counts an alert's bytes.
    pub fn add_bytes(&mut self, output: &[u8]) {
        self.add(u64::from(crc32fast::hash(output)));
    }

    /// Counts the outputs of another worker.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.count, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_split_play_no_part() {
        let (mut whole, mut left, mut right) = Default::default();
        for output in [3, u64::MAX, 12] {
            Check::add(&mut whole, output);
        }
        Check::add(&mut left, 12);
        Check::add(&mut right, 3);
        right.add(u64::MAX);
        left.merge(right);
        assert_eq!(left, whole);
        assert_eq!(whole.to_string(), "3:000000000000000e");
    }

    #[test]
    fn bytes_count_by_their_crc() {
        let mut check = Check::default();
        check.add_bytes(b"123456789");
        assert_eq!(check.to_string(), "1:00000000cbf43926");
    }
}
