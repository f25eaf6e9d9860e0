//! Every metric: name, kind, one line of meaning; and OpenMetrics text of them.
//!
//! Base units, and never a twin's id in a label.

use std::{fmt::Write, time::Duration};

use crate::{
    ConnectionState, ConnectionStatus,
    engine::{EngineStatistics, ModelStatus},
};

/// What a scraper does with a metric.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// One metric of one part of the engine.
struct Metric<T: ?Sized> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&T) -> f64,
}

const fn counter<T: ?Sized>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> f64,
) -> Metric<T> {
    Metric { name, kind: Kind::Counter, help, value }
}

const fn gauge<T: ?Sized>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> f64,
) -> Metric<T> {
    Metric { name, kind: Kind::Gauge, help, value }
}

const ENGINE: &[Metric<EngineStatistics>] = &[
    gauge("twinflow_workers", "worker threads", |s| s.workers as f64),
    counter("twinflow_epochs", "epochs closed with data", |s| s.epochs as f64),
    gauge("twinflow_epoch_open", "the open epoch", |s| s.open_epoch as f64),
    gauge("twinflow_epochs_unprocessed", "epochs closed or open and not processed", |s| {
        s.open_epoch.saturating_sub(s.processed_epoch) as f64
    }),
    gauge("twinflow_epochs_uncommitted", "epochs closed or open and not committed", |s| {
        s.open_epoch.saturating_sub(s.committed_epoch) as f64
    }),
    gauge("twinflow_queued_bytes", "bytes that wait in the queues of all links", |s| {
        s.queued_bytes as f64
    }),
    gauge("twinflow_dead_letters", "dead letters that are kept", |s| s.dead_letters as f64),
    counter("twinflow_dead_letters_expired", "dead letters that were dropped for their age", |s| {
        s.dead_letters_expired as f64
    }),
    gauge("twinflow_store_held", "1 while the store has not moved for two seconds", |s| {
        f64::from(u8::from(s.held))
    }),
    gauge("twinflow_disk_full", "1 while the disk has too little room to take messages in", |s| {
        f64::from(u8::from(s.disk_full))
    }),
    gauge("twinflow_careful", "1 while one message per link and epoch is taken", |s| {
        f64::from(u8::from(s.careful))
    }),
    counter("twinflow_pipeline_dropped_messages", "messages that a pipeline dropped", |s| {
        s.pipeline_dropped as f64
    }),
    counter("twinflow_pipeline_added_messages", "messages a pipeline made beyond one each", |s| {
        s.pipeline_added as f64
    }),
    counter("twinflow_pipeline_failed_messages", "messages on which a pipeline failed", |s| {
        s.pipeline_failed as f64
    }),
    counter("twinflow_pipeline_late_changes", "changes too late for their window", |s| {
        s.pipeline_late as f64
    }),
    counter("twinflow_slow_calls", "calls that took longer than a second", |s| s.slow_calls as f64),
    counter("twinflow_store_frames", "frames written", |s| s.store.frames as f64),
    counter("twinflow_store_written_bytes", "bytes written, padding included", |s| {
        s.store.bytes as f64
    }),
    counter("twinflow_store_syncs", "syncs done", |s| s.store.syncs as f64),
    counter("twinflow_store_sync_seconds", "time spent in syncs", |s| {
        s.store.sync_micros as f64 / 1e6
    }),
    gauge("twinflow_store_disk_bytes", "bytes of log files on disk", |s| s.store.disk_bytes as f64),
];

const MODEL: &[Metric<ModelStatus>] = &[
    gauge("twinflow_twins", "twins that exist", |m| m.twins as f64),
    gauge("twinflow_dead_letter_bytes", "bytes of its dead letters", |m| {
        m.dead_letter_bytes as f64
    }),
    gauge("twinflow_dead_letters_full", "1 while nothing is taken because of them", |m| {
        f64::from(u8::from(m.dead_letters_full))
    }),
    counter("twinflow_twin_calls", "calls of the processor", |m| m.calls as f64),
    counter("twinflow_messages_applied", "messages applied", |m| m.messages as f64),
    counter("twinflow_messages_failed", "messages that failed", |m| m.failed as f64),
    counter("twinflow_messages_deduplicated", "messages whose id had been handled", |m| {
        m.repeated as f64
    }),
    gauge("twinflow_quarantined_twins", "twins in quarantine: a person should look", |m| {
        m.quarantined_twins as f64
    }),
    counter("twinflow_messages_quarantined", "messages whose twin was in quarantine", |m| {
        m.quarantined as f64
    }),
    counter("twinflow_feedback_sent", "feedback messages of twins", |m| m.feedback as f64),
];

const CONNECTION: &[Metric<ConnectionStatus>] = &[
    gauge("twinflow_connection_up", "1 while the connection takes messages", |c| {
        f64::from(u8::from(c.state == ConnectionState::Running))
    }),
    counter("twinflow_received_messages", "messages delivered", |c| c.received as f64),
    counter("twinflow_received_bytes", "bytes of their rows", |c| c.received_bytes as f64),
    gauge("twinflow_queued_messages", "messages that wait in its queues", |c| c.queued as f64),
    gauge("twinflow_unacked_deliveries", "deliveries not acknowledged", |c| {
        c.unacknowledged_deliveries as f64
    }),
    gauge("twinflow_oldest_unacked_seconds", "age of the oldest of them", |c| {
        c.oldest_unacknowledged_seconds
    }),
    gauge("twinflow_feedback_pending", "feedback that waits for confirmation", |c| {
        c.feedback_unconfirmed as f64
    }),
    counter("twinflow_feedback_confirmed", "feedback that its upstream has", |c| {
        c.feedback_confirmed as f64
    }),
    counter("twinflow_redelivered_messages", "messages dropped by their position", |c| {
        c.repeated_positions as f64
    }),
    gauge("twinflow_lag_messages", "messages at the upstream behind what is committed", |c| {
        c.lag_messages.map_or(f64::NAN, |lag| lag as f64)
    }),
    counter("twinflow_lost_messages", "messages removed upstream before they were read", |c| {
        c.lost_messages as f64
    }),
    counter("twinflow_lost_sessions", "sessions that the upstream had forgotten", |c| {
        c.lost_sessions as f64
    }),
    counter("twinflow_sessions", "sessions opened", |c| c.sessions as f64),
];

/// What a server knows of who comes in.
#[derive(Debug, Default)]
pub(crate) struct ServerStatus {
    /// Absent where no keys are asked for.
    pub(crate) logins_failed: Option<u64>,
    /// Listeners with TLS.
    pub(crate) listeners: Vec<ListenerStatus>,
}

/// A listener with TLS.
#[derive(Debug)]
pub(crate) struct ListenerStatus {
    pub(crate) name: String,
    /// Since 1970.
    pub(crate) certificate_expires: Duration,
}

const SERVER: &[Metric<u64>] =
    &[counter("twinflow_logins_failed", "requests without a known key", |failed| *failed as f64)];

const LISTENER: &[Metric<ListenerStatus>] = &[gauge(
    "twinflow_certificate_expires_timestamp_seconds",
    "when the certificate of a listener runs out, since 1970",
    |listener| listener.certificate_expires.as_secs_f64(),
)];

/// All metrics as OpenMetrics text.
pub(crate) fn text(
    engine: &EngineStatistics,
    connections: &[ConnectionStatus],
    server: &ServerStatus,
) -> String {
    let mut text = String::with_capacity(8 << 10);
    family(&mut text, ENGINE, &[engine], |_| String::new());
    let models: Vec<_> = engine.models.iter().collect();
    family(&mut text, MODEL, &models, |model| label("model", &model.name));
    let connections: Vec<_> = connections.iter().collect();
    family(&mut text, CONNECTION, &connections, |known| label("connection", &known.name));
    let failed: Vec<_> = server.logins_failed.iter().collect();
    family(&mut text, SERVER, &failed, |_| String::new());
    let listeners: Vec<_> = server.listeners.iter().collect();
    family(&mut text, LISTENER, &listeners, |known| label("listener", &known.name));
    text.push_str("# EOF\n");
    text
}

fn family<T>(text: &mut String, metrics: &[Metric<T>], all: &[&T], labels: impl Fn(&T) -> String) {
    for metric in metrics.iter().filter(|_| !all.is_empty()) {
        let (kind, suffix) = match metric.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        let name = metric.name;
        let mut put = |line: std::fmt::Arguments<'_>| {
            text.write_fmt(line).expect("writing to a string never fails");
        };
        put(format_args!("# TYPE {name} {kind}\n"));
        if let Some(unit) = unit(name) {
            put(format_args!("# UNIT {name} {unit}\n"));
        }
        put(format_args!("# HELP {name} {}\n", metric.help));
        for one in all {
            // What nobody knows is not there.
            let value = Some((metric.value)(one)).filter(|value| !value.is_nan());
            if let Some(value) = value {
                put(format_args!("{name}{suffix}{} {value}\n", labels(one)));
            }
        }
    }
}

/// The unit that a name ends with, as OpenMetrics wants it declared.
fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")))
}

/// Names of models and connections need no escapes.
fn label(name: &str, value: &str) -> String {
    format!("{{{name}=\"{value}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_types_units_labels_and_an_end() {
        let model = ModelStatus { name: "turbines".into(), calls: 3, ..ModelStatus::default() };
        let models = vec![model];
        let engine = EngineStatistics { models, disk_full: true, ..EngineStatistics::default() };
        let listener =
            ListenerStatus { name: "api".into(), certificate_expires: Duration::from_secs(7) };
        let server = ServerStatus { logins_failed: Some(2), listeners: vec![listener] };
        let text = text(&engine, &[], &server);
        let name = "twinflow_certificate_expires_timestamp_seconds";
        assert!(text.contains(&format!("{name}{{listener=\"api\"}} 7\n")), "{text}");
        assert!(text.contains("twinflow_logins_failed_total 2\n"), "{text}");
        assert!(text.contains("\ntwinflow_disk_full 1\n"), "{text}");
        assert!(text.contains(
            "# TYPE twinflow_twin_calls counter\n# HELP twinflow_twin_calls calls of the \
             processor\ntwinflow_twin_calls_total{model=\"turbines\"} 3\n"
        ));
        assert!(text.contains("# UNIT twinflow_store_sync_seconds seconds\n"));
        assert!(!text.contains("twinflow_connection_up"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut names: Vec<_> = ENGINE.iter().map(|metric| metric.name).collect();
        names.extend(MODEL.iter().map(|metric| metric.name));
        names.extend(CONNECTION.iter().map(|metric| metric.name));
        names.extend(SERVER.iter().map(|metric| metric.name));
        names.extend(LISTENER.iter().map(|metric| metric.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
