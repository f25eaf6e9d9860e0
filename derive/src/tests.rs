//! What does not compile, and what it says. What compiles is compared with serde in the tests of
//! the root package.

use crate::input::expand;

/// The error for a type.
fn refusal(source: &str) -> String {
    match expand(&syn::parse_str(source).expect("the test's source is Rust")) {
        Ok(_) => panic!("{source} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_attribute_that_is_not_known_is_refused_by_its_name() {
    let places = [
        "struct A { #[serde(WORD)] a: u8 }",
        "#[serde(WORD)] struct A { a: u8 }",
        "#[serde(tag = \"t\")] enum A { #[serde(WORD)] B }",
    ];
    let words = ["flatten", "with = \"m\"", "deserialize_with = \"f\"", "bound = \"T: X\""];
    let words = words.into_iter().chain(["untagged", "from = \"T\"", "getter = \"f\"", "oops"]);
    for word in words {
        for place in places {
            let refusal = refusal(&place.replace("WORD", word));
            let name = word.split(' ').next().unwrap();
            let what = format!("does not know `{name}`; derive Deserialize in its place");
            assert!(refusal.contains(&what), "{place} with {word}: {refusal}");
        }
    }
}

#[test]
fn a_type_that_is_not_known_is_refused() {
    let cases = [
        ("struct A;", "takes structs with named fields"),
        ("struct A(u8, u8);", "takes structs with named fields"),
        ("struct A(#[serde(skip)] u8);", "cannot be skipped"),
        ("struct A<T> { a: T }", "lifetimes as parameters only"),
        ("struct A<const N: usize> { a: u8 }", "lifetimes as parameters only"),
        ("union A { a: u8 }", "for structs and tagged enums"),
        ("enum A { B }", "enums with #[serde(tag"),
        ("#[serde(tag = \"t\", content = \"c\")] enum A { B }", "does not know `content`"),
        ("#[serde(tag = \"t\")] enum A { B(u8, u8) }", "is a unit, has named fields, or holds one"),
        ("#[serde(tag = \"t\", default)] enum A { B }", "is for structs with named fields"),
        ("#[serde(tag = \"t\")] struct A { a: u8 }", "a tag is for enums"),
        ("#[serde(rename_all = \"Camel\")] struct A { a: u8 }", "no such way to write names"),
        ("struct A { #[serde(alias = \"b\")] a: u8, b: u8 }", "another field is named \"b\""),
        (
            "#[serde(tag = \"t\")] enum A { B, #[serde(rename = \"B\")] C }",
            "another variant is named \"B\"",
        ),
    ];
    for (source, what) in cases {
        let refusal = refusal(source);
        assert!(refusal.contains(what), "{source}: {refusal}");
    }
}

#[test]
fn what_is_for_writing_changes_nothing() {
    let plain = "struct A<'m> { a: u8, b: Cow<'m, str> }";
    let decorated = r#"
        #[serde(rename = "B", rename_all(serialize = "camelCase"))]
        struct A<'m> {
            #[serde(skip_serializing_if = "f", serialize_with = "g", rename(serialize = "z"))]
            a: u8,
            #[serde(borrow)]
            b: Cow<'m, str>,
        }
    "#;
    let text = |source| expand(&syn::parse_str(source).unwrap()).unwrap().to_string();
    assert_eq!(text(plain), text(decorated));
}
