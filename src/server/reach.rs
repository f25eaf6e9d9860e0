//! Asks the upstreams of connections whether they are there, all at the same time.

use twinflow_connectors::Reached;

use super::run::runtime;
use crate::{
    config::ConnectionConfig,
    error::{Error, ErrorKind, Result},
};

/// What became of one.
pub(super) struct Answer {
    pub(super) name: String,
    /// Where it is, if that is an address.
    pub(super) address: Option<String>,
    pub(super) reached: Result<Reached>,
}

/// Asks these connections, in their order.
///
/// # Errors
///
/// This process has no threads for it.
pub(super) fn all(connections: Vec<ConnectionConfig>) -> Result<Vec<Answer>> {
    let runtime = runtime()?;
    let asked: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let settings = connection.options.for_engine(&*connection.connector);
            let name = connection.name;
            let mut one = connection.connector.into_connection(&name, settings);
            let address = one.connector.about().address;
            let task = runtime.spawn(async move { one.connector.reach().await });
            (name, address, task)
        })
        .collect();
    let answers = asked.into_iter().map(|(name, address, task)| {
        let reached = match runtime.block_on(task) {
            Ok(reached) => reached.map_err(|error| {
                // Who is away may come back; what is refused, a person has to change.
                let kind = match error.is_retryable() {
                    true => ErrorKind::Unavailable,
                    false => ErrorKind::Misconfigured,
                };
                Error::new(kind, format!("connection \"{name}\"")).because(error)
            }),
            Err(panicked) => {
                let what = format!("connection \"{name}\"");
                Err(Error::new(ErrorKind::Broken, what).because(panicked.to_string()))
            }
        };
        Answer { name, address, reached }
    });
    let answers = answers.collect();
    // A client that still waits for a broker is not waited for.
    runtime.shutdown_background();
    Ok(answers)
}
