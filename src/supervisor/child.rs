//! The child's end: what it was given, and what it tells its parent.

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::hand_over::{Inherited, receive};
use crate::{
    engine::Report,
    error::{Error, ErrorKind, Result},
};

/// A report as its one byte.
fn byte(report: Report) -> u8 {
    match report {
        Report::Committed => b'c',
        Report::Final => b'f',
    }
}

/// The report of a byte.
pub(super) fn report_of(read: u8) -> Option<Report> {
    [Report::Committed, Report::Final].into_iter().find(|report| byte(*report) == read)
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
        let _lost = (&*self.parent).write(&[byte(report)]).is_err();
    }
}
