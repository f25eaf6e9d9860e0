//! Listeners that a supervisor binds once and every child uses.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use twinflow_connectors::{listen::fits, rest::Rest};

use super::{
    audit::Audit,
    keys,
    mount::{Binding, Doors, Mounts},
    run::{listen, open_to_all},
};
use crate::{
    config::{Config, ConnectionConfig},
    error::{Error, ErrorKind, Result},
    supervisor::Listener,
};

/// The name of the API's listener; connections have the others.
const API: &str = "";

/// Binds everything that the server listens on.
///
/// # Errors
///
/// An address is taken or may not be used, or the keys cannot be read.
pub(super) fn bind(config: &Config, insecure: bool) -> Result<Vec<Listener>> {
    let access = keys::open(&config.server, &Arc::new(Audit::new(&config.state.dir)))?;
    let doors = Doors { access, insecure };
    open_to_all(config, &doors)?;
    drop(Mounts::of(&config.connections, Binding::Now, &doors)?);
    let (api, _address) = listen(config)?;
    let mut all = vec![(API.to_owned(), api)];
    for connection in &config.connections {
        let listener = rest(connection).map(Rest::listener).transpose().map_err(|error| {
            let what = format!("connection \"{}\": its listener cannot be kept", connection.name);
            Error::new(ErrorKind::Unavailable, what).because(error)
        })?;
        all.extend(listener.flatten().map(|listener| (connection.name.clone(), listener)));
    }
    Ok(all)
}

/// Gives every connection its listener; gives back that of the API. What the file no longer says is
/// closed, and bound anew where it says.
pub(super) fn adopt(
    config: &Config,
    inherited: Vec<Listener>,
) -> Option<(TcpListener, SocketAddr)> {
    let mut api = None;
    for (name, listener) in inherited {
        let Ok(address) = listener.local_addr() else { continue };
        if name == API {
            api = fits(config.server.listen, address).then_some((listener, address));
        } else if let Some(rest) =
            config.connections.iter().find(|known| known.name == name).and_then(rest)
        {
            rest.adopt(listener);
        }
    }
    api
}

fn rest(connection: &ConnectionConfig) -> Option<&Rest> {
    connection.connector.as_any().downcast_ref()
}
