//! Messages that derive `TwinMessage` beside the same types by serde: the same payloads are taken,
//! with the same values.

mod agreement;
mod corpus;
mod random;

use agreement::{agree, declared, same};
use twinflow::operators::json;

#[test]
fn payloads_written_by_hand_are_taken_alike() {
    let payloads = corpus::payloads();
    let taken: usize = payloads.iter().map(|payload| agree(payload)).sum();
    // Neither everything nor nothing: the payloads are worth something.
    assert!(taken > payloads.len() / 2, "{taken} of {} payloads", payloads.len());
}

#[test]
fn every_document_is_for_some_type_or_is_meant_to_fail() {
    let failing: Vec<_> =
        corpus::DOCUMENTS.iter().filter(|doc| agree(doc.as_bytes()) == 0).collect();
    assert!(failing.len() < corpus::DOCUMENTS.len() / 3, "{failing:#?}");
}

#[test]
fn payloads_cut_at_every_byte_are_taken_alike() {
    for payload in corpus::DOCUMENTS.iter().chain(corpus::GOOD) {
        for end in 0..payload.len() {
            agree(&payload.as_bytes()[..end]);
        }
    }
}

#[test]
fn payloads_with_any_byte_anywhere_are_taken_alike() {
    for document in corpus::DOCUMENTS.iter().step_by(4) {
        let mut payload = document.as_bytes().to_vec();
        for at in 0..payload.len() {
            let before = payload[at];
            for byte in (0..=255).step_by(5) {
                payload[at] = byte;
                agree(&payload);
            }
            payload[at] = before;
        }
    }
}

#[test]
fn values_deep_in_each_other_are_taken_alike() {
    for depth in [1, 2, 62, 63, 64, 65, 120, 124, 125, 126, 127, 128, 129, 130, 191, 192, 200, 1000]
    {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let mixed = format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        let unbalanced = format!("{}1{}", "[{\"a\":".repeat(depth), "]}".repeat(depth));
        let inner = format!("{}{{}}{}", "{\"inner\":".repeat(depth), "}".repeat(depth));
        let around = [
            ("", ""),
            ("{\"ts\":1,\"value\":2,\"x\":", "}"),
            ("{\"any\":", "}"),
            ("{\"kind\":\"power_on\",\"x\":", "}"),
            ("{\"kind\":\"NESTED\",\"x\":", "}"),
            ("{\"inner\":", "}"),
        ];
        for value in [&arrays, &objects, &mixed, &unbalanced, &inner] {
            for (before, after) in around {
                agree(format!("{before}{value}{after}").as_bytes());
            }
        }
    }
}

/// All decimals that a sensor with two or three places gives, and their neighbours.
#[test]
fn short_decimals_have_the_same_bits() {
    for whole in (0..2_000).chain([65_535, 99_999, 16_777_215, 16_777_217, 999_999_999]) {
        for part in (0..1000).step_by(7) {
            for payload in [format!("{whole}.{part:03}"), format!("-{whole}.{part}")] {
                assert!(same::<f64, f64>(payload.as_bytes()));
                assert!(same::<f32, f32>(payload.as_bytes()));
            }
        }
    }
}

/// What is wrong, in which field, at which byte; and nothing of the payload beyond names.
#[test]
fn an_error_says_what_and_where() {
    let payloads = [
        r#"{"readings":[{"ts":1,"value":2},{"ts":1,"value":"x"}]}"#,
        r#"{"aux":[1 2]}"#,
        r#"{"aux":[1,]}"#,
        r#"{"aux":[01]}"#,
        r#"{"aux":[1e999]}"#,
        r#"{"aux" [1]}"#,
        r#"{"reading":{"ts":1}}"#,
        r#"{"reading":{"ts":1,"ts":2}}"#,
        r#"{"size":70000}"#,
        r#"{"size":1.5}"#,
        r#"{"texts":["\x"]}"#,
        r#"{"texts":["\ud800"]}"#,
        r#"{"texts":["abc"#,
        r#"{} x"#,
        r#""#,
        r#"{1:2}"#,
        r#"{"x":[1,{"y":nul}]}"#,
    ];
    let errors = payloads.map(|payload| {
        let result = json::from_slice::<declared::Nested<'_>>(payload.as_bytes());
        result.unwrap_err().to_string()
    });
    let expected: [&str; 17] = [
        "readings[1].value: expected a number, found a string at byte 48",
        "aux: expected a comma or the end of the array, found a number at byte 10",
        "aux: a comma before the end of the array at byte 10",
        "aux[0]: a number that JSON does not have at byte 8",
        "aux[0]: this number is out of range at byte 8",
        "expected a colon, found an array at byte 7",
        "reading: missing field `value` at byte 19",
        "reading: duplicate field `ts` at byte 24",
        "size.0: this number is no u16 at byte 8",
        "size.0: this number is no u16 at byte 8",
        "texts[0]: an escape that JSON does not have at byte 11",
        "texts[0]: this string is no UTF-8, or escapes half a character at byte 10",
        "texts[0]: the payload ends in a string at byte 14",
        "something follows the value at byte 3",
        "expected an object, found the end at byte 0",
        "expected a key, found a number at byte 1",
        "expected a value, found null at byte 13",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn an_error_of_an_enum_or_a_field_of_serde_says_what_and_where() {
    let error = |payload: &str| {
        json::from_slice::<declared::Event<'_>>(payload.as_bytes()).unwrap_err().to_string()
    };
    let errors = [
        error(r#"{"kind":"x"}"#),
        error(r#"{"kind":1}"#),
        error("{}"),
        error(r#"{"kind":"other","level":"Middle"}"#),
        error(r#"{"kind":"other","map":{"1":2}}"#),
        error(r#"["power_on",1]"#),
    ];
    let expected = [
        "kind: unknown variant `x`, expected one of `power_on` `heated` `read` `NESTED` `other` \
         `loud` at byte 1",
        "kind: expected a string, found a number at byte 8",
        "missing field `kind` at byte 2",
        "level: unknown variant `Middle`, expected `Low` or `High` at line 1 column 8 of the value \
         at byte 24",
        "map: serde cannot read this type inside of a tagged enum at byte 22",
        "expected the end of the array, found a comma at byte 11",
    ];
    assert_eq!(errors, expected);
}
