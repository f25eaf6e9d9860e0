//! The log thread: takes what has gathered, writes it, reports it durable, rings.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use twinflow_operators::store::StoreError;

use super::options::LogOptions;
use super::queue::{Queue, Work};
use super::writer::Writer;
use crate::fail_points;

/// How much longer than any other frame the first one of a generation stays unsealed.
const FIRST_SEAL: u32 = 10;

/// Starts it. A failed write or sync ends it; `on_failure` is called once, and nothing that was
/// not reported durable before ever is.
pub(super) fn spawn(
    mut writer: Writer,
    queue: Arc<Queue>,
    options: &LogOptions,
) -> io::Result<JoinHandle<()>> {
    let (seal_after, on_failure) = (options.seal_after, Arc::clone(&options.on_failure));
    Builder::new().name("twinflow:log".into()).spawn(move || {
        if let Err(error) = run(&mut writer, &queue, seal_after) {
            queue.fail();
            on_failure(writer.claim.behind(error));
        }
    })
}

fn run(writer: &mut Writer, queue: &Queue, seal_after: Duration) -> Result<(), StoreError> {
    let (mut sealed, mut closed) = (false, false);
    // The first frame of a generation proves all before it, and nothing was acknowledged with it.
    // To seal it while twins are loaded would only make the first epoch wait.
    let mut unsealed_for = FIRST_SEAL * seal_after;
    loop {
        match queue.next((!sealed).then_some(unsealed_for), closed) {
            Work::Epochs(epochs) => {
                if fail_points::makes("ack-first") {
                    queue.written(BTreeMap::new());
                }
                writer.epochs(&epochs)?;
                (sealed, closed, unsealed_for) = (false, false, seal_after);
                queue.written(epochs);
                fail_points::pass("group-reported");
            }
            Work::Seal(durable) => {
                writer.seal(durable)?;
                writer.prove_idle()?;
                sealed = true;
            }
            Work::Close(durable) => {
                if !sealed {
                    writer.seal(durable)?;
                }
                writer.prove()?;
                (sealed, closed) = (true, true);
            }
            Work::Stop => return Ok(()),
        }
    }
}
