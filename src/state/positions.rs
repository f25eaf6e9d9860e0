//! Moves stored source positions (law D3): nothing else does.

use std::path::Path;

use serde::Serialize;
use twinflow_operators::{recover::put_position_set, store::EpochPart};

use super::{change::Changing, remove::connection_number};
use crate::error::{Error, ErrorKind, Result};

/// Which partitions are moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    /// All topics if none is named.
    pub(crate) topic: Option<String>,
    /// All partitions if none is named.
    pub(crate) partition: Option<i32>,
}

/// Where to.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// This position in the one partition that is named, or that there is.
    Offset(u64),
    /// A position for each of these partitions, as their upstream says.
    Each(Vec<(String, i32, u64)>),
}

/// A position that is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// What was stored; `None`: nothing.
    pub(crate) from: Option<u64>,
    pub(crate) to: u64,
}

impl Which {
    fn has(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_deref().is_none_or(|wanted| wanted == topic)
            && self.partition.is_none_or(|wanted| wanted == partition)
    }
}

/// Moves positions of a connection, all of them in one epoch, whose number it says.
///
/// # Errors
///
/// The directory cannot be used, nothing is stored of the connection, or it is not clear which
/// partition is meant.
pub(crate) fn reset(
    dir: &Path,
    segment_bytes: u64,
    connection: &str,
    which: &Which,
    goal: Goal,
) -> Result<(Vec<Moved>, u64)> {
    let changing = Changing::open(dir, segment_bytes)?;
    let number = connection_number(&changing.recovered, connection)?;
    let stored: Vec<_> = changing.recovered.positions(number).collect();
    let wanted = match goal {
        Goal::Offset(to) => vec![one(&stored, which, to)?],
        Goal::Each(all) => {
            all.into_iter().filter(|(topic, partition, _)| which.has(topic, *partition)).collect()
        }
    };
    if wanted.is_empty() {
        let what = match stored.is_empty() {
            true => format!("connection \"{connection}\" keeps no positions to move"),
            false => format!("connection \"{connection}\" has no such partition"),
        };
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let mut part = EpochPart::default();
    let moved: Vec<_> = wanted
        .into_iter()
        .map(|(topic, partition, to)| {
            put_position_set(&mut part, number, (&topic, partition), Some(to));
            let known = stored.iter().find(|it| it.topic == topic && it.partition == partition);
            Moved { topic, partition, from: known.map(|it| it.next), to }
        })
        .collect();
    Ok((moved, changing.commit(part)?))
}

/// The one partition that an offset is for.
fn one(
    stored: &[twinflow_connectors::link::Position],
    which: &Which,
    to: u64,
) -> Result<(String, i32, u64)> {
    if let (Some(topic), Some(partition)) = (&which.topic, which.partition) {
        return Ok((topic.clone(), partition, to));
    }
    let mut fits = stored.iter().filter(|it| which.has(&it.topic, it.partition));
    match (fits.next(), fits.next()) {
        (Some(only), None) => Ok((only.topic.clone(), only.partition, to)),
        _ => {
            let what = "an offset is for one partition: name it with --topic and --partition";
            Err(Error::new(ErrorKind::Usage, what))
        }
    }
}
