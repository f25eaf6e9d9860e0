//! REST connections of a configuration: which one is mounted, where the others listen.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use twinflow_connectors::{
    error::{ConnectorError, ErrorKind as Kind},
    rest::{Rest, access::Access},
};

use crate::{
    config::ConnectionConfig,
    error::{Error, ErrorKind, Result},
};

/// What a server needs of its REST connections.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Every REST connection by its name: their 404 names the address of the API.
    pub(super) all: Vec<(String, Rest)>,
    /// Name and routes of the one without a listener of its own.
    pub(super) mounted: Option<(String, Router)>,
    /// Names and addresses of the others.
    pub(super) listening: Vec<(String, SocketAddr)>,
    /// Those of them that everybody may use.
    pub(super) exposed: Vec<(String, SocketAddr)>,
}

/// Whom listeners let in.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    /// The keys.
    pub(super) access: Option<Arc<Access>>,
    /// Whether a listener may be open to all.
    pub(super) insecure: bool,
}

impl Mounts {
    /// Finds them and binds their listeners, so that a port in use is an error before the engine
    /// starts. `bind`: a validation binds nothing.
    pub(super) fn of(
        connections: &[ConnectionConfig],
        bind: Binding,
        doors: &Doors,
    ) -> Result<Self> {
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
            } else {
                // One that is disabled may be resumed later, and then asks for the same keys.
                mounts.exposed.extend(doors.open(rest, name)?);
                let bound = match bind {
                    Binding::Now if connection.options.enabled() => {
                        rest.bind().map_err(|error| cannot_listen(name, error))?
                    }
                    _ => None,
                };
                mounts.listening.extend(bound.map(|address| (name.clone(), address)));
            }
            mounts.all.push((name.clone(), rest.clone()));
        }
        Ok(mounts)
    }
}

impl Doors {
    /// Gives a connection its keys; its name and address if everybody may use it.
    fn open(&self, rest: &Rest, name: &str) -> Result<Option<(String, SocketAddr)>> {
        self.access.iter().for_each(|access| rest.protect(Arc::clone(access)));
        let address = rest.listens_on().map_err(|error| cannot_listen(name, error))?;
        let Some((address, why)) = address.and_then(|at| Some((at, rest.exposed(at)?))) else {
            return Ok(None);
        };
        if !self.insecure {
            let error = ConnectorError::new(Kind::Misconfigured, why);
            return Err(cannot_listen(name, error));
        }
        rest.listen_insecurely();
        Ok(Some((name.to_owned(), address)))
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
