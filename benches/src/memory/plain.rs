//! The same twins in a plain table, the limit's: what they cost without an engine.
//!
//! Estimate: 80 bytes of key and state in a table that is between 7/16 and 7/8 full, 90-180 bytes a
//! twin. Making it twice as large moves all of it: 0.3 s at four million.

use std::collections::HashMap;
use std::time::Duration;

use crate::limit::FoldHash;
use crate::record::{Format, Records};
use crate::{Result, clock, meter, w1};

/// What a plain table costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) bytes_a_twin: f64,
    pub(super) longest_insert: Duration,
}

/// Fills a table and lets it go.
pub(super) fn table(twins: u64) -> Result<Plain> {
    let before = meter::rss_bytes()?;
    let mut table: HashMap<[u8; 12], w1::State, FoldHash> = HashMap::default();
    let (mut longest_insert, mut last) = (Duration::ZERO, clock::now());
    for twin in 0..twins {
        let id = Records::id(twin);
        table.insert(id, w1::State::default());
        let now = clock::now();
        longest_insert = longest_insert.max(now - last);
        last = now;
    }
    let held = meter::rss_bytes()?.saturating_sub(before);
    assert_eq!(table.len() as u64, twins, "{:?} ids differ", Format::Json);
    Ok(Plain { bytes_a_twin: held as f64 / twins as f64, longest_insert })
}
