//! Kind `shadow`: the newest values that a device reported, whatever they are called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::prelude::*;

/// What is known of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Everything that it reported, merged: the newest value of each property.
    pub reported: Value,
    /// Messages merged so far.
    pub messages: u64,
    /// When the engine took the last of them: microseconds since 1970 UTC.
    pub updated_at: Timestamp,
}

impl TwinModel for Shadow {
    type Message<'m> = Value;
}

/// Merges JSON messages into the shadow, as JSON merge patches (RFC 7396), in order of arrival.
///
/// A property in a message replaces the known one, objects are merged property by property, `null`
/// removes a property, and a message that is no object replaces everything. It has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowMerge {}

impl MessageProcessor for ShadowMerge {
    type Model = Shadow;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        shadow: &mut Shadow,
        messages: Messages<'_, Value>,
    ) -> ProcessingResult {
        for (message, info) in messages.with_info() {
            merge(&mut shadow.reported, message);
            shadow.messages += 1;
            shadow.updated_at = info.received_at;
        }
        Ok(Outcome::Update)
    }
}

/// `MergePatch` of RFC 7396, section 2. The depth is that of a decoded message: bounded.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shadow() -> TestTwin<ShadowMerge> {
        TestTwin::new(ShadowMerge {})
    }

    /// The table in appendix A of RFC 7396: original, patch, result.
    const RFC_7396: [[&str; 3]; 15] = [
        [r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
        [r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#],
        [r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#],
        [r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#],
        [r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
        [r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#],
        [r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#],
        [r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#],
        [r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#],
        [r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#],
        [r#"{"a":"foo"}"#, r#"null"#, r#"null"#],
        [r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#],
        [r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#],
        [r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#],
        [r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#],
    ];

    #[test]
    fn merges_as_every_example_of_the_rfc_says() {
        let value = |text| serde_json::from_str::<Value>(text).unwrap();
        for [original, patch, result] in RFC_7396 {
            let mut target = value(original);
            merge(&mut target, &value(patch));
            assert_eq!(target, value(result), "{original} with {patch}");
        }
    }

    #[test]
    fn the_newest_value_of_each_property_wins() {
        let mut shadow = shadow();
        shadow.now = Timestamp(17);
        let call = shadow.call(&[
            r#"{"speed":1,"place":{"lat":52.5,"lon":13.4}}"#,
            r#"{"speed":2,"place":{"lon":13.5}}"#,
        ]);
        assert_eq!((call.calls, call.feedback.len()), (1, 0));
        let reported = json!({"speed":2,"place":{"lat":52.5,"lon":13.5}});
        let state = Shadow { reported, messages: 2, updated_at: Timestamp(17) };
        assert_eq!(shadow.state, state);
        assert_eq!(serde_json::to_value(&state).unwrap()["updated_at"], 17);
    }

    #[test]
    fn case_6_the_second_message_sees_what_the_first_left() {
        let mut shadow = shadow();
        shadow.call(&[r#"{"a":1}"#]);
        shadow.call(&[r#"{"b":2}"#]);
        assert_eq!(shadow.state.reported, json!({"a":1,"b":2}));
    }

    #[test]
    fn case_8_a_message_that_is_no_json_is_set_aside_and_the_others_merged() {
        let mut shadow = shadow();
        let call = shadow.call(&[r#"{"a":1}"#, "{", "", r#"{"b":2}"#]);
        assert_eq!((call.undecodable, call.failures.len()), (2, 0));
        assert_eq!((&shadow.state.reported, shadow.state.messages), (&json!({"a":1,"b":2}), 2));
    }

    #[test]
    fn a_message_that_makes_the_state_too_large_fails_alone() {
        let mut shadow = shadow();
        shadow.settings.state_bytes_max = 100;
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
        let call = shadow.call(&[r#"{"a":1}"#, &large, r#"{"b":2}"#]);
        assert_eq!(call.failures.len(), 1);
        assert_eq!(shadow.state.reported, json!({"a":1,"b":2}));
    }

    #[test]
    fn the_deepest_message_that_json_allows_is_stored_and_comes_back() {
        let mut shadow = shadow();
        let deep = format!("{}1{}", r#"{"a":"#.repeat(127), "}".repeat(127));
        let call = shadow.call(&[&deep]);
        assert_eq!((call.undecodable, call.failures.len()), (0, 0));
        crate::models::testing::assert_stored_form_comes_back(&shadow.state);
    }

    #[test]
    fn case_13_the_stored_form_comes_back_and_a_state_with_a_later_field_loads() {
        let reported = json!({"i":-1,"u":u64::MAX,"f":1.0,"s":"x","n":null,"l":[1,{"a":true}]});
        let state = Shadow { reported, messages: 3, updated_at: Timestamp(9) };
        crate::models::testing::assert_stored_form_comes_back(&state);
    }
}
