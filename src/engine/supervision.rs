//! What an engine under a supervisor is told at its start, and what it tells (law F4).

use std::{fmt, sync::Arc};

/// What an engine tells its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "local-log"), expect(dead_code, reason = "a log can be fenced"))]
pub(crate) enum Report {
    /// Something was committed.
    Committed,
    /// No restart helps.
    Final,
}

/// Under which conditions an engine starts; without a supervisor under none.
#[derive(Clone)]
pub(crate) struct Supervision {
    /// One message per link and epoch, and a note of each twin before it is worked off.
    pub(crate) careful: bool,
    /// How the process before ended, if the twin that it noted is behind that.
    pub(crate) suspect: Option<String>,
    /// Where reports go.
    pub(crate) tell: Arc<dyn Fn(Report) + Send + Sync>,
}

impl Default for Supervision {
    fn default() -> Self {
        Self { careful: false, suspect: None, tell: Arc::new(|_| {}) }
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision").field("careful", &self.careful).finish_non_exhaustive()
    }
}
