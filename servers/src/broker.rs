//! A broker for MQTT 3.1.1 and 5, plain and with client certificates, whichever it is.

use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
};

use crate::{
    certificates,
    error::ServerError,
    place::{self, Folder, Place},
    process::Process,
};

/// A broker with its sessions on disk.
#[derive(Debug)]
pub struct MqttBroker {
    process: Option<Process>,
    folder: Folder,
    ports: Ports,
    program: Program,
}

/// Where a broker takes anybody, and where it speaks TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) tls: u16,
}

/// How a broker is run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Run in the broker's folder.
    pub(crate) command: Vec<String>,
    /// The error when it is not there.
    pub(crate) needs: &'static str,
}

impl MqttBroker {
    /// Starts what `prepare` makes ready in the folder of a place.
    pub(crate) fn start_at(
        place: &Place,
        fixed: Ports,
        prepare: impl FnOnce(&Path, Ports) -> Result<Program, ServerError>,
    ) -> Result<Self, ServerError> {
        let folder = Folder::of(place)?;
        certificates::make(folder.path())?;
        let ports = match place {
            Place::Own => {
                let [plain, tls] = place::free_ports()?;
                Ports { plain, tls }
            }
            Place::Fixed(_) => fixed,
        };
        let program = prepare(folder.path(), ports)?;
        let mut broker = Self { process: None, folder, ports, program };
        broker.start_again()?;
        Ok(broker)
    }

    /// Where it takes anybody.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.plain))
    }

    /// Where it speaks TLS and wants a client certificate.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.tls))
    }

    /// Folder with `ca.pem`, `client.crt` and `client.key`.
    #[must_use]
    pub fn certificates(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL.
    ///
    /// # Errors
    ///
    /// When it does not go.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not go.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        self.process.take().map_or(Ok(()), |mut process| process.stop())
    }

    /// Starts it on its old data and ports, after [`kill`](Self::kill) or [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        let Program { name, command, needs } = &self.program;
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let process = place::spawn(&command, self.folder.path(), self.folder.stays(), needs)?;
        let addresses = [self.address(), self.tls_address()];
        self.process.insert(process).until_up(name, |log| {
            !log.contains("ddress already in use")
                && addresses.iter().all(|address| TcpStream::connect(address).is_ok())
        })
    }
}
