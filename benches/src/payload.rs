//! What a record holds: JSON of exactly 100 or 500 bytes, or as many opaque bytes.
//!
//! Estimate: formatting 100 bytes of JSON takes 0.3 us, 500 bytes with 15 decimals 1.5 us, so that
//! a data set of two million records is made in a second or two. No run counts this time.

use std::io::Write;

use crate::draw::{Draws, below};

/// The `ts` of record nought, in milliseconds since 1970; each record is one later.
const FIRST_TS: u64 = 1_700_000_000_000;
/// Values run from 0.00 to 200.00.
const CENTI_VALUES: u64 = 20_001;
const UNITS: [&str; 4] = ["C", "K", "V", "A"];
const STATUSES: [&str; 4] = ["ok", "ok", "ok", "hot"];
const FILLER: &[u8] = b"the quick brown fox jumps over the lazy dog ";

/// The payload sizes of the data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 100 bytes.
    Small,
    /// 500 bytes.
    Large,
}

impl Size {
    /// The size that has `bytes` bytes.
    pub fn of(bytes: usize) -> Option<Self> {
        match bytes {
            100 => Some(Self::Small),
            500 => Some(Self::Large),
            _ => None,
        }
    }

    /// How many bytes a payload has.
    pub fn bytes(self) -> usize {
        match self {
            Self::Small => 100,
            Self::Large => 500,
        }
    }
}

/// Appends the JSON of record `seq`; `draw` decides its value and what else is random in it.
pub fn write_json(out: &mut Vec<u8>, seq: u64, draw: u64, size: Size) {
    let start = out.len();
    let more = Draws::new(draw);
    let centi = below(more.at(0), CENTI_VALUES);
    let unit = UNITS[index(more.at(1), UNITS.len())];
    let status = STATUSES[index(more.at(2), STATUSES.len())];
    put(
        out,
        format_args!(
            r#"{{"ts":{},"seq":{seq},"value":{}.{:02},"unit":"{unit}","status":"{status}""#,
            FIRST_TS + seq,
            centi / 100,
            centi % 100,
        ),
    );
    if size == Size::Large {
        write_large_fields(out, more);
    }
    out.extend_from_slice(br#","src":""#);
    let end = start + size.bytes() - 2;
    let shift = index(more.at(3), FILLER.len());
    let text = FILLER.iter().cycle().skip(shift);
    let room = end.checked_sub(out.len()).expect("the fields fit the smallest payload");
    out.extend(text.take(room));
    out.extend_from_slice(br#""}"#);
}

/// Appends what only payloads of 500 bytes have: `loc`, `tags` and `aux`.
fn write_large_fields(out: &mut Vec<u8>, more: Draws) {
    put(
        out,
        format_args!(
            r#","loc":{{"lat":{}.{:06},"lon":{}.{:06},"alt":{}.{}}}"#,
            below(more.at(4), 90),
            below(more.at(5), 1_000_000),
            below(more.at(6), 180),
            below(more.at(7), 1_000_000),
            below(more.at(8), 3_000),
            below(more.at(9), 10),
        ),
    );
    put(
        out,
        format_args!(
            r#","tags":{{"site":"site-{:03}","line":"line-{:02}","model":"mk-{:04}"}},"aux":["#,
            below(more.at(10), 1_000),
            below(more.at(11), 100),
            below(more.at(12), 10_000),
        ),
    );
    for aux in 0..12 {
        let comma = if aux == 0 { "" } else { "," };
        let draw = more.at(13 + aux);
        let (whole, part) = (below(draw, 10_000), draw % 1_000_000);
        put(out, format_args!("{comma}{whole}.{part:06}"));
    }
    out.push(b']');
}

/// Appends opaque bytes that `draw` decides.
pub fn write_opaque(out: &mut Vec<u8>, draw: u64, size: Size) {
    let end = out.len() + size.bytes();
    let more = Draws::new(draw);
    let mut i = 0;
    while out.len() < end {
        let word = more.at(i).to_le_bytes();
        out.extend_from_slice(&word[..word.len().min(end - out.len())]);
        i += 1;
    }
}

/// `draw` as an index into `len` choices.
fn index(draw: u64, len: usize) -> usize {
    usize::try_from(below(draw, len as u64)).expect("below a length that is a usize")
}

/// Appends formatted text.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(seq: u64, size: Size) -> String {
        let mut out = Vec::new();
        write_json(&mut out, seq, Draws::new(42).at(seq), size);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_small_payload_is_fixed() {
        let expected = concat!(
            r#"{"ts":1700000000000,"seq":0,"value":68.66,"unit":"A","status":"ok","#,
            r#""src":"e quick brown fox jumps "}"#
        );
        assert_eq!(json(0, Size::Small), expected);
    }

    #[test]
    fn every_payload_has_its_size_and_is_json() {
        for size in [Size::Small, Size::Large] {
            for seq in (0..2000).chain([1_999_999, 99_999_999]) {
                let text = json(seq, size);
                assert_eq!(text.len(), size.bytes());
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["seq"], seq);
                assert_eq!(value["ts"], FIRST_TS + seq);
                assert!((0.0..=200.0).contains(&value["value"].as_f64().unwrap()));
                if size == Size::Large {
                    assert_eq!(value["aux"].as_array().unwrap().len(), 12);
                    assert_eq!(value["tags"].as_object().unwrap().len(), 3);
                    assert_eq!(value["loc"].as_object().unwrap().len(), 3);
                }
            }
        }
    }

    #[test]
    fn opaque_payloads_have_their_size_and_are_fixed() {
        for size in [Size::Small, Size::Large] {
            let mut out = Vec::new();
            write_opaque(&mut out, 42, size);
            assert_eq!(out.len(), size.bytes());
            assert_eq!(out[..8], Draws::new(42).at(0).to_le_bytes());
        }
    }
}
