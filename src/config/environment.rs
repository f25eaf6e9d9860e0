//! The environment: what references name, and keys that are set by it.

use std::collections::BTreeMap;

use super::{
    error::{ConfigError, Place},
    node::{Node, Value},
};

/// What a variable that sets a key begins with: `TWINFLOW__STATE__DIR`.
const PREFIX: &str = "TWINFLOW__";

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process; what is not UTF-8 is left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Sets a variable.
    #[cfg(test)]
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets keys of `root` from the variables that name them.
    pub(crate) fn override_keys(&self, root: &mut Node) -> Result<(), ConfigError> {
        for (name, value) in &self.0 {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let place = Place::Environment(name.clone());
                let path: Vec<_> = path.split("__").collect();
                set(root, &path, value, &place).map_err(|error| error.at(&place))?;
            }
        }
        Ok(())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

fn set(node: &mut Node, path: &[&str], value: &str, place: &Place) -> Result<(), ConfigError> {
    let Some((first, rest)) = path.split_first() else {
        *node =
            Node::new(Value::Text { text: value.to_owned().into(), loose: true }, place.clone());
        return Ok(());
    };
    if first.is_empty() {
        return Err(ConfigError::new("a key between two \"__\" is empty"));
    }
    let kind = node.kind();
    let Some(table) = node.as_table_mut() else {
        return Err(ConfigError::new(format!("this sets a key inside of {kind}")));
    };
    // A variable's name has neither small letters nor dashes: `WIND_1` finds the key `wind-1`.
    let key = |key: &str| key.to_lowercase().replace('-', "_");
    let known = table.keys().find(|known| key(known) == first.to_lowercase()).cloned();
    let name = known.unwrap_or_else(|| first.to_lowercase());
    let below = table.entry(name.clone()).or_insert_with(|| Node::table(place.clone()));
    set(below, rest, value, place).map_err(|error| error.below(name))
}

/// Sets a key as a flag does; flags win over everything.
pub(crate) fn set_flag(root: &mut Node, path: &[&str], value: &str, flag: &'static str) {
    let set = set(root, path, value, &Place::Flag(flag));
    debug_assert!(set.is_ok(), "flags name keys of top-level sections");
}
