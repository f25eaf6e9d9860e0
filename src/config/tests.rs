//! The file as a whole: what is read, what is refused and in which words.

mod good;
#[cfg(all(feature = "kafka", feature = "mqtt"))]
mod page;
mod wrong;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{models::ModelKinds, prelude::*};

/// A model with one setting.
#[derive(Deserialize)]
struct Turbine {
    limit_celsius: f64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State;

impl TwinModel for State {
    type Message<'m> = serde_json::Value;
}

impl MessageProcessor for Turbine {
    type Model = State;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        _: &mut State,
        _: Messages<'_, serde_json::Value>,
    ) -> ProcessingResult {
        assert!(self.limit_celsius > 0.0);
        Ok(Outcome::Update)
    }
}

fn kinds() -> Registries {
    Registries {
        #[cfg(feature = "live-views")]
        views: Vec::new(),
        models: ModelKinds::new().with::<Turbine>("wind-turbine"),
        connectors: ConnectorKinds::stock(),
    }
}

fn load(text: &str, environment: &Environment) -> Result<Config, String> {
    load_with(text, environment, &Flags::default())
}

fn load_with(text: &str, environment: &Environment, flags: &Flags) -> Result<Config, String> {
    let file = Path::new("twinflow.toml");
    Config::of_text(file, text, flags, environment, &kinds()).map_err(|error| error.to_string())
}
