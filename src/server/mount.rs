//! REST connections of a configuration: which one is mounted, where the others listen.

use std::net::SocketAddr;

use axum::Router;
use twinflow_connectors::{
    error::{ConnectorError, ErrorKind as Kind},
    rest::Rest,
};

use crate::{
    config::ConnectionConfig,
    error::{Error, ErrorKind, Result},
};

/// What a server needs of its REST connections.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Every REST connection: their 404 names the address of the API.
    pub(super) all: Vec<Rest>,
    /// Name and routes of the one without a listener of its own.
    pub(super) mounted: Option<(String, Router)>,
    /// Names and addresses of the others.
    pub(super) listening: Vec<(String, SocketAddr)>,
}

impl Mounts {
    /// Finds them and binds their listeners, so that a port in use is an error before the engine
    /// starts. `bind`: a validation binds nothing.
    pub(super) fn of(connections: &[ConnectionConfig], bind: Binding) -> Result<Self> {
        let mut mounts = Self::default();
        for connection in connections {
            let Some(rest) = connection.connector.as_any().downcast_ref::<Rest>() else {
                continue;
            };
            let name = &connection.name;
            if rest.needs_mounting() {
                if let Some((other, _)) = &mounts.mounted {
                    let what = format!(
                        "connections \"{other}\" and \"{name}\" are both without a listener of \
                         their own; give one of them a \"listen\" address"
                    );
                    return Err(Error::misconfigured(what));
                }
                mounts.mounted = Some((name.clone(), rest.router()));
            } else if bind == Binding::Now && connection.options.enabled() {
                let address = rest.bind().map_err(|error| cannot_listen(name, error))?;
                mounts.listening.extend(address.map(|address| (name.clone(), address)));
            }
            mounts.all.push(rest.clone());
        }
        Ok(mounts)
    }
}

/// Whether listeners are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// They are, and given up when the mounts are dropped unused.
    Now,
    /// They are not.
    Never,
}

fn cannot_listen(name: &str, error: ConnectorError) -> Error {
    let kind = match error.kind() {
        Kind::Unreachable => ErrorKind::Unavailable,
        _ => ErrorKind::Misconfigured,
    };
    Error::new(kind, format!("connection \"{name}\"")).because(error)
}
