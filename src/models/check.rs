//! Checks of single settings, run while they are read so that an error names the key.

use serde::{Deserialize, Deserializer, de::Error};

/// A number that is neither infinite nor "not a number", which TOML can both write.
pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Error::custom(format!("a limit of {number} is never reached; give a finite number")))
    }
}

/// A JSON pointer (RFC 6901): empty, or parts that each begin with a slash.
pub(super) fn json_pointer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let pointer = String::deserialize(deserializer)?;
    if pointer.is_empty() || pointer.starts_with('/') {
        Ok(pointer)
    } else {
        Err(Error::custom(format!(
            "\"{pointer}\" is no JSON pointer, those begin with a slash: \"/{pointer}\""
        )))
    }
}
