//! ActiveMQ Artemis: a broker that gives new packet ids to what it sends again, and no DUP flag.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use crate::{
    certificates,
    error::ServerError,
    jars,
    place::{self, Folder, Place},
    process::Process,
};

const VERSION: &str = "2.55.0";

/// A broker for MQTT 3.1.1 and 5 with its journal on disk.
#[derive(Debug)]
pub struct Artemis {
    process: Option<Process>,
    folder: Folder,
    ports: [u16; 2],
    class_path: String,
}

impl Artemis {
    /// On free ports.
    ///
    /// # Errors
    ///
    /// When Java, Maven or openssl is missing, and when it does not come up.
    pub fn start() -> Result<Self, ServerError> {
        place::with_free_ports(|| Self::start_at(&Place::Own))
    }

    /// At a place; the fixed ports are 18840 and 18841 (TLS).
    ///
    /// # Errors
    ///
    /// As [`Artemis::start`].
    pub fn start_at(place: &Place) -> Result<Self, ServerError> {
        let group = "org.apache.activemq";
        let artifacts = [
            (group, "artemis-server", VERSION),
            (group, "artemis-mqtt-protocol", VERSION),
            ("org.slf4j", "slf4j-simple", "2.0.17"),
        ];
        let class_path = jars::class_path(&format!("artemis-{VERSION}"), &artifacts)?;
        let folder = Folder::of(place)?;
        certificates::make(folder.path())?;
        let ports = match place {
            Place::Own => place::free_ports()?,
            Place::Fixed(_) => [18_840, 18_841],
        };
        let etc = folder.path().join("etc");
        let failed = |error| ServerError::io("write", &etc, &error);
        fs::create_dir(&etc).map_err(failed)?;
        fs::write(etc.join("broker.xml"), settings(folder.path(), ports)).map_err(failed)?;
        let mut broker = Self { process: None, folder, ports, class_path };
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
        let folder = self.folder.path().to_path_buf();
        let main = "org.apache.activemq.artemis.core.server.embedded.Main";
        let instance = folder.display().to_string();
        // It would write several lines for every message.
        let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
        let command = ["java", "-Xmx256m", quiet, "-cp", &self.class_path, main, &instance];
        let process = place::spawn(&command, &folder, self.folder.stays(), jars::JAVA)?;
        let addresses = self.ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        self.process.insert(process).until_up("Artemis", |_log| {
            addresses.iter().all(|address| TcpStream::connect(address).is_ok())
        })
    }
}

fn settings(folder: &Path, [plain, tls]: [u16; 2]) -> String {
    let at = folder.display();
    let store = |name: &str| format!("<{name}-directory>{at}/data/{name}</{name}-directory>");
    let stores = ["paging", "bindings", "journal", "large-messages"].map(store).concat();
    let options = format!(
        "protocols=MQTT;sslEnabled=true;keyStoreType=PEM;keyStorePath={at}/server.pem;\
         trustStoreType=PEMCA;trustStorePath={at}/ca.pem;needClientAuth=true"
    );
    format!(
        "<configuration xmlns=\"urn:activemq\"><core xmlns=\"urn:activemq:core\">\
         <name>test</name><persistence-enabled>true</persistence-enabled>{stores}\
         <journal-type>NIO</journal-type><max-disk-usage>100</max-disk-usage>\
         <security-enabled>false</security-enabled><acceptors>\
         <acceptor name=\"mqtt\">tcp://127.0.0.1:{plain}?protocols=MQTT</acceptor>\
         <acceptor name=\"mqtts\">tcp://127.0.0.1:{tls}?{options}</acceptor></acceptors>\
         <address-settings><address-setting match=\"#\">\
         <max-delivery-attempts>-1</max-delivery-attempts></address-setting>\
         </address-settings></core></configuration>"
    )
}
