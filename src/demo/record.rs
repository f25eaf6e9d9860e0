//! What is known of a device outside its task: its log, and what there is to see.

use std::sync::{Mutex, MutexGuard};

use super::numbers::Numbers;

/// The commands that twins send; the last stands for any other.
pub(super) const COMMANDS: [&str; 5] = ["brake", "alarm", "shutdown", "clear", "other"];

/// How a device talks to its twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The engine itself answers each message, with what became of it.
    Http,
    /// A broker takes each message and says no more than that.
    Mqtt,
}

/// A device's own log of its messages, numbered from 1 in the order of sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// The number of the last message that was sent.
    pub(super) sent: u64,
    /// Messages that were answered with 200; over MQTT those that the broker took and that are not
    /// spoiled.
    pub(super) applied: Numbers,
    /// Messages that were answered with the number of their dead letter; over MQTT those whose dead
    /// letter the engine showed.
    pub(super) dead_letters: Numbers,
    /// Over MQTT: messages that the broker took and that have to become dead letters.
    pub(super) spoiled: Numbers,
    /// Commands received, by place in [`COMMANDS`].
    pub(super) commands: [u64; COMMANDS.len()],
}

impl Log {
    /// How many messages were answered for good.
    pub(super) fn acknowledged(&self) -> u64 {
        self.applied.len() + self.dead_letters.len() + self.unconfirmed()
    }

    /// Spoiled messages whose dead letter nobody has seen.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.spoiled.missing_in(&self.dead_letters)
    }

    pub(super) fn received(&mut self, command: &str) {
        let other = COMMANDS.len() - 1;
        let place = COMMANDS.iter().position(|known| *known == command).unwrap_or(other);
        self.commands[place] += 1;
    }
}

/// What a device would show on its own display.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Display {
    /// Degrees Celsius or parts per million.
    pub(super) value: f64,
    /// What it is doing, if that is unusual.
    pub(super) doing: &'static str,
}

/// What a sensor does while gas leaks.
pub(super) const LEAK: &str = "leak";

impl Display {
    pub(super) fn is_leak(&self) -> bool {
        self.doing == LEAK
    }
}

/// A device as others see it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) model: &'static str,
    pub(super) id: String,
    pub(super) way: Way,
    state: Mutex<(Log, Display)>,
}

impl Record {
    pub(super) fn new(model: &'static str, id: String, way: Way) -> Self {
        Self { model, id, way, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, (Log, Display)> {
        self.state.lock().expect("never left half changed")
    }

    pub(super) fn log(&self) -> Log {
        self.state().0.clone()
    }

    pub(super) fn display(&self) -> Display {
        self.state().1
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.state().0);
    }

    pub(super) fn show(&self, display: Display) {
        self.state().1 = display;
    }
}

/// The logs of all devices, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) acknowledged: u64,
    /// How many of them by the broker.
    pub(super) by_broker: u64,
    pub(super) dead_letters: u64,
    pub(super) commands: [u64; COMMANDS.len()],
}

impl Totals {
    pub(super) fn of<'r>(records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut totals = Self::default();
        for record in records {
            let state = record.state();
            let acknowledged = state.0.acknowledged();
            totals.messages += state.0.sent;
            totals.acknowledged += acknowledged;
            if record.way == Way::Mqtt {
                totals.by_broker += acknowledged;
            }
            totals.dead_letters += state.0.dead_letters.len();
            for (total, count) in totals.commands.iter_mut().zip(state.0.commands) {
                *total += count;
            }
        }
        totals
    }

    pub(super) fn all_commands(&self) -> u64 {
        self.commands.iter().sum()
    }
}
