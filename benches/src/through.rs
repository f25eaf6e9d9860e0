//! W1 through a real broker: the same records as messages of its, drained by its bare client and
//! through the engine.
//!
//! Estimate: see the broker's file. The bare client applies W1 where it polls; it stands in for
//! the limit, and its line is called so.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(any(feature = "kafka", feature = "mqtt"))]
mod side;

use crate::Result;
use crate::args::{Options, Through, value};
use crate::system::System;

/// Messages of a run through MQTT that nothing else is said of: a session is filled before each.
const MQTT_MESSAGES: u64 = 200_000;

/// The options as a run through `through` takes them, and its bare client and engine, or the one of
/// them that is asked for.
pub(crate) fn systems(
    options: &Options,
    through: Through,
) -> Result<(Options, Vec<Box<dyn System>>)> {
    if options.passes.is_some() || options.profile {
        return Err("--passes and --profile are not for w1 --through".into());
    }
    let mut options = options.clone();
    if through == Through::Mqtt {
        options.messages = options.messages.or(Some(MQTT_MESSAGES));
    }
    let systems = sides(&options, through)?;
    Ok((options, systems))
}

fn sides(options: &Options, through: Through) -> Result<Vec<Box<dyn System>>> {
    match through {
        Through::Rest => Err(format!("w1 goes through kafka or mqtt, not {}", value(&through))),
        #[cfg(feature = "kafka")]
        Through::Kafka => Ok(side::sides(options, || kafka::Topic::of(options))),
        #[cfg(feature = "mqtt")]
        Through::Mqtt => Ok(side::sides(options, || mqtt::Session::of(options))),
        #[cfg(not(all(feature = "kafka", feature = "mqtt")))]
        _ => {
            let (name, broker) = (value(&through), options.broker.as_deref().unwrap_or("a broker"));
            Err(format!("no client for {broker} in this build; build with --features {name}"))
        }
    }
    .map_err(Into::into)
}
