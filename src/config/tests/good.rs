//! What is read.

use std::time::Duration;

use twinflow_operators::{OnFailure, model::Grouping};

use super::*;

const FILE: &str = r#"
[server]
workers = 2

[state]
dir = "${env:STATE}"

[models.wind-1]
type = "wind-turbine"
limit_celsius = 95
grouping = "single"
on_failure = "halt"

[connections.web]
type = "rest"
models = ["wind-1"]
reconnect_backoff_ms = 10
"#;

fn environment() -> Environment {
    Environment::from([("STATE", "/var/lib/a"), ("HOME", "/nowhere")])
}

#[test]
fn a_file_is_read_with_defaults_for_what_it_leaves_out() {
    let config = load(FILE, &environment()).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:7700");
    assert_eq!(config.server.workers.get(), 2);
    assert_eq!(config.server.wait, Duration::from_secs(10));
    assert_eq!(config.state.dir, Path::new("/var/lib/a"));
    assert_eq!(config.state.store, StoreKind::Log);
    assert_eq!(config.state.segment_bytes, 64 << 20);
    let model = &config.models[0];
    assert_eq!((model.name.as_str(), model.kind.as_str()), ("wind-1", "wind-turbine"));
    assert_eq!(model.settings.grouping, Some(Grouping::Single));
    assert_eq!(model.settings.on_failure, OnFailure::Halt);
    assert_eq!(model.settings.twins_max, 10_000_000);
    assert_eq!(config.connections[0].kind, "rest");
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let environment = Environment::from([
        ("STATE", "/file"),
        ("TWINFLOW__STATE__DIR", "/environment"),
        ("TWINFLOW__SERVER__WORKERS", "3"),
        ("TWINFLOW__MODELS__WIND_1__TWINS_MAX", "17"),
        ("TWINFLOW__CONNECTIONS__WEB__MODELS", "[\"wind-1\"]"),
        ("TWINFLOW__CONNECTIONS__WEB__ENABLED", "false"),
        ("TWINFLOW_SERVER", "http://127.0.0.1:1"),
    ]);
    let config = load(FILE, &environment).unwrap();
    assert_eq!(config.state.dir, Path::new("/environment"));
    assert_eq!(config.server.workers.get(), 3);
    assert_eq!(config.models[0].settings.twins_max, 17);
    let flags =
        Flags { state_dir: Some("/flag".into()), workers: Some("4".into()), ..Flags::default() };
    let config = load_with(FILE, &environment, &flags).unwrap();
    assert_eq!(config.state.dir, Path::new("/flag"));
    assert_eq!(config.server.workers.get(), 4);
}

#[test]
fn a_number_may_come_by_reference() {
    let environment = Environment::from([("N", "5")]);
    let file = "[server]\nworkers = \"${env:N}\"\n[models.a]\ntype = \"wind-turbine\"\n\
                limit_celsius = \"${env:N}\"\n";
    assert_eq!(load(file, &environment).unwrap().server.workers.get(), 5);
}

#[test]
fn what_is_shown_has_defaults_and_references_and_can_be_read_again() {
    let environment = Environment::from([
        ("STATE", "/secret/a"),
        ("TWINFLOW__MODELS__WIND_1__LIMIT_CELSIUS", "77"),
        ("TWINFLOW__SERVER__WORKERS", "3"),
    ]);
    let shown = load(FILE, &environment).unwrap().show(&kinds());
    let expected = r#"[connections.web]
body_bytes_max = 16777216
body_timeout_secs = 30
connections_max = 10000
depth_max = 64
enabled = true
header_timeout_secs = 10
idempotency_keep_secs = 86400
idle_timeout_secs = 60
line_bytes_max = 1048576
lines_max = 10000
models = ["wind-1"]
reconnect_backoff_max_ms = 60000
reconnect_backoff_ms = 10
retry_after_max_secs = 30
type = "rest"
wait_ms = 10000

[models.wind-1]
dead_letters_bytes_max = 1073741824
dead_letters_keep_secs = 604800
grouping = "single"
limit_celsius = "${env:TWINFLOW__MODELS__WIND_1__LIMIT_CELSIUS}"
on_failure = "halt"
retries_max = 0
state_bytes_max = 1048576
twins_max = 10000000
type = "wind-turbine"

[server]
key_requests_per_sec_max = 20000
listen = "127.0.0.1:7700"
stall_secs = 30
wait_ms = 10000
workers = 3

[state]
commit = "every-epoch"
dir = "${env:STATE}"
segment_bytes = 67108864
store = "log"
"#;
    assert_eq!(shown, expected);
    load(&shown, &environment).unwrap();
}
