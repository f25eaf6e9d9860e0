use super::*;

const START_MS: u64 = 1_700_000_000_000;

fn sensor() -> TestTwin<GasWatch> {
    TestTwin::new(GasWatch::default())
}

/// A reading `secs` after the start.
fn reading(ppm: f64, secs: f64) -> String {
    let time_ms = START_MS + (secs * 1000.0) as u64;
    format!(r#"{{"ppm":{ppm},"time_ms":{time_ms}}}"#)
}

/// Calls with one reading each and says what was sent, in order.
fn one_by_one(sensor: &mut TestTwin<GasWatch>, readings: &[(f64, f64)]) -> Vec<serde_json::Value> {
    let calls = readings.iter().map(|(ppm, secs)| sensor.call(&[&reading(*ppm, *secs)]));
    calls.flat_map(|call| call.feedback).collect()
}

/// One call with all readings.
fn at_once(sensor: &mut TestTwin<GasWatch>, readings: &[(f64, f64)]) -> Vec<serde_json::Value> {
    let payloads: Vec<_> = readings.iter().map(|(ppm, secs)| reading(*ppm, *secs)).collect();
    let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
    sensor.call(&payloads).feedback
}

#[test]
fn case_14_readings_below_the_limit_raise_no_alarm() {
    let mut sensor = sensor();
    assert!(one_by_one(&mut sensor, &[(10.0, 0.0), (20.0, 1.0)]).is_empty());
    assert_eq!(sensor.state, GasSensor { ppm: 20.0, above_since_ms: None, alarm: false });
}

#[test]
fn case_14_a_spike_raises_the_alarm_at_once() {
    let mut sensor = sensor();
    assert_eq!(one_by_one(&mut sensor, &[(10.0, 0.0), (20.0, 1.0), (250.0, 2.0)]), ["alarm"]);
    assert!(sensor.state.alarm);
}

#[test]
fn case_14_above_the_limit_it_takes_more_than_thirty_seconds() {
    let mut sensor = sensor();
    assert!(one_by_one(&mut sensor, &[(75.0, 0.0), (75.0, 25.0)]).is_empty());
    assert_eq!(sensor.state.above_since_ms, Some(START_MS));
    assert_eq!(one_by_one(&mut sensor, &[(75.0, 31.0)]), ["alarm"]);
    assert!(one_by_one(&mut sensor, &[(75.0, 40.0)]).is_empty(), "an alarm is raised once");
    assert_eq!(one_by_one(&mut sensor, &[(49.0, 41.0)]), ["clear"]);
    assert!(one_by_one(&mut sensor, &[(49.0, 42.0)]).is_empty(), "and cleared once");
    assert_eq!(sensor.state, GasSensor { ppm: 49.0, above_since_ms: None, alarm: false });
}

#[test]
fn case_14_a_group_of_two_readings_twenty_minutes_apart_is_exactly_one_shutdown_command() {
    let mut sensor = sensor();
    assert_eq!(at_once(&mut sensor, &[(75.0, 0.0), (75.0, 1200.0)]), ["shutdown"]);
    assert!(sensor.state.alarm);
}

#[test]
fn each_limit_holds_at_its_own_value_and_not_just_above() {
    assert!(one_by_one(&mut sensor(), &[(200.0, 0.0)]).is_empty());
    assert_eq!(one_by_one(&mut sensor(), &[(200.01, 0.0)]), ["alarm"]);
    assert!(one_by_one(&mut sensor(), &[(75.0, 0.0), (75.0, 30.0)]).is_empty());
    assert_eq!(one_by_one(&mut sensor(), &[(75.0, 0.0), (75.0, 30.001)]), ["alarm"]);
    assert!(one_by_one(&mut sensor(), &[(50.0, 0.0), (50.0, 1200.0)]).is_empty());
    assert_eq!(one_by_one(&mut sensor(), &[(50.01, 0.0), (50.01, 31.0)]), ["alarm"]);
}

#[test]
fn a_reading_below_the_limit_starts_the_time_anew() {
    let readings = [(75.0, 0.0), (50.0, 20.0), (75.0, 25.0), (75.0, 55.0)];
    assert!(one_by_one(&mut sensor(), &readings).is_empty());
    assert!(at_once(&mut sensor(), &readings).is_empty());
}

#[test]
fn an_alarm_that_came_and_went_in_a_group_is_a_shutdown_and_a_clear() {
    let mut sensor = sensor();
    let readings = [(250.0, 0.0), (10.0, 1.0), (250.0, 2.0), (10.0, 3.0)];
    assert_eq!(at_once(&mut sensor, &readings), ["shutdown", "clear"]);
    assert!(!sensor.state.alarm);
}

#[test]
fn a_group_that_ends_a_known_alarm_only_clears_it() {
    let mut sensor = sensor();
    assert_eq!(at_once(&mut sensor, &[(250.0, 0.0)]), ["alarm"]);
    assert!(at_once(&mut sensor, &[(75.0, 1.0), (75.0, 2.0)]).is_empty());
    assert_eq!(at_once(&mut sensor, &[(75.0, 3.0), (10.0, 4.0)]), ["clear"]);
}

#[test]
fn without_time_ms_the_source_time_counts_and_without_that_the_time_of_arrival() {
    let mut sensor = sensor();
    let at = |secs| Timestamp(START_MS * 1000).plus_secs(secs);
    let message =
        |source_time| TestMessage { payload: br#"{"ppm":75}"#, headers: &[], source_time };
    sensor.now = at(1000);
    sensor.call_messages(&[message(Some(at(0)))]);
    assert_eq!(sensor.state.above_since_ms, Some(START_MS));
    assert_eq!(sensor.call_messages(&[message(Some(at(31)))]).feedback, ["alarm"]);

    let mut sensor = self::sensor();
    for (secs, alarm) in [(0, false), (30, false), (31, true)] {
        sensor.now = at(secs);
        sensor.call_messages(&[message(None)]);
        assert_eq!(sensor.state.alarm, alarm, "after {secs} s");
    }
}

#[test]
fn the_time_in_the_reading_wins_over_the_source_time() {
    let mut sensor = sensor();
    let payload = reading(75.0, 0.0);
    let source_time = Some(Timestamp(1));
    let message = TestMessage { payload: payload.as_bytes(), headers: &[], source_time };
    sensor.call_messages(&[message]);
    assert_eq!(sensor.state.above_since_ms, Some(START_MS));
}

#[test]
fn a_reading_from_before_moves_the_beginning_back_and_never_panics() {
    let mut sensor = sensor();
    assert!(one_by_one(&mut sensor, &[(75.0, 100.0), (75.0, 60.0)]).is_empty());
    assert_eq!(sensor.state.above_since_ms, Some(START_MS + 60_000));
    assert_eq!(one_by_one(&mut sensor, &[(75.0, 101.0)]), ["alarm"]);
}

#[test]
fn case_8_bad_readings_are_set_aside_and_the_others_judged() {
    let mut sensor = sensor();
    let late = reading(75.0, 31.0);
    let first = reading(75.0, 0.0);
    let bad = r#"{"ppm":"75"}"#;
    let call = sensor.call(&[&first, bad, r#"{"ppm":75,"time_ms":-1}"#, "{}", "[", &late]);
    assert_eq!((call.undecodable, call.calls), (4, 1));
    assert_eq!(call.feedback, ["shutdown"]);
}

#[test]
fn case_13_the_stored_form_comes_back_and_a_state_with_a_later_field_loads() {
    let state = GasSensor { ppm: 75.5, above_since_ms: Some(START_MS), alarm: true };
    crate::models::testing::assert_stored_form_comes_back(&state);
}
