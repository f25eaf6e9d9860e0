//! `twinflow version`.

use serde_json::json;

use super::output::{OutputArgs, text};
use crate::error::Result;

pub(super) fn run(output: &OutputArgs) -> Result<()> {
    let version = json!({ "name": "twinflow", "version": env!("CARGO_PKG_VERSION") });
    output.show(&version, |json| format!("{} {}\n", text(json, "name"), text(json, "version")))
}
