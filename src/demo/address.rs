//! Where the engine of the demonstration listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::error::{Error, ErrorKind, Result};

/// The port of `twinflow run`.
const USUAL_PORT: u16 = 7700;

/// Binds the wanted address; without one the usual port, or else any that is free.
///
/// # Errors
///
/// The wanted address is taken, or is not of this machine alone.
pub(super) fn bind(wanted: Option<SocketAddr>) -> Result<TcpListener> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = match wanted {
        Some(address) if !address.ip().is_loopback() => {
            let what = format!(
                "listen on {address}: other machines could reach it, and the demonstration checks \
                 nobody; use a loopback address like {}",
                at(USUAL_PORT)
            );
            return Err(Error::new(ErrorKind::Usage, what));
        }
        Some(address) => listen(address),
        // Below the ports that the system gives to callers, so that after a kill it is still free.
        None => (USUAL_PORT..USUAL_PORT + 20)
            .step_by(2)
            .chain([0])
            .map(|port| listen(at(port)))
            .find_map(Result::ok)
            .map_or_else(|| listen(at(0)), Ok),
    };
    let listener = bound?;
    listener.set_nonblocking(true).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "could not use the listener").because(error)
    })?;
    Ok(listener)
}

/// The address of a listener, with the port that the system chose.
pub(super) fn of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the listener has no address").because(error)
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("could not listen on {address}")).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_if_it_was_wanted_and_passed_over_otherwise() {
        let first = bind(None).unwrap();
        let taken = of(&first).unwrap();
        let error = bind(Some(taken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        let second = bind(None).unwrap();
        assert_ne!(of(&second).unwrap(), taken);
    }

    #[test]
    fn only_this_machine_is_served() {
        let error = bind(Some("0.0.0.0:7700".parse().unwrap())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
