//! A process that stands still before some step, and goes on when others have gone far.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Called when a process comes to a step.
type Called = Arc<dyn Fn() + Send + Sync>;

/// One process, as far as its disk sees it.
#[derive(Default)]
pub struct Process {
    state: Mutex<State>,
    goes_on: Condvar,
}

#[derive(Default)]
struct State {
    steps: u64,
    /// It stands still before this step.
    pauses_before: Option<u64>,
    paused: bool,
    on_pause: Option<Called>,
    /// Before this step something is called, once.
    at: Option<(u64, Called)>,
    ended: bool,
}

impl Process {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It stands still before the step behind so many, and `on_pause` is called then.
    pub fn pause_after(&self, steps: u64, on_pause: Arc<dyn Fn() + Send + Sync>) {
        let mut state = self.state();
        state.pauses_before = Some(state.steps + steps);
        state.on_pause = Some(on_pause);
    }

    /// Something is called when it comes to the step behind so many.
    pub fn call_after(&self, steps: u64, called: Arc<dyn Fn() + Send + Sync>) {
        let mut state = self.state();
        state.at = Some((state.steps + steps, called));
    }

    /// How many steps it has come to.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// It goes on, or never stands still.
    pub fn go_on(&self) {
        let mut state = self.state();
        (state.paused, state.pauses_before) = (false, None);
        self.goes_on.notify_all();
    }

    /// None of its steps is done any more.
    pub fn end(&self) {
        self.state().ended = true;
        self.go_on();
    }

    /// It comes to a step.
    pub(super) fn pass(&self) -> io::Result<()> {
        let mut state = self.state();
        let step = state.steps;
        state.steps += 1;
        if let Some((_, called)) = state.at.take_if(|(at, _)| *at <= step) {
            drop(state);
            called();
            state = self.state();
        }
        if state.pauses_before.is_some_and(|before| before <= step) && !state.paused {
            state.paused = true;
            if let Some(called) = state.on_pause.take() {
                drop(state);
                called();
                state = self.state();
            }
        }
        while state.paused {
            state = self.goes_on.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.ended {
            true => Err(io::Error::other("the process has ended")),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("is_paused", &self.is_paused()).finish_non_exhaustive()
    }
}
