//! How a process ends when it must (laws F1, P5, D11).

use std::sync::Once;

use twinflow_operators::in_guarded_call;

use crate::error::ErrorKind;

static HOOK: Once = Once::new();

/// A panic in a worker or in the log ends the process with its own code; one inside a guarded call
/// of user code is an error of that call, and one in a connector's task ends that connection.
pub(super) fn install_panic_hook() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if in_guarded_call() {
                // The text may quote a message; it is in the dead letter, and in no log (S17).
                let at = panic.location().map(ToString::to_string);
                tracing::debug!(at, "a processor panicked; its messages become dead letters");
                tracing::trace!(%panic, "a processor panicked");
                return;
            }
            before(panic);
            let ends = std::thread::current().name().is_some_and(|name| {
                let own = ["timely:", "twinflow:log", "twinflow:view"];
                own.iter().any(|start| name.starts_with(start))
            });
            if ends {
                exit(ErrorKind::Broken);
            }
        }));
    });
}

/// The store cannot go on: nothing that is not durable may be acknowledged, so the process ends.
#[cfg(feature = "local-log")]
pub(super) fn store_failed(
    error: twinflow_operators::store::StoreError,
    supervision: &super::supervision::Supervision,
) {
    let error = crate::error::Error::from(error);
    if error.kind() == ErrorKind::Fenced {
        (supervision.tell)(super::supervision::Report::Final);
    }
    tracing::error!(error = error.report(), "the store failed; the process ends");
    exit(error.kind());
}

/// A worker does not get on: whatever it works off, nothing of its twins goes on either (law F4).
pub(super) fn stalled(worker: usize, twin: Option<(String, String)>, stall_secs: u64) {
    let what = "the process ends";
    match twin {
        Some((model, twin)) => {
            tracing::error!(worker, model, twin, stall_secs, "a call does not return; {what}");
        }
        None => {
            tracing::error!(worker, stall_secs, "a worker does not return from a step; {what}");
        }
    }
    exit(ErrorKind::Broken);
}

/// A model with the policy `halt` failed.
pub(super) fn halted(why: &str) {
    tracing::error!(why, "a model with on_failure = \"halt\" failed; the process ends");
    exit(ErrorKind::Halted);
}

fn exit(kind: ErrorKind) -> ! {
    std::process::exit(i32::from(kind.exit_code()))
}
