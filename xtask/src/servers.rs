//! `cargo xtask servers up|down`: the brokers of the tests, on fixed ports, for work by hand.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use twinflow_servers::{
    ALICE, Artemis, CONNECTION_STRING, Kafka, Mosquitto, Options, Place, ServerError, end_all,
};

use crate::cargo;
use crate::error::{Error, Result};

/// A server, where its clients find it, and how it starts in a folder.
struct Server {
    folder: &'static str,
    name: &'static str,
    ports: &'static [u16],
    addresses: &'static str,
    start: fn(&Place) -> std::result::Result<(), ServerError>,
}

const SERVERS: &[Server] = &[
    Server {
        folder: "mosquitto",
        name: "Mosquitto",
        ports: &[18_830, 18_831],
        addresses: "mqtt://127.0.0.1:18830, mqtts://127.0.0.1:18831",
        start: |place| Mosquitto::start_at(place, Options::default()).map(drop),
    },
    Server {
        folder: "artemis",
        name: "Artemis",
        ports: &[18_840, 18_841],
        addresses: "mqtt://127.0.0.1:18840, mqtts://127.0.0.1:18841",
        start: |place| Artemis::start_at(place).map(drop),
    },
    Server {
        folder: "kafka",
        name: "Kafka, one node",
        ports: &[19_092, 19_094, 19_095],
        addresses: "127.0.0.1:19092, SASL_SSL :19094, SASL_PLAINTEXT :19095",
        start: |place| Kafka::start_at(place, 1).map(drop),
    },
    Server {
        folder: "kafka-3",
        name: "Kafka, three nodes",
        ports: &[19_192, 19_292, 19_392, 19_194, 19_294, 19_394, 19_195, 19_295, 19_395],
        addresses: "127.0.0.1:19192,127.0.0.1:19292,127.0.0.1:19392, SASL_SSL :19194,:19294,\
                    :19394, SASL_PLAINTEXT :19195,:19295,:19395",
        start: |place| Kafka::start_at(place, 3).map(drop),
    },
];

/// `up` or `down`.
///
/// # Errors
///
/// When the word is another one, and when a server does not start or end.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let folder = cargo::root().join("target/servers/run");
    match arguments {
        ["up"] => up(&folder),
        ["down"] => down(&folder),
        _ => Err(Error::usage("write `cargo xtask servers up` or `cargo xtask servers down`")),
    }
}

fn up(folder: &Path) -> Result<()> {
    for server in SERVERS {
        let own = folder.join(server.folder);
        if server.ports.iter().all(|port| answers(*port)) && own.is_dir() {
            println!("{}: is up: {}", server.name, server.addresses);
            continue;
        }
        // Half of it may be there still.
        end(&own)?;
        if let Some(port) = server.ports.iter().find(|port| answers(**port)) {
            let name = server.name;
            return Err(Error::failed(format!("{name}: port {port} belongs to another program")));
        }
        let place = Place::Fixed(own);
        (server.start)(&place).map_err(|error| Error::failed(error.to_string()))?;
        println!("{}: started: {}", server.name, server.addresses);
    }
    println!("Authorities: ca.pem in {}/NAME;", folder.display());
    println!("client certificates for mqtts: client.crt and client.key beside it, for example");
    println!("    {}", folder.join("mosquitto/client.crt").display());
    println!("SASL SCRAM-SHA-512: user {}, password {}", ALICE.0, ALICE.1);
    println!("SASL PLAIN: user {}, password {}", CONNECTION_STRING.0, CONNECTION_STRING.1);
    println!("end them with `cargo xtask servers down`");
    Ok(())
}

fn down(folder: &Path) -> Result<()> {
    let ended = end(folder)?;
    println!("processes ended: {ended}");
    Ok(())
}

fn end(folder: &Path) -> Result<usize> {
    end_all(folder).map_err(|error| Error::failed(error.to_string()))
}

fn answers(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_word_is_a_wrong_call() {
        assert!(run(&[]).is_err() && run(&["up", "down"]).is_err() && run(&["start"]).is_err());
    }

    #[test]
    fn no_two_servers_share_a_port_or_a_folder() {
        let mut ports: Vec<_> = SERVERS.iter().flat_map(|server| server.ports).collect();
        let all = ports.len();
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), all);
        let folders: std::collections::BTreeSet<_> = SERVERS.iter().map(|it| it.folder).collect();
        assert_eq!(folders.len(), SERVERS.len());
    }
}
