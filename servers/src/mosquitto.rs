//! Mosquitto: MQTT 3.1.1 and 5, plain and with client certificates.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::{
    broker::{MqttBroker, Ports, Program},
    error::ServerError,
    place::{self, Place},
    process,
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

/// A broker that drops nothing from its queues and writes its sessions to its disk.
#[derive(Clone, Copy, Debug)]
pub struct Mosquitto;

impl Mosquitto {
    /// On free ports.
    ///
    /// # Errors
    ///
    /// When Mosquitto or openssl is missing, and when it does not come up.
    pub fn start(options: Options) -> Result<MqttBroker, ServerError> {
        place::with_free_ports(|| Self::start_at(&Place::Own, options))
    }

    /// At a place; the fixed ports are 18830 and 18831 (TLS).
    ///
    /// # Errors
    ///
    /// As [`Mosquitto::start`].
    pub fn start_at(place: &Place, options: Options) -> Result<MqttBroker, ServerError> {
        let fixed = Ports { plain: 18_830, tls: 18_831 };
        MqttBroker::start_at(place, fixed, |folder, ports| {
            let file = folder.join("mosquitto.conf");
            let failed = |error| ServerError::io("write", &file, &error);
            fs::create_dir(folder.join("store")).map_err(failed)?;
            fs::write(&file, settings(folder, ports, options)).map_err(failed)?;
            // Debian keeps it where users who are not root do not look.
            let on_path = process::exists("mosquitto");
            let program = if on_path { "mosquitto" } else { "/usr/sbin/mosquitto" };
            let command = [program, "-c", "mosquitto.conf"].map(str::to_owned).into();
            Ok(Program { name: "Mosquitto", command, needs: NEEDS })
        })
    }
}

fn settings(folder: &Path, Ports { plain, tls }: Ports, options: Options) -> String {
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
