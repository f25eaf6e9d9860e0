//! What becomes of a child that ended. No clock and no process inside.

use std::{collections::VecDeque, fmt, time::Duration};

use crate::error::ErrorKind;

/// Waits before a restart, one after the other.
const DELAYS_MS: [u64; 7] = [0, 200, 500, 1000, 2000, 5000, 10_000];
/// Commits over so long a time make everything before forgotten.
const HEALTHY: Duration = Duration::from_secs(60);
/// Deaths after which the next child is careful.
const CAREFUL_AFTER: u32 = 3;
/// So many generations without a commit, within so long a time, are enough.
const BARREN_MAX: usize = 5;
const BARREN_WITHIN: Duration = Duration::from_secs(300);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started.
    NotStarted,
}

/// Signals that a process brings upon itself; every other one comes from outside.
const OWN_SIGNALS: [(i32, &str); 7] = [
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (11, "SIGSEGV"),
    (31, "SIGSYS"),
];
/// A second signal asked the child to end at once.
pub(super) const STOPPED_AT_ONCE: i32 = 130;

impl End {
    /// The exit code of the parent that ends with it.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::NotStarted => i32::from(ErrorKind::Unavailable.exit_code()),
        }
    }

    /// The table of exit codes of laws.md.
    fn is_restarted(self) -> bool {
        let never = [0, 1, STOPPED_AT_ONCE].map(Self::Code);
        let by_kind = [
            ErrorKind::Usage,
            ErrorKind::Halted,
            ErrorKind::Unavailable,
            ErrorKind::Misconfigured,
            ErrorKind::StateRefused,
        ];
        !never.contains(&self)
            && by_kind.iter().all(|kind| self != Self::Code(i32::from(kind.exit_code())))
    }

    /// A signal that somebody else sent (law F4).
    fn is_from_outside(self) -> bool {
        matches!(self, Self::Signal(number) if OWN_SIGNALS.iter().all(|(own, _)| *own != number))
    }

    /// Whether a twin's code may be behind it.
    fn may_be_a_twin(self) -> bool {
        let disk = Self::Code(i32::from(ErrorKind::Disk.exit_code()));
        !self.is_from_outside() && self != disk && self != Self::NotStarted
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match OWN_SIGNALS.iter().find(|(own, _)| own == number) {
                Some((_, name)) => write!(f, "signal {number}, {name}"),
                None => write!(f, "signal {number}, from outside"),
            },
            Self::NotStarted => f.write_str("it could not be started"),
        }
    }
}

/// One run of the child, with times since the parent's start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Generation {
    /// How it was started.
    pub(super) start: Start,
    /// When it said first and last that it had committed something.
    pub(super) commits: Option<(Duration, Duration)>,
    /// It said that another generation has taken over, or the like: no restart helps.
    pub(super) is_final: bool,
}

/// How a child is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// One message per link and epoch, and a note before each call.
    pub(super) careful: bool,
    /// What the note names is behind the death of the child before.
    pub(super) suspect: bool,
}

impl Generation {
    /// Its child said that it had committed something.
    pub(super) fn committed(&mut self, now: Duration) {
        let first = self.commits.map_or(now, |(first, _)| first);
        self.commits = Some((first, now));
    }

    fn is_healthy(&self) -> bool {
        self.commits.is_some_and(|(first, last)| last.saturating_sub(first) >= HEALTHY)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another child.
    Restart { after: Duration, start: Start },
    /// The parent ends with the child's code.
    Stop,
    /// The same, and a person has to look.
    GiveUp,
}

/// The deaths that are remembered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Position in the delays.
    deaths: usize,
    /// Deaths that a twin may be behind.
    counted: u32,
    /// When generations ended that had committed nothing.
    barren: VecDeque<Duration>,
}

impl History {
    /// A child ended.
    pub(super) fn ended(&mut self, generation: &Generation, end: End, now: Duration) -> Next {
        if !end.is_restarted() || generation.is_final {
            return Next::Stop;
        }
        if generation.is_healthy() {
            *self = Self::default();
        }
        let twin = end.may_be_a_twin();
        self.counted += u32::from(twin);
        if generation.commits.is_some() {
            self.barren.clear();
        } else if twin {
            self.barren.push_back(now);
        }
        self.barren.retain(|at| now.saturating_sub(*at) <= BARREN_WITHIN);
        if self.barren.len() >= BARREN_MAX {
            return Next::GiveUp;
        }
        let after = DELAYS_MS[self.deaths.min(DELAYS_MS.len() - 1)];
        self.deaths += 1;
        if end.is_from_outside() && generation.commits.is_some() {
            // Waiting longer each time is for what goes wrong by itself.
            self.deaths = 1;
        }
        let start = Start {
            careful: self.counted >= CAREFUL_AFTER,
            suspect: generation.start.careful && twin,
        };
        Next::Restart { after: Duration::from_millis(after), start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABORT: End = End::Signal(6);
    const KILL: End = End::Signal(9);

    fn barren(start: Start) -> Generation {
        Generation { start, ..Generation::default() }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn worked(from: u64, to: u64) -> Generation {
        Generation { commits: Some((secs(from), secs(to))), ..Generation::default() }
    }

    fn restart(next: Next) -> (u64, Start) {
        match next {
            Next::Restart { after, start } => (after.as_millis() as u64, start),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_of_exit_codes_is_kept() {
        for code in [0, 1, 64, 65, 69, 78, STOPPED_AT_ONCE] {
            let next = History::default().ended(&Generation::default(), End::Code(code), secs(1));
            assert_eq!(next, Next::Stop, "{code}");
        }
        for end in [End::Code(70), End::Code(74), End::Code(101), ABORT, KILL, End::NotStarted] {
            restart(History::default().ended(&Generation::default(), end, secs(1)));
        }
        let fenced = Generation { is_final: true, ..Generation::default() };
        assert_eq!(History::default().ended(&fenced, End::Code(70), secs(1)), Next::Stop);
    }

    #[test]
    fn law_f4_after_three_deaths_careful_then_the_note_counts_and_five_are_enough() {
        let (mut history, mut start) = (History::default(), Start::default());
        let mut seen = Vec::new();
        for nth in 0..4 {
            let (after, next) = restart(history.ended(&barren(start), ABORT, secs(nth)));
            seen.push((after, next.careful, next.suspect));
            start = next;
        }
        assert_eq!(
            seen,
            [(0, false, false), (200, false, false), (500, true, false), (1000, true, true)]
        );
        assert_eq!(history.ended(&barren(start), ABORT, secs(5)), Next::GiveUp);
    }

    #[test]
    fn what_commits_is_never_given_up_and_stays_careful_until_it_is_healthy() {
        let mut history = History::default();
        for nth in 0..20 {
            let generation = worked(nth * 10, nth * 10 + 9);
            let (after, start) = restart(history.ended(&generation, End::Code(70), secs(nth * 10)));
            assert_eq!(start.careful, nth >= 2, "{nth}");
            assert!(nth < 6 || after == 10_000);
        }
        let (after, start) = restart(history.ended(&worked(300, 360), End::Code(70), secs(400)));
        assert_eq!((after, start), (0, Start::default()));
    }

    #[test]
    fn law_f4_deaths_from_outside_do_not_count() {
        let mut history = History::default();
        for nth in 0..50 {
            let (after, start) = restart(history.ended(&worked(nth, nth), KILL, secs(nth)));
            assert_eq!((start, after <= 200), (Start::default(), true), "{nth}");
        }
        for nth in 50..100 {
            let (after, start) = restart(history.ended(&barren(start_of(nth)), KILL, secs(nth)));
            assert!(!start.careful && !start.suspect && after <= 10_000);
        }
    }

    fn start_of(nth: u64) -> Start {
        Start { careful: nth.is_multiple_of(2), suspect: false }
    }

    #[test]
    fn a_disk_is_tried_for_ever_and_no_twin_is_suspected() {
        let mut history = History::default();
        for nth in 0..20 {
            let (_, start) = restart(history.ended(&barren(start_of(nth)), End::Code(74), secs(1)));
            assert_eq!(start, Start::default());
        }
    }

    #[test]
    fn rare_deaths_without_a_commit_are_no_reason_to_give_up() {
        let mut history = History::default();
        for nth in 0..20 {
            restart(history.ended(&Generation::default(), ABORT, secs(nth * 100)));
        }
    }
}
