//! The fleet: a bounded number of tasks, each with one connection and many devices. With a broker
//! the half of the devices has tasks of their own, in `mqtt/line.rs`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    At,
    answer::{self, Handled, Verdict},
    client::Client,
    device::{Device, ONE_DOUBLE_IN, Upload},
    latency::Latencies,
    record::{Record, Way},
};
#[cfg(feature = "demo-broker")]
use crate::error::{Error, ErrorKind, Result};

/// Tasks and connections of a fleet, if it has so many devices.
const LINES_MAX: usize = 32;
/// The first wait after a broken connection; doubled from then on.
const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// How long the last uploads may take once the fleet is told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// What all tasks of a fleet share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Time between two turns of a device; `None`: as fast as it goes.
    pub(super) period: Option<Duration>,
    latencies: Latencies,
    /// Answers that no device should ever get: how many, and the first.
    refused: Mutex<(u64, Option<String>)>,
}

/// All devices, running.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) records: Vec<Arc<Record>>,
    shared: Arc<Shared>,
    /// Set once, to the time at which the last uploads are given up.
    stop: watch::Sender<Option<Instant>>,
    lines: JoinSet<()>,
}

impl Fleet {
    /// Starts `devices` devices that together send `rate` messages a second; 0: no limit. With a
    /// broker half of them know only that.
    pub(super) fn launch(at: At, devices: usize, rate: u64) -> Self {
        let turns = devices as f64 * (1.0 + 1.0 / ONE_DOUBLE_IN as f64);
        let period = (rate > 0).then(|| Duration::from_secs_f64(turns / rate as f64));
        let refused = Mutex::default();
        let latencies = Latencies::default();
        let shared = Arc::new(Shared { period, latencies, refused });
        let (stop, stopped) = watch::channel(None);
        let start = Instant::now();
        let all = (0..devices).map(|place| {
            let offset = period.unwrap_or_default().mul_f64(place as f64 / devices as f64);
            Device::new(place, way(place, at.broker.is_some()), start + offset)
        });
        let all: Vec<_> = all.collect();
        let records = all.iter().map(|device| Arc::clone(&device.record)).collect();
        let (by_http, over_mqtt): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|device| device.record.way == Way::Http);
        let mut tasks = JoinSet::new();
        for devices in deal(by_http, LINES_MAX) {
            let client = Client::new(at.address);
            let line = Line { client, shared: Arc::clone(&shared), stopped: stopped.clone() };
            tasks.spawn(line.serve(devices));
        }
        #[cfg(feature = "demo-broker")]
        if let Some(broker) = at.broker {
            super::mqtt::spawn_lines(&mut tasks, over_mqtt, broker, at.address, &shared, &stopped);
        }
        #[cfg(not(feature = "demo-broker"))]
        assert!(over_mqtt.is_empty(), "a build without a broker has no address of one");
        Self { records, shared, stop, lines: tasks }
    }

    /// The devices send nothing new; returns when everything under way was answered.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(Some(Instant::now() + DRAIN_LIMIT));
        while let Some(ended) = self.lines.join_next().await {
            if let Err(error) = ended {
                self.shared.refuse(format!("a device's task ended: {error}"));
            }
        }
    }

    /// Looks for the dead letters of messages that no broker told of.
    #[cfg(feature = "demo-broker")]
    pub(super) async fn confirm_dead_letters(
        &self,
        engine: std::net::SocketAddr,
        patience: Duration,
    ) -> Result<()> {
        let confirmed = super::mqtt::confirm(engine, &self.records, patience).await;
        let strange = confirmed.map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "could not read the dead letters").because(cause)
        })?;
        strange.into_iter().for_each(|why| self.shared.refuse(why));
        Ok(())
    }

    pub(super) fn latencies(&self) -> &Latencies {
        &self.shared.latencies
    }

    /// Answers that no device should ever get: how many, and the first.
    pub(super) fn refused(&self) -> (u64, Option<String>) {
        self.shared.refused.lock().expect("never left half changed").clone()
    }
}

/// How the device with this place talks: two by HTTP, then two over MQTT, so that both ways have
/// turbines and sensors.
pub(super) fn way(place: usize, has_broker: bool) -> Way {
    if has_broker && (place / 2) % 2 == 1 { Way::Mqtt } else { Way::Http }
}

/// Gives each of at most `lines` lines its devices, one after the other.
pub(super) fn deal(devices: Vec<Device>, lines: usize) -> Vec<Vec<Device>> {
    let lines = devices.len().min(lines);
    let mut of_line: Vec<Vec<Device>> = (0..lines).map(|_| Vec::new()).collect();
    for (place, device) in devices.into_iter().enumerate() {
        of_line[place % lines].push(device);
    }
    of_line
}

impl Shared {
    /// Notes what should never happen to a device.
    pub(super) fn refuse(&self, why: String) {
        let mut refused = self.refused.lock().expect("never left half changed");
        refused.0 += 1;
        refused.1.get_or_insert(why);
    }
}

/// One connection and the devices behind it.
struct Line {
    client: Client,
    shared: Arc<Shared>,
    stopped: watch::Receiver<Option<Instant>>,
}

impl Line {
    /// Each device in turn until the fleet stops.
    async fn serve(mut self, mut devices: Vec<Device>) {
        loop {
            for device in &mut devices {
                if self.shared.period.is_some() {
                    tokio::select! {
                        () = tokio::time::sleep_until(device.turn) => {}
                        _ = self.stopped.changed() => {}
                    }
                }
                if self.stopped.borrow().is_some() {
                    return;
                }
                let upload = device.measure(Instant::now(), self.shared.period);
                self.upload(device, &upload).await;
            }
        }
    }

    async fn upload(&mut self, device: &mut Device, upload: &Upload) {
        let Some((handled, attempts)) = self.deliver(device, upload).await else { return };
        let now = Instant::now();
        self.shared.latencies.add(upload.due.iter().map(|due| now.duration_since(*due)));
        device.handled(upload, &handled);
        if attempts > 1 {
            self.fetch(device).await;
        }
    }

    /// Sends the same with the same key until it is answered for good; how often it was sent.
    async fn deliver(&mut self, device: &Device, upload: &Upload) -> Option<(Handled, u32)> {
        let Record { model, id, .. } = &*device.record;
        let path = format!("/v1/twins/{model}/{id}/messages");
        let key = format!("m{}", upload.numbers.start);
        let (body, mut backoff) = (upload.body(), BACKOFF);
        for attempts in 1.. {
            let sent = self.client.post(&path, Some(&key), body.clone()).await;
            let pause = match sent.map(|response| answer::verdict(&response)) {
                Ok(Verdict::Handled(handled)) => return Some((handled, attempts)),
                Ok(Verdict::Again(told)) => told.max(backoff),
                Ok(Verdict::Refused(why)) => {
                    self.shared.refuse(why);
                    return None;
                }
                Err(_broken) => backoff,
            };
            let given_up = *self.stopped.borrow();
            if given_up.is_some_and(|limit| Instant::now() >= limit) {
                self.shared.refuse(format!("no answer to {id} within {DRAIN_LIMIT:?} of the stop"));
                return None;
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        None
    }

    /// After a repeated upload the caller of the first attempt was gone: its commands wait.
    async fn fetch(&mut self, device: &mut Device) {
        let Record { model, id, .. } = &*device.record;
        let path = format!("/v1/twins/{model}/{id}/feedback");
        // When this breaks, the commands go on waiting until the next fetch.
        let Ok(response) = self.client.get(&path).await else { return };
        let Some((waiting, last)) = answer::waiting(&response) else { return };
        let through = serde_json::json!({ "through": last }).to_string();
        device.fetched(&waiting);
        let acked = self.client.post(&format!("{path}/ack"), None, through.into()).await;
        // Not acknowledged, they come again, and the device knows them by their epoch.
        drop(acked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::models::TURBINES;

    #[test]
    fn with_a_broker_half_of_each_model_speaks_mqtt() {
        let now = Instant::now();
        let count = |has_broker, is_turbine| {
            let device = |place| Device::new(place, way(place, has_broker), now);
            let records = (0..100).map(|place| device(place).record);
            let over_mqtt = records.filter(|record| record.way == Way::Mqtt);
            over_mqtt.filter(|record| (record.model == TURBINES) == is_turbine).count()
        };
        assert_eq!((count(true, true), count(true, false)), (25, 25));
        assert_eq!((count(false, true), count(false, false)), (0, 0));
    }

    #[test]
    fn every_line_has_some_devices_and_every_device_a_line() {
        let now = Instant::now();
        let devices = |count| (0..count).map(|place| Device::new(place, Way::Http, now)).collect();
        let sizes = |count| deal(devices(count), 4).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(10), [3, 3, 2, 2]);
        assert_eq!(sizes(3), [1, 1, 1]);
        assert!(sizes(0).is_empty());
    }
}
