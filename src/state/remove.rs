//! Takes what is stored of a model or a connection away (law D8).

use std::path::Path;

use twinflow_operators::{
    recover::{CONNECTIONS, Recovered, Removed},
    store::EpochPart,
};

use super::{
    change::Changing,
    export::{model_number, none_such},
};
use crate::error::Result;

/// Of what everything goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'s> {
    Model(&'s str),
    Connection(&'s str),
}

/// A removal that was looked at and not made.
pub(crate) struct Removal {
    changing: Changing,
    part: EpochPart,
    /// What goes.
    pub(crate) removed: Removed,
}

impl Removal {
    /// Takes a directory and finds what would go.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or nothing is stored under this name.
    pub(crate) fn find(dir: &Path, segment_bytes: u64, subject: Subject<'_>) -> Result<Self> {
        let changing = Changing::open(dir, segment_bytes)?;
        let mut part = EpochPart::default();
        let removed = match subject {
            Subject::Model(name) => {
                let number = model_number(&changing.recovered, name)?;
                changing.recovered.put_model_gone(number, &mut part)
            }
            Subject::Connection(name) => {
                let number = connection_number(&changing.recovered, name)?;
                changing.recovered.put_connection_gone(number, &mut part)
            }
        };
        Ok(Self { changing, part, removed })
    }

    /// Whether nothing goes.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed == Removed::default()
    }

    /// Makes it: all of it in one epoch, whose number it says.
    ///
    /// # Errors
    ///
    /// The disk's; then nothing has gone.
    pub(crate) fn commit(self) -> Result<u64> {
        self.changing.commit(self.part)
    }
}

/// The number of a connection; who asks for another one is told which there are.
pub(super) fn connection_number(recovered: &Recovered, name: &str) -> Result<u16> {
    let number = recovered.number(CONNECTIONS, name);
    number.ok_or_else(|| none_such("connection", name, recovered.connections()))
}
