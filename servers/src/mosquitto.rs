//! Mosquitto: MQTT 3.1.1 and 5, plain and with client certificates.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{
    certificates,
    error::ServerError,
    place::{self, Folder, Place},
    process::{self, Process},
};

const NEEDS: &str = "mosquitto is not there: apt-get install --no-install-recommends mosquitto";

/// Settings of a [`Mosquitto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Messages that it sends to a client before the first of them is acknowledged. Default 1000.
    pub max_inflight: u32,
    /// Whether every change goes to the disk, for tests that kill it; it is slow with many messages
    /// waiting. Without it, only a stop writes. Default true.
    pub autosave: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_inflight: 1000, autosave: true }
    }
}

/// A broker that drops nothing from its queues and writes every change of a session to its disk.
#[derive(Debug)]
pub struct Mosquitto {
    process: Option<Process>,
    folder: Folder,
    ports: [u16; 2],
}

impl Mosquitto {
    /// On free ports.
    ///
    /// # Errors
    ///
    /// When Mosquitto or openssl is missing, and when it does not come up.
    pub fn start(options: Options) -> Result<Self, ServerError> {
        place::with_free_ports(|| Self::start_at(&Place::Own, options))
    }

    /// At a place; the fixed ports are 18830 and 18831 (TLS).
    ///
    /// # Errors
    ///
    /// As [`Mosquitto::start`].
    pub fn start_at(place: &Place, options: Options) -> Result<Self, ServerError> {
        let folder = Folder::of(place)?;
        certificates::make(folder.path())?;
        let ports = match place {
            Place::Own => place::free_ports()?,
            Place::Fixed(_) => [18_830, 18_831],
        };
        let file = folder.path().join("mosquitto.conf");
        let failed = |error| ServerError::io("write", &file, &error);
        fs::create_dir(folder.path().join("store")).map_err(failed)?;
        fs::write(&file, settings(folder.path(), ports, options)).map_err(failed)?;
        let mut broker = Self { process: None, folder, ports };
        broker.start_again()?;
        Ok(broker)
    }

    /// Where it takes anybody.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Where it speaks TLS and wants a client certificate.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[1]))
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
        // Debian keeps it where users who are not root do not look.
        let name = if process::exists("mosquitto") { "mosquitto" } else { "/usr/sbin/mosquitto" };
        let command = [name, "-c", "mosquitto.conf"];
        let (folder, stays) = (self.folder.path().to_path_buf(), self.folder.stays());
        let process = self.process.insert(place::spawn(&command, &folder, stays, NEEDS)?);
        let addresses = self.ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        process.until_up("Mosquitto", |log| {
            !log.contains("ddress already in use")
                && addresses.iter().all(|address| TcpStream::connect(address).is_ok())
        })
    }
}

fn settings(folder: &Path, ports: [u16; 2], options: Options) -> String {
    let [plain, tls] = ports;
    // As root it would change to a user of its own, who may not read the key.
    let is_root = fs::metadata(folder).is_ok_and(|it| it.uid() == 0);
    let user = if is_root { "user root\n" } else { "" };
    let at = folder.display();
    let autosave =
        if options.autosave { "autosave_interval 1\nautosave_on_changes true\n" } else { "" };
    format!(
        "{user}per_listener_settings true\nlistener {plain} 127.0.0.1\nallow_anonymous true\n\
         listener {tls} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/server.crt\n\
         keyfile {at}/server.key\nrequire_certificate true\nuse_identity_as_username true\n\
         max_inflight_messages {}\nmax_queued_messages 0\npersistence true\n\
         persistence_location {at}/store/\n{autosave}set_tcp_nodelay true\n",
        options.max_inflight
    )
}
