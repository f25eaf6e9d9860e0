//! From the first message to the summary.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{
    At,
    check::{Moment, check},
    client::Client,
    fleet::Fleet,
    metrics::Metrics,
    options::DemoOptions,
    record::Totals,
    report::Outcome,
    samples::Samples,
    screen::{Screen, Second},
    supervise::{Shown, Supervised},
};
use crate::error::{Error, ErrorKind, Result};

/// How long the comparison at the end waits for an engine that was killed last.
const CHECK_PATIENCE: Duration = Duration::from_secs(30);

/// One demonstration on a running engine.
pub(super) struct Show<'o> {
    options: &'o DemoOptions,
    at: At,
    screen: Screen,
}

/// Why the devices stop.
enum End {
    Time,
    Asked,
}

impl<'o> Show<'o> {
    pub(super) fn new(options: &'o DemoOptions, at: At) -> Self {
        Self { options, at, screen: Screen::new(options.output) }
    }

    /// Runs the fleet for its time, or until somebody asks for the end; drains, compares, prints.
    pub(super) async fn run(mut self, mut engine: Option<&mut Supervised>) -> Result<Outcome> {
        self.screen.say(&self.greeting());
        #[cfg(feature = "demo-broker")]
        super::mqtt::engine_listens(self.at.address).await?;
        let DemoOptions { devices, rate, .. } = *self.options;
        let (start, shown) = (Instant::now(), Shown::default());
        let mut fleet = Fleet::launch(self.at, devices as usize, rate);
        let records = fleet.records.clone();
        let ended = match engine.as_deref_mut() {
            None => self.watch(&fleet, start, None).await,
            Some(engine) => tokio::select! {
                ended = self.watch(&fleet, start, Some(&shown)) => ended,
                wrong = engine.kill_again_and_again(&shown, &records) => Err(wrong.err()
                    .unwrap_or_else(|| Error::new(ErrorKind::Broken, "the kills ended"))),
            },
        };
        let seconds = start.elapsed().as_secs_f64();
        let ended = ended?;
        self.screen.say(&draining(&ended));
        if let Some(engine) = engine {
            // It may have been killed just now.
            engine.ready().await?;
        }
        fleet.stop().await;
        let outcome = self.outcome(&fleet, seconds, shown.now().kills).await?;
        self.screen.say(&outcome.text());
        self.screen.object(&outcome.json());
        Ok(outcome)
    }

    async fn outcome(&self, fleet: &Fleet, seconds: f64, kills: u64) -> Result<Outcome> {
        #[cfg(feature = "demo-broker")]
        fleet.confirm_dead_letters(self.at.address, CHECK_PATIENCE).await?;
        let checked = check(self.at.address, &fleet.records, Moment::Drained, CHECK_PATIENCE).await;
        let checked = checked.map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "could not read the twins").because(cause)
        })?;
        let totals = Totals::of(fleet.records.iter().map(|record| &**record));
        let (times, refused) = (fleet.latencies().all(), fleet.refused());
        Ok(Outcome { totals, checked, times, kills, seconds, refused })
    }

    /// Shows the table every second until the end.
    async fn watch(&mut self, fleet: &Fleet, start: Instant, shown: Option<&Shown>) -> Result<End> {
        let mut metrics = Metrics::new(Client::new(self.at.address));
        // The first look has nothing to compare with.
        metrics.look().await;
        let mut tick = tokio::time::interval_at(start, Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        tick.tick().await;
        let limit = Duration::from_secs(self.options.seconds);
        let mut asked = Box::pin(crate::signals::stop_asked());
        let mut last = (start, 0);
        let mut samples = Samples::new(&fleet.records);
        loop {
            tokio::select! {
                asked = &mut asked => return asked.map(|()| End::Asked),
                () = tokio::time::sleep_until(start + limit), if !limit.is_zero() => {
                    return Ok(End::Time);
                }
                _ = tick.tick() => {}
            }
            let totals = Totals::of(fleet.records.iter().map(|record| &**record));
            let (now, acknowledged) = (Instant::now(), totals.acknowledged);
            let fresh = acknowledged.saturating_sub(last.1) as f64;
            let second = Second {
                elapsed: (now - start).as_secs_f64(),
                messages_per_second: fresh / (now - last.0).as_secs_f64().max(0.001),
                totals,
                times: fleet.latencies().recent(),
                work: metrics.look().await,
                killed: shown.map(Shown::now),
                samples: samples.now(),
            };
            last = (now, acknowledged);
            if !self.screen.show(&second) {
                return Ok(End::Asked);
            }
        }
    }

    fn greeting(&self) -> String {
        let DemoOptions { devices, rate, kill, seconds, .. } = *self.options;
        let rate = match rate {
            0 => "as many messages as it takes".to_owned(),
            rate => format!("{rate} messages/s"),
        };
        let engine = if kill { "killed with SIGKILL every 5 s" } else { "in this process" };
        let end = match seconds {
            0 => "Ctrl-C ends it".to_owned(),
            seconds => format!("for {seconds} s"),
        };
        let (turbines, sensors) = (devices.div_ceil(2), devices / 2);
        let at = format!("http://{}", self.at.address);
        let (by, broker) = match self.at.broker {
            None => ("by HTTP", String::new()),
            Some(broker) => ("half by HTTP, half over MQTT", greeting_of(broker)),
        };
        format!(
            "twinflow demo: {turbines} turbines, {sensors} gas sensors, {rate} {by}, {end}\n\
             engine: {at}, {engine}\n{broker}\n  \
             curl {at}/v1/twins/turbines?limit=5\n  \
             curl {at}/v1/twins/turbines/turbine-0000\n  \
             curl -N {at}/v1/twins/turbines/turbine-0000/calls\n  \
             curl {at}/metrics\n\n"
        )
    }
}

fn greeting_of(broker: SocketAddr) -> String {
    format!(
        "broker: mqtt://{broker}, MQTT 5, in this process; it acknowledges for the engine, so the \
         devices behind it are compared at the end\n"
    )
}

fn draining(end: &End) -> String {
    let why = match end {
        End::Time => "time is up",
        End::Asked => "asked to end",
    };
    format!("\n{why}: the last messages are answered, then every log is compared with its twin\n\n")
}
