//! W1, count and threshold: a few running figures of each twin, and an alert when its value rises
//! above a threshold.
//!
//! Estimate: parsing 100 bytes of JSON into [`Reading`] takes 200-350 ns, the state 10 ns, and
//! one message in 41 writes an alert of 120 bytes for 300 ns: 0.25-0.4 us a message, with a table
//! of 100,000 twins (10 MB) another 30-60 ns for a line not in the cache. So 2.5-4 M messages a
//! second on one thread, and a little less than twice that on two.

use std::borrow::Cow;
use std::io::Write;

use serde::{Deserialize, Serialize};

/// A value above this is an alert, once until it has fallen to it again.
const THRESHOLD: f64 = 195.0;

/// One message of W1, in whatever order its fields come; other fields are read past.
#[derive(Clone, Debug, Deserialize)]
pub struct Reading<'m> {
    /// When it was taken, in milliseconds since 1970.
    pub ts: i64,
    /// Its number in the data set.
    #[serde(default)]
    pub seq: u64,
    /// The measured value.
    pub value: f64,
    /// What the value counts.
    #[serde(borrow, default)]
    pub unit: Cow<'m, str>,
    /// How the source is.
    #[serde(borrow, default)]
    pub status: Cow<'m, str>,
    /// Where it comes from: filler text.
    #[serde(borrow, default)]
    pub src: Cow<'m, str>,
}

/// The state of one twin: a running mean and deviation (Welford), extremes, and its alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    n: u64,
    mean: f64,
    m2: f64,
    min: f64,
    max: f64,
    ts: i64,
    alerts: u64,
    above: bool,
}

impl State {
    /// Takes one message in arrival order; an alert when the value turns above the threshold.
    pub fn apply(&mut self, reading: &Reading<'_>) -> Option<Alert> {
        self.take(reading.ts, reading.value)
    }

    /// The same, of a message that is read in another way.
    #[inline]
    pub fn take(&mut self, ts: i64, value: f64) -> Option<Alert> {
        self.n += 1;
        let delta = value - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (value - self.mean);
        if self.n == 1 {
            (self.min, self.max, self.ts) = (value, value, ts);
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.ts = self.ts.max(ts);
        }
        let turned = value > THRESHOLD && !self.above;
        self.above = value > THRESHOLD;
        turned.then(|| self.alert(value))
    }

    /// Counts an alert and says what it says.
    #[cold]
    fn alert(&mut self, value: f64) -> Alert {
        self.alerts += 1;
        Alert {
            ts: self.ts,
            n: self.n,
            centi: centi(value),
            mean_u: cut(self.mean * 1e6),
            sd_m: cut((self.m2 / self.n as f64).sqrt() * 1e3),
            min_c: centi(self.min),
            max_c: centi(self.max),
            alerts: self.alerts,
        }
    }
}

/// What an alert says besides the twin's id: whole numbers, alike in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    ts: i64,
    n: u64,
    centi: i64,
    mean_u: i64,
    sd_m: i64,
    min_c: i64,
    max_c: i64,
    alerts: u64,
}

impl Alert {
    /// Appends the alert's text for the twin `id`.
    pub fn write(&self, id: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"twin":""#);
        out.extend_from_slice(id);
        write!(
            out,
            concat!(
                r#"","ts":{},"n":{},"centi":{},"mean_u":{},"sd_m":{},"#,
                r#""min_c":{},"max_c":{},"alerts":{}}}"#
            ),
            self.ts,
            self.n,
            self.centi,
            self.mean_u,
            self.sd_m,
            self.min_c,
            self.max_c,
            self.alerts,
        )
        .expect("writing to memory does not fail");
    }
}

/// A value in whole hundredths, rounded as the specification has it.
fn centi(value: f64) -> i64 {
    cut(value * 100.0 + 0.5)
}

/// The whole part.
fn cut(value: f64) -> i64 {
    value as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ts: i64, value: f64) -> Reading<'static> {
        Reading {
            ts,
            seq: 0,
            value,
            unit: Cow::default(),
            status: Cow::default(),
            src: Cow::default(),
        }
    }

    #[test]
    fn an_alert_comes_when_the_value_turns_and_not_while_it_stays() {
        let mut state = State::default();
        let values = [10.0, 195.0, 195.01, 200.0, 100.0, 199.99];
        let alerts: Vec<bool> =
            values.iter().map(|v| state.apply(&reading(1, *v)).is_some()).collect();
        assert_eq!(alerts, [false, false, true, false, false, true]);
    }

    #[test]
    fn the_text_of_an_alert_is_fixed() {
        let mut state = State::default();
        for (ts, value) in [(5, 10.25), (7, 100.0)] {
            assert_eq!(state.apply(&reading(ts, value)), None);
        }
        let mut text = Vec::new();
        state.apply(&reading(9, 199.5)).unwrap().write(b"twin-0000042", &mut text);
        let expected = concat!(
            r#"{"twin":"twin-0000042","ts":9,"n":3,"centi":19950,"mean_u":103250000,"#,
            r#""sd_m":77295,"min_c":1025,"max_c":19950,"alerts":1}"#
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn any_json_will_do() {
        let text = r#" {"x":[1,{"y":null}], "unit":"\u0043\n", "value":1e2, "ts":-3} "#;
        let reading: Reading<'_> = serde_json::from_str(text).unwrap();
        assert_eq!((reading.ts, reading.value, &*reading.unit), (-3, 100.0, "C\n"));
        assert!(serde_json::from_str::<Reading<'_>>(r#"{"ts":1}"#).is_err());
    }
}
