//! Named steps, run one after the other and timed.

use std::time::{Duration, Instant};

use crate::cargo::{self, Variable};
use crate::error::{Error, Result};

/// One thing that a verb does, under the name it has in the output.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
}

/// How a step is done.
pub(crate) enum Action {
    /// `cargo` with these arguments, and with these variables added to the environment.
    Cargo(&'static [&'static str], &'static [Variable<'static>]),
    /// A function of this crate.
    Function(fn() -> Result<()>),
}

impl Step {
    /// A step that calls cargo.
    pub(crate) const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self::cargo_with(name, arguments, &[])
    }

    /// A step that calls cargo with these variables in its environment.
    pub(crate) const fn cargo_with(
        name: &'static str,
        arguments: &'static [&'static str],
        environment: &'static [Variable<'static>],
    ) -> Self {
        Self { name, action: Action::Cargo(arguments, environment) }
    }

    /// A step that calls a function of this crate.
    pub(crate) const fn function(name: &'static str, function: fn() -> Result<()>) -> Self {
        Self { name, action: Action::Function(function) }
    }

    fn run(&self) -> Result<()> {
        match self.action {
            Action::Cargo(arguments, environment) => cargo::run(arguments, environment),
            Action::Function(function) => function(),
        }
    }
}

/// A step that is over, and how long it took.
struct Done {
    name: &'static str,
    time: Duration,
}

/// Runs the groups in order and prints a table of times at the end.
///
/// # Errors
///
/// The first step that fails ends the run; the error says which one it was.
pub(crate) fn run_all(groups: &[&[Step]]) -> Result<()> {
    let mut done = Vec::new();
    let outcome = groups.iter().copied().flatten().try_for_each(|step| {
        println!("==> {}", step.name);
        let start = now();
        let outcome = step.run();
        let time = start.elapsed();
        done.push(Done { name: step.name, time });
        let word = if outcome.is_ok() { "done" } else { "FAILED" };
        println!("<== {} {word} in {}", step.name, seconds(time));
        outcome.map_err(|error| Error::failed(format!("step '{}' failed: {error}", step.name)))
    });
    println!("\n{}", table(&done));
    outcome
}

#[expect(clippy::disallowed_methods, reason = "the time that a person waited")]
fn now() -> Instant {
    Instant::now()
}

fn table(done: &[Done]) -> String {
    let width = done.iter().map(|step| step.name.len()).max().unwrap_or(0).max("total".len());
    let row = |name: &str, time| format!("{name:<width$}  {:>9}\n", seconds(time));
    let mut table: String = done.iter().map(|step| row(step.name, step.time)).collect();
    table.push_str(&row("total", done.iter().map(|step| step.time).sum()));
    table
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Result<()> {
        Err(Error::failed("no such thing"))
    }

    fn must_not_run() -> Result<()> {
        panic!("a step ran after one that failed")
    }

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let first = [Step::function("good", || Ok(())), Step::function("bad", fails)];
        let second = [Step::function("later", must_not_run)];
        let error = run_all(&[&first, &second]).expect_err("a step failed");
        assert_eq!(error.to_string(), "step 'bad' failed: no such thing");
    }

    #[test]
    fn the_table_lines_up_and_adds_up() {
        let done = [
            Done { name: "format", time: Duration::from_millis(1_240) },
            Done { name: "a long name", time: Duration::from_secs(100) },
        ];
        let expected = "format           1.2 s\na long name    100.0 s\ntotal          101.2 s\n";
        assert_eq!(table(&done), expected);
    }
}
