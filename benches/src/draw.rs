//! Random draws that depend on their number alone, and twins drawn from them.
//!
//! Estimate: a draw is three multiplications and a few shifts, 2 ns. A zipf twin costs a binary
//! search of 20 steps in a table of 8 bytes a twin, 50-200 ns at one million twins.

/// The step of the generator, also mixed into the outputs of W2.
pub const GOLD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A prime above every number of twins, so that multiplying by it scatters ranks one to one.
const SCATTER: u64 = 2_654_435_761;

/// SplitMix64's finaliser over a counter: draw `i` needs no draw before it.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Draw number `i`.
    pub fn at(self, i: u64) -> u64 {
        let z = self.seed.wrapping_add(GOLD.wrapping_mul(i.wrapping_add(1)));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// `draw` brought into `0..bound` by a multiplication, without the bias of a short remainder.
pub fn below(draw: u64, bound: u64) -> u64 {
    let wide = u128::from(draw) * u128::from(bound);
    u64::try_from(wide >> 64).expect("the upper half of a 128 bit product has 64 bits")
}

/// How messages spread over twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// Every twin is as likely as any other.
    #[value(alias = "u")]
    Uniform,
    /// The twin of rank `k` is `1/k` as likely as the first.
    #[value(alias = "z")]
    Zipf,
}

/// Turns a draw into a twin number in `0..twins`.
#[derive(Debug)]
pub struct TwinPicker {
    twins: u64,
    /// For zipf the running sums of `1/k`, else empty.
    sums: Vec<f64>,
}

impl TwinPicker {
    /// A picker over `twins` twins, of which there must be one at least and `SCATTER` at most.
    pub fn new(twins: u64, distribution: Distribution) -> Self {
        assert!((1..SCATTER).contains(&twins), "between 1 and {SCATTER} twins");
        let mut sum = 0.0;
        let mut sums = Vec::new();
        if distribution == Distribution::Zipf {
            sums.extend((1..=twins).map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            }));
        }
        Self { twins, sums }
    }

    /// The twin for `draw`.
    pub fn pick(&self, draw: u64) -> u64 {
        let Some(total) = self.sums.last() else {
            return below(draw, self.twins);
        };
        let target = (draw >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let rank = self.sums.partition_point(|sum| *sum <= target) as u64;
        self.scatter(rank.min(self.twins - 1))
    }

    /// The twin that has `rank`, counted from nought: hot twins are not neighbours.
    fn scatter(&self, rank: u64) -> u64 {
        rank * SCATTER % self.twins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn draws_are_those_of_split_mix() {
        let draws = Draws::new(42);
        assert_eq!(draws.at(0), 0xBDD7_3226_2FEB_6E95);
        assert_eq!(Draws::new(0).at(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(Draws::new(0).at(1), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn below_stays_below() {
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(u64::MAX, 7), 6);
        assert_eq!(below(u64::MAX / 2, 1000), 499);
    }

    #[test]
    fn scattering_loses_no_twin() {
        for twins in [1, 2, 1000, 100_000] {
            let picker = TwinPicker::new(twins, Distribution::Zipf);
            let seen: HashSet<u64> = (0..twins).map(|rank| picker.scatter(rank)).collect();
            assert_eq!(seen.len() as u64, twins);
        }
    }

    #[test]
    fn zipf_gives_the_first_ranks_their_share() {
        let picker = TwinPicker::new(1000, Distribution::Zipf);
        let mut counts = vec![0_u32; 1000];
        for i in 0..200_000 {
            counts[picker.pick(Draws::new(42).at(i)) as usize] += 1;
        }
        let of_rank = |rank| f64::from(counts[picker.scatter(rank) as usize]) / 200_000.0;
        let total: f64 = (1..=1000).map(|k| 1.0 / f64::from(k)).sum();
        for rank in [0, 1, 4, 9] {
            let expected = 1.0 / (rank + 1) as f64 / total;
            let ratio = of_rank(rank) / expected;
            assert!((0.95..1.05).contains(&ratio), "rank {rank}: {ratio}");
        }
    }

    #[test]
    fn uniform_reaches_every_twin_about_equally() {
        let picker = TwinPicker::new(10, Distribution::Uniform);
        let mut counts = [0_u32; 10];
        for i in 0..100_000 {
            counts[picker.pick(Draws::new(42).at(i)) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
