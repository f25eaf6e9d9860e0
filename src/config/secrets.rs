//! Secrets do not stand in the file: whoever may read a configuration is not whoever may log in.
//!
//! A settings type marks one in its schema with `writeOnly`, as JSON Schema calls what is taken and
//! never given back.

use serde_json::Value as Json;

use super::{
    Registries,
    error::{ConfigError, Place},
    kinds::ConnectorKind,
    model::kind_of,
    node::{Node, Value},
};
use crate::models::ModelKind;

/// What a secret that stands in the file is shown as.
const HIDDEN: &str = "***";

type Each<'e> = &'e mut dyn FnMut(&mut Node) -> Result<(), ConfigError>;

/// Refuses secrets whose text is written in the file itself. What a reference names, or a variable
/// of the environment sets, is somewhere else.
pub(super) fn refuse_written(node: &mut Node, schema: &Json) -> Result<(), ConfigError> {
    visit(node, (schema, schema), &mut |secret| {
        let sentence = "a secret in the file itself can be read by everybody who may read the \
                        file; write \"${file:PATH}\" or \"${env:NAME}\"";
        Err(ConfigError::new(sentence).at(&secret.place))
    })
}

/// Lets them be, and hides their text wherever settings are shown.
pub(super) fn hide_written(tree: &mut Node, kinds: &Registries) {
    for section in ["models", "connections"] {
        let named = tree.as_table_mut().and_then(|root| root.get_mut(section));
        let named = named.and_then(Node::as_table_mut).into_iter().flatten();
        for (_, node) in named {
            let kind = kind_of(node).unwrap_or_default();
            let schema = match section {
                "models" => kinds.models.get(&kind).and_then(ModelKind::settings_schema),
                _ => kinds.connectors.get(&kind).map(ConnectorKind::schema),
            };
            let mut hide = |secret: &mut Node| {
                secret.reference = Some(HIDDEN.to_owned());
                Ok(())
            };
            let hidden = schema.map_or(Ok(()), |schema| visit(node, (schema, schema), &mut hide));
            hidden.expect("to hide never fails");
        }
    }
}

/// Calls `each` for every secret that is written in the file. `about` is the part of the schema
/// that tells of the node.
fn visit(
    node: &mut Node,
    (about, schema): (&Json, &Json),
    each: Each<'_>,
) -> Result<(), ConfigError> {
    if about.get("writeOnly") == Some(&Json::Bool(true)) {
        let is_written = node.reference.is_none() && matches!(node.place, Place::File(..));
        if is_written {
            each(node)?;
        }
    }
    match &mut node.value {
        Value::Table(table) => {
            for (key, below) in table {
                let own = about.get("properties").and_then(|properties| properties.get(key));
                if let Some(about) = own.or_else(|| about.get("additionalProperties")) {
                    visit(below, (about, schema), each).map_err(|error| error.below(key))?;
                }
            }
        }
        Value::List(list) => {
            if let Some(about) = about.get("items") {
                list.iter_mut().try_for_each(|below| visit(below, (about, schema), each))?;
            }
        }
        _ => {}
    }
    elsewhere(about, schema).try_for_each(|about| visit(node, (about, schema), each))
}

/// What a part of a schema says by naming other parts.
fn elsewhere<'s>(about: &'s Json, schema: &'s Json) -> impl Iterator<Item = &'s Json> {
    let named = about.get("$ref").and_then(Json::as_str);
    let named = named.and_then(|place| schema.pointer(place.strip_prefix('#')?));
    let parts = ["anyOf", "oneOf", "allOf"].into_iter();
    named.into_iter().chain(parts.filter_map(|key| about.get(key)?.as_array()).flatten())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;

    use super::super::{Environment, parse::parse};
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "for its schema")]
    struct Settings {
        name: String,
        login: Option<Login>,
        others: Vec<Login>,
        by_name: BTreeMap<String, Login>,
        #[schemars(extend("writeOnly" = true))]
        token: String,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "for its schema")]
    struct Login {
        user: String,
        #[schemars(extend("writeOnly" = true))]
        password: String,
    }

    fn refused(text: &str) -> Option<String> {
        let environment = Environment::from([("P", "hunter2")]);
        let mut tree = parse(&"f".into(), text, &environment).unwrap();
        let schema = Json::from(schemars::schema_for!(Settings));
        refuse_written(&mut tree, &schema).err().map(|error| error.to_string())
    }

    #[test]
    fn s14_a_secret_in_the_file_is_refused_wherever_it_stands() {
        for (key, text) in [
            ("token", "token = \"hunter2\""),
            ("token", "token = \"$${env:P}\""),
            ("token", "token = 5"),
            ("login.password", "login = { user = \"a\", password = \"hunter2\" }"),
            ("password", "others = [{ password = \"hunter2\" }]"),
            ("by_name.x.password", "[by_name.x]\npassword = \"\""),
        ] {
            let refused = refused(text).unwrap_or_else(|| panic!("{text}"));
            assert!(refused.contains(key) && refused.contains("write \"${file:PATH}\""));
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let good = "name = \"hunter2\"\ntoken = \"${env:P}\"\nlogin = { user = \"a\", \
                    password = \"x-${env:P}\" }\nunknown = 1\n";
        assert_eq!(refused(good), None);
    }

    #[test]
    fn s15_what_a_reference_stood_for_is_not_in_the_debug_form_of_the_file() {
        let environment = Environment::from([("P", "hunter2")]);
        let tree = parse(&"f".into(), "a = [\"${env:P}\"]\nb = \"plain\"", &environment).unwrap();
        let shown = format!("{tree:?}");
        assert!(shown.contains("${env:P}"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("plain"), "no text: {shown}");
    }
}
