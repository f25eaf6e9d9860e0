//! The child's end: what it was given, and what it tells its parent.

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::hand_over::{Inherited, receive};
use crate::error::{Error, ErrorKind, Result};

/// What a child tells its parent, as one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Something was committed.
    Committed,
    /// No restart helps.
    Final,
}

impl Report {
    fn byte(self) -> u8 {
        match self {
            Self::Committed => b'c',
            Self::Final => b'f',
        }
    }

    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        [Self::Committed, Self::Final].into_iter().find(|report| report.byte() == byte)
    }
}

/// A supervised process.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    parent: Arc<UnixStream>,
}

impl Child {
    /// Takes what the parent handed over; from here on this process ends with its parent.
    ///
    /// # Errors
    ///
    /// Nobody started this process as a child.
    pub(crate) fn take() -> Result<(Self, Inherited)> {
        let cannot = |cause: io::Error| {
            let what = "--supervised is for twinflow itself: it starts the engine so";
            Error::new(ErrorKind::Usage, what).because(cause)
        };
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| cannot(e.into()))?;
        let parent = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        let parent = parent.map_err(cannot)?;
        let inherited = receive(&parent).map_err(cannot)?;
        let given = &inherited.note;
        // A parent that ended before the signal was asked for sends none.
        let has_parent =
            getppid().is_some_and(|id| id.as_raw_nonzero().get() == given.parent as i32);
        if !has_parent {
            return Err(cannot(io::Error::other("the parent has gone")));
        }
        if given.version != env!("CARGO_PKG_VERSION") {
            let what = format!(
                "the program file is version {} by now and its supervisor {}; start it anew",
                env!("CARGO_PKG_VERSION"),
                given.version
            );
            return Err(Error::misconfigured(what));
        }
        parent.set_nonblocking(true).map_err(cannot)?;
        Ok((Self { parent: Arc::new(parent) }, inherited))
    }

    /// Tells the parent; one that reads nothing is not waited for.
    pub(crate) fn tell(&self, report: Report) {
        let _lost = (&*self.parent).write(&[report.byte()]).is_err();
    }
}
