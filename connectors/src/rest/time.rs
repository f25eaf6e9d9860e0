//! The `time` of a message: milliseconds since 1970, or text as in RFC 3339.

use crate::message::Timestamp;

/// Bytes of the longest `time` that is read.
const BYTES_MAX: usize = 64;

/// Reads the JSON value of a `time`; the error is a sentence for the caller.
pub(super) fn source_time(json: &str) -> Result<Timestamp, String> {
    let what = "time: use milliseconds since 1970 or text like \"2026-01-31T12:00:00.5Z\"";
    if json.len() > BYTES_MAX {
        return Err(what.to_owned());
    }
    let time = match serde_json::from_str(json) {
        Ok(serde_json::Value::Number(millis)) => {
            millis.as_u64().and_then(|millis| millis.checked_mul(1000)).map(Timestamp)
        }
        Ok(serde_json::Value::String(text)) => rfc3339(&text),
        _ => None,
    };
    time.ok_or_else(|| what.to_owned())
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let number = |part: &str| -> Option<i64> {
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let at = |from: usize, to: usize| number(text.get(from..to)?);
    let mark = |at: usize, marks: &[u8]| marks.contains(text.as_bytes().get(at)?).then_some(());
    mark(4, b"-")?;
    mark(7, b"-")?;
    mark(10, b"Tt ")?;
    mark(13, b":")?;
    mark(16, b":")?;
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let (hour, minute, second) = (at(11, 13)?, at(14, 16)?, at(17, 19)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && digits == 0 {
        return None;
    }
    let (fraction, zone) = if digits == 0 { ("", rest) } else { rest[1..].split_at(digits) };
    let micros = number(&format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)))?;
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let seconds = number(&zone[1..3])? * 3600 + number(&zone[4..6])? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp(u64::try_from(seconds * 1_000_000 + micros).ok()?))
}

/// Days from the first of January 1970 to a date of the Gregorian calendar, counted from March so
/// that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_text_with_a_zone() {
        let good = [
            ("0", 0),
            ("1700000000123", 1_700_000_000_123_000),
            ("\"1970-01-01T00:00:00Z\"", 0),
            ("\"2000-02-29T12:30:15.25Z\"", 951_827_415_250_000),
            ("\"2026-01-31t12:00:00.1234567+01:30\"", 1_769_855_400_123_456),
            ("\"1969-12-31T23:00:00-02:00\"", 3_600_000_000),
        ];
        for (json, micros) in good {
            assert_eq!(source_time(json), Ok(Timestamp(micros)), "{json}");
        }
        let bad = [
            "-1",
            "1.5",
            "true",
            "\"2026-01-31\"",
            "\"2026-13-31T12:00:00Z\"",
            "\"2026-01-31T12:00:00\"",
            "\"2026-01-31T12:00:00.Z\"",
            "\"2026-01-31T12:00:00+0100\"",
            "\"+026-01-31T12:00:00Z\"",
            "\"1969-12-31T23:00:00Z\"",
            &format!("[{}]", "1,".repeat(1 << 16)),
            "99999999999999999999",
        ];
        for json in bad {
            assert!(source_time(json).is_err(), "{json}");
        }
    }
}
