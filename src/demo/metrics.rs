//! What the live table takes from `/metrics`: how the engine works, never what was delivered.

use tokio::time::Instant;

use super::client::Client;

/// Counters of the engine since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counters {
    pub(super) twins: f64,
    calls: f64,
    applied: f64,
    epochs: f64,
}

/// How the engine worked between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    pub(super) twins: f64,
    pub(super) messages_per_call: f64,
    pub(super) epochs_per_second: f64,
}

impl Counters {
    fn read(text: &str) -> Self {
        let sum = |name: &str| {
            let of = |line: &str| {
                let rest = line.strip_prefix(name)?;
                let value = rest.strip_prefix(' ').or_else(|| rest.split_once("} ")?.1.into())?;
                value.trim().parse::<f64>().ok()
            };
            text.lines().filter_map(of).sum()
        };
        Self {
            twins: sum("twinflow_twins"),
            calls: sum("twinflow_twin_calls_total"),
            applied: sum("twinflow_messages_applied_total"),
            epochs: sum("twinflow_epochs_total"),
        }
    }
}

/// Looks at the engine again and again.
#[derive(Debug)]
pub(super) struct Metrics {
    client: Client,
    last: Option<(Instant, Counters)>,
}

impl Metrics {
    pub(super) fn new(client: Client) -> Self {
        Self { client, last: None }
    }

    /// What the engine did since the last look; `None` while it is away and right after a start.
    pub(super) async fn look(&mut self) -> Option<Work> {
        let before = self.last.take();
        let response = self.client.get("/metrics").await.ok()?;
        if !response.status.is_success() {
            return None;
        }
        let now = (Instant::now(), Counters::read(&String::from_utf8_lossy(&response.body)));
        self.last = Some(now);
        work(before?, now)
    }
}

fn work(before: (Instant, Counters), now: (Instant, Counters)) -> Option<Work> {
    let seconds = (now.0 - before.0).as_secs_f64();
    let (old, new) = (before.1, now.1);
    // Counters start anew with the process.
    if seconds <= 0.0 || new.epochs < old.epochs || new.applied < old.applied {
        return None;
    }
    let calls = new.calls - old.calls;
    let applied = new.applied - old.applied;
    Some(Work {
        twins: new.twins,
        messages_per_call: if calls > 0.0 { applied / calls } else { 0.0 },
        epochs_per_second: (new.epochs - old.epochs) / seconds,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEXT: &str = "# TYPE twinflow_epochs counter\ntwinflow_epochs_total 40\n\
        twinflow_epochs_unprocessed 2\n\
        twinflow_twins{model=\"turbines\"} 5\ntwinflow_twins{model=\"gas-sensors\"} 6\n\
        twinflow_twin_calls_total{model=\"turbines\"} 50\n\
        twinflow_messages_applied_total{model=\"turbines\"} 100\n# EOF\n";

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let expected = Counters { twins: 11.0, calls: 50.0, applied: 100.0, epochs: 40.0 };
        assert_eq!(Counters::read(TEXT), expected);
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let done = work((start, Counters::default()), (later, expected)).unwrap();
        assert_eq!((done.messages_per_call, done.epochs_per_second), (2.0, 20.0));
        assert_eq!(work((start, expected), (later, Counters::default())), None);
    }
}
