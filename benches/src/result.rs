//! The lines on standard output: one for each run, and a summary of the pairs.
//!
//! Estimate: nothing is printed while a clock runs.

use serde::{Serialize, Serializer};

use crate::latency::Latency;
use crate::system::Measured;

/// What one run gave, in the order in which it is printed.
#[derive(Clone, Debug, Serialize)]
pub struct ResultLine {
    /// Who ran.
    pub system: String,
    /// What was run.
    pub workload: &'static str,
    /// Messages handled.
    pub messages: u64,
    /// Twins they were for.
    pub twins: u64,
    /// Workers.
    pub workers: usize,
    /// From the first record handed over to the last output.
    #[serde(serialize_with = "six_places")]
    pub seconds: f64,
    /// Messages a second.
    #[serde(serialize_with = "whole")]
    pub msgs_per_s: f64,
    /// The process's own processor time.
    #[serde(serialize_with = "six_places")]
    pub cpu_s: f64,
    /// Latencies, where there are any.
    #[serde(flatten)]
    pub latency: Option<Latency>,
    /// The peak of memory, the data set included.
    #[serde(serialize_with = "whole")]
    pub peak_rss_mb: f64,
    /// The output check, `count:hex16`, empty where there is none.
    pub checksum: String,
    /// What else there is to say.
    pub note: String,
}

impl ResultLine {
    /// The line for a run of `system`.
    pub fn new(
        system: &str,
        workload: &'static str,
        twins: u64,
        workers: usize,
        run: &Measured,
    ) -> Self {
        Self {
            system: system.to_owned(),
            workload,
            messages: run.messages,
            twins,
            workers,
            seconds: run.usage.seconds,
            msgs_per_s: run.rate(),
            cpu_s: run.usage.cpu_s,
            latency: run.latency.as_ref().map(crate::latency::Histogram::figures),
            peak_rss_mb: run.usage.peak_rss_mb,
            checksum: run.check.map(|check| check.to_string()).unwrap_or_default(),
            note: String::new(),
        }
    }

    /// The line with something said at its end.
    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Prints it, as JSON or for a person.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", to_json(self));
            return;
        }
        let latency = self.latency.map(|l| {
            format!(
                "  p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.0} us",
                l.p50_us, l.p99_us, l.p999_us, l.max_us
            )
        });
        println!(
            "{:<12} {:>11.0} msg/s  {:>8.3} s  {:>7.2} cpu s  {:>5.0} MB{}  {} {}",
            self.system,
            self.msgs_per_s,
            self.seconds,
            self.cpu_s,
            self.peak_rss_mb,
            latency.unwrap_or_default(),
            self.checksum,
            self.note,
        );
    }
}

/// Whether the runs were worth anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All output checks were right.
    Ok,
    /// A run arrived at another check.
    Wrong,
    /// The limit was no limit: slower than twice its parse-only line.
    Void,
}

/// The last line: ratios and medians over all runs. What was not measured is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    summary: bool,
    /// What was run.
    pub workload: &'static str,
    /// Workers.
    pub workers: usize,
    /// Twins.
    pub twins: u64,
    /// REST: connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// The engine's rate over the limit's, pair by pair.
    #[serde(flatten)]
    pub ratio: Option<Ratio>,
    /// The limit's median rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_msgs_per_s: Option<u64>,
    /// W1: the median rate of the limit's parser alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse_only_msgs_per_s: Option<u64>,
    /// Medians of the runs' latencies.
    #[serde(flatten)]
    pub latency: Option<Latency>,
    /// The same of what they are compared with.
    #[serde(flatten)]
    pub floor: Option<Floor>,
    /// The same from due to acknowledged.
    #[serde(flatten)]
    pub acknowledged: Option<Acknowledged>,
    /// W4: the rate with durable states over the rate without, pair by pair.
    #[serde(flatten)]
    pub kept: Option<Kept>,
    /// W4: the way back after a kill.
    #[serde(flatten)]
    pub back: Option<Back>,
    /// Whether the runs count.
    pub check: Verdict,
}

impl Summary {
    /// A summary of good runs without figures yet.
    pub fn new(workload: &'static str, workers: usize, twins: u64) -> Self {
        Self {
            summary: true,
            workload,
            workers,
            twins,
            connections: None,
            ratio: None,
            limit_msgs_per_s: None,
            parse_only_msgs_per_s: None,
            latency: None,
            floor: None,
            acknowledged: None,
            kept: None,
            back: None,
            check: Verdict::Ok,
        }
    }

    /// Prints it, as JSON or for a person.
    pub fn print(&self, json: bool) {
        print_pairs(self, json);
    }
}

/// Prints a line as JSON, or its names and values for a person.
pub fn print_pairs(line: &impl Serialize, json: bool) {
    let text = to_json(line);
    if json {
        println!("{text}");
        return;
    }
    let pairs = text.trim_matches(['{', '}']).replace('"', "").replace(':', " ");
    println!("{}", pairs.replace("summary true,", "summary: ").replace(',', ", "));
}

/// Median, least and largest of the pairs' ratios.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    #[serde(serialize_with = "three_places")]
    ratio: f64,
    #[serde(serialize_with = "three_places")]
    ratio_min: f64,
    #[serde(serialize_with = "three_places")]
    ratio_max: f64,
}

impl Ratio {
    /// The median.
    pub fn median(&self) -> f64 {
        self.ratio
    }

    /// The ratios of pairs `(limit, system)` of rates; none without pairs.
    pub fn of_pairs(pairs: &[(f64, f64)]) -> Option<Self> {
        let ratios: Vec<f64> = pairs.iter().map(|(limit, system)| system / limit).collect();
        Some(Self {
            ratio: median(&ratios)?,
            ratio_min: ratios.iter().copied().reduce(f64::min)?,
            ratio_max: ratios.iter().copied().reduce(f64::max)?,
        })
    }
}

/// Median, least and largest of what durable states leave of the rate (W4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kept {
    #[serde(serialize_with = "three_places")]
    kept: f64,
    #[serde(serialize_with = "three_places")]
    kept_min: f64,
    #[serde(serialize_with = "three_places")]
    kept_max: f64,
}

impl From<Ratio> for Kept {
    fn from(ratio: Ratio) -> Self {
        Self { kept: ratio.ratio, kept_min: ratio.ratio_min, kept_max: ratio.ratio_max }
    }
}

/// The way back after a kill (W4): medians of times, sums of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Back {
    /// From the kill to the first output that had not been seen before.
    #[serde(serialize_with = "three_places")]
    pub first_output_ms: f64,
    /// From the kill until the twins had handled what was due.
    #[serde(serialize_with = "three_places")]
    pub caught_up_ms: f64,
    /// Outputs that never came, and acknowledged messages that the next life asked for again.
    pub lost: u64,
    /// Outputs that came again.
    pub duplicates: u64,
}

/// The latencies beneath: of parked threads (W3) or of the bare handler (REST).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Floor {
    floor_p50_us: f64,
    floor_p99_us: f64,
    floor_p999_us: f64,
    floor_max_us: f64,
}

impl From<Latency> for Floor {
    fn from(latency: Latency) -> Self {
        Self {
            floor_p50_us: latency.p50_us,
            floor_p99_us: latency.p99_us,
            floor_p999_us: latency.p999_us,
            floor_max_us: latency.max_us,
        }
    }
}

/// The latencies of acknowledgements (W3).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Acknowledged {
    ack_p50_us: f64,
    ack_p99_us: f64,
    ack_p999_us: f64,
    ack_max_us: f64,
}

impl From<Latency> for Acknowledged {
    fn from(latency: Latency) -> Self {
        Self {
            ack_p50_us: latency.p50_us,
            ack_p99_us: latency.p99_us,
            ack_p999_us: latency.p999_us,
            ack_max_us: latency.max_us,
        }
    }
}

/// The middle value, the mean of the two in the middle of an even number, none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// The median of each figure by itself.
pub fn median_latency(runs: &[Latency]) -> Option<Latency> {
    let of = |figure: fn(&Latency) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    Some(Latency {
        p50_us: of(|l| l.p50_us)?,
        p99_us: of(|l| l.p99_us)?,
        p999_us: of(|l| l.p999_us)?,
        max_us: of(|l| l.max_us)?,
    })
}

/// A line as JSON.
pub fn to_json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("a result line has no maps with odd keys")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) fn whole<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(value.round() as u64)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) fn three_places<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((value * 1e3).round() / 1e3)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn six_places<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::meter::Usage;

    #[test]
    fn a_result_line_has_the_fields_of_the_specification() {
        let mut check = Check::default();
        check.add(255);
        let run = Measured {
            usage: Usage { seconds: 0.5, cpu_s: 0.49, peak_rss_mb: 230.4 },
            messages: 1_000_000,
            check: Some(check),
            latency: None,
            acknowledged: None,
        };
        let line = ResultLine::new("limit", "w1", 1000, 1, &run).with_note("x");
        let expected = concat!(
            r#"{"system":"limit","workload":"w1","messages":1000000,"twins":1000,"workers":1,"#,
            r#""seconds":0.5,"msgs_per_s":2000000,"cpu_s":0.49,"peak_rss_mb":230,"#,
            r#""checksum":"1:00000000000000ff","note":"x"}"#
        );
        assert_eq!(to_json(&line), expected);
    }

    #[test]
    fn a_summary_has_the_fields_of_the_specification() {
        let mut summary = Summary::new("w1", 2, 100_000);
        summary.ratio = Ratio::of_pairs(&[(4.0, 2.0), (4.0, 3.0), (2.0, 2.0)]);
        let expected = concat!(
            r#"{"summary":true,"workload":"w1","workers":2,"twins":100000,"#,
            r#""ratio":0.75,"ratio_min":0.5,"ratio_max":1.0,"check":"ok"}"#
        );
        assert_eq!(to_json(&summary), expected);
    }

    #[test]
    fn latencies_and_their_floor_stand_side_by_side() {
        let latency = Latency { p50_us: 1.0, p99_us: 2.0, p999_us: 3.0, max_us: 4.0 };
        let mut summary = Summary::new("w3", 1, 1000);
        summary.latency = median_latency(&[latency]);
        summary.floor = Some(latency.into());
        let text = to_json(&summary);
        assert!(text.contains(r#""p999_us":3.0,"max_us":4.0,"floor_p50_us":1.0"#), "{text}");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }
}
