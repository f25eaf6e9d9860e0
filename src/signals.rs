//! SIGINT and SIGTERM: the first drains, the second ends at once (law F2).

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, ErrorKind, Result};

/// Waits until somebody asks the process to stop.
///
/// # Errors
///
/// The operating system refuses to tell.
pub(crate) async fn stop_asked() -> Result<()> {
    listen()?.await;
    Ok(())
}

/// Listens from now on, within a runtime: a signal that comes before the future is awaited is not
/// missed, and does not end the process.
///
/// # Errors
///
/// The operating system refuses to tell.
pub(crate) fn listen() -> Result<impl Future<Output = ()>> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "could not listen for signals").because(error)
        })
    };
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// From here on the next signal ends the process without another word.
pub(crate) fn exit_on_the_next(runtime: &tokio::runtime::Handle) {
    drop(runtime.spawn(async {
        if stop_asked().await.is_ok() {
            std::process::exit(130);
        }
    }));
}
