//! Kind `wind-turbine`: a turbine whose bearing was too hot four times is told to brake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::finite;
use crate::prelude::*;

/// Hot readings that it takes for one brake command.
pub const HOT_READINGS_TO_BRAKE: u32 = 4;

/// What a turbine reports.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Reading {
    /// Temperature of the main bearing in degrees Celsius.
    pub bearing_celsius: f64,
}

/// The state of one turbine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindTurbine {
    /// Readings above the limit since the last brake command: 0 to 3.
    pub hot_readings: u32,
}

impl TwinModel for WindTurbine {
    type Message<'m> = Reading;
}

/// Counts readings above the limit, sends `"brake"` at every fourth, then counts anew.
///
/// How readings were grouped into calls makes no difference: eight hot readings are two commands.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BearingWatch {
    /// A reading above this temperature is hot. Degrees Celsius, default 95. Since 0.1.0.
    #[serde(deserialize_with = "finite")]
    pub limit_celsius: f64,
}

impl Default for BearingWatch {
    fn default() -> Self {
        Self { limit_celsius: 95.0 }
    }
}

impl MessageProcessor for BearingWatch {
    type Model = WindTurbine;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        turbine: &mut WindTurbine,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        for reading in readings {
            if reading.bearing_celsius > self.limit_celsius {
                turbine.hot_readings += 1;
            }
            if turbine.hot_readings == HOT_READINGS_TO_BRAKE {
                cx.send_to_data_source("brake")?;
                turbine.hot_readings = 0;
            }
        }
        Ok(Outcome::Update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: &str = r#"{"bearing_celsius":96.0}"#;
    const AT_THE_LIMIT: &str = r#"{"bearing_celsius":95.0}"#;

    fn turbine() -> TestTwin<BearingWatch> {
        TestTwin::new(BearingWatch::default())
    }

    #[test]
    fn case_15_four_hot_readings_one_by_one_are_one_brake_command() {
        let mut turbine = turbine();
        for hot_readings in 1..=3 {
            assert!(turbine.call(&[HOT]).feedback.is_empty(), "after {hot_readings}");
            assert_eq!(turbine.state.hot_readings, hot_readings);
        }
        assert_eq!(turbine.call(&[HOT]).feedback, ["brake"]);
        assert_eq!(turbine.state.hot_readings, 0, "the count starts again");
    }

    #[test]
    fn case_15_four_hot_readings_in_one_call_are_one_brake_command() {
        assert_eq!(turbine().call(&[HOT; 4]).feedback, ["brake"]);
        assert!(turbine().call(&[HOT; 3]).feedback.is_empty());
    }

    #[test]
    fn after_a_brake_command_it_takes_four_more() {
        let mut turbine = turbine();
        assert_eq!(turbine.call(&[HOT; 7]).feedback, ["brake"]);
        assert_eq!(turbine.state.hot_readings, 3);
        assert_eq!(turbine.call(&[HOT]).feedback, ["brake"]);
        assert_eq!(turbine.call(&[HOT; 8]).feedback, ["brake", "brake"]);
    }

    #[test]
    fn a_reading_at_the_limit_is_not_hot() {
        let mut turbine = turbine();
        assert!(turbine.call(&[AT_THE_LIMIT; 4]).feedback.is_empty());
        assert_eq!(turbine.state.hot_readings, 0);
        turbine.call(&[r#"{"bearing_celsius":95.0001}"#]);
        assert_eq!(turbine.state.hot_readings, 1);
    }

    #[test]
    fn cool_readings_between_do_not_set_the_count_back() {
        let mut turbine = turbine();
        let call = turbine.call(&[HOT, AT_THE_LIMIT, HOT, HOT, AT_THE_LIMIT, HOT]);
        assert_eq!(call.feedback, ["brake"]);
    }

    #[test]
    fn case_8_a_reading_without_temperature_is_set_aside_and_the_others_count() {
        let mut turbine = turbine();
        let call = turbine.call(&[HOT, "{}", HOT, r#"{"bearing_celsius":"hot"}"#, HOT, "{", HOT]);
        assert_eq!((call.undecodable, call.calls), (3, 1));
        assert_eq!(call.feedback, ["brake"]);
    }

    #[test]
    fn more_brake_commands_than_one_call_may_send_are_all_sent() {
        let mut turbine = turbine();
        let call = turbine.call(&[HOT; 404]);
        assert_eq!((call.feedback.len(), call.failures.len()), (101, 0));
        assert_eq!(call.calls, 405, "the group passed 100 and was called one by one");
    }

    #[test]
    fn case_13_the_stored_form_comes_back_and_a_state_with_a_later_field_loads() {
        let state = WindTurbine { hot_readings: 3 };
        crate::models::testing::assert_stored_form_comes_back(&state);
    }
}
