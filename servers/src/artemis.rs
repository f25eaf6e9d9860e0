//! ActiveMQ Artemis: a broker that gives new packet ids to what it sends again, and no DUP flag.

use std::{fs, path::Path};

use crate::{
    broker::{MqttBroker, Ports, Program},
    error::ServerError,
    jars,
    place::{self, Place},
};

const VERSION: &str = "2.55.0";

/// A broker with its journal on disk.
#[derive(Clone, Copy, Debug)]
pub struct Artemis;

impl Artemis {
    /// On free ports.
    ///
    /// # Errors
    ///
    /// When Java, Maven or openssl is missing, and when it does not come up.
    pub fn start() -> Result<MqttBroker, ServerError> {
        place::with_free_ports(|| Self::start_at(&Place::Own))
    }

    /// At a place; the fixed ports are 18840 and 18841 (TLS).
    ///
    /// # Errors
    ///
    /// As [`Artemis::start`].
    pub fn start_at(place: &Place) -> Result<MqttBroker, ServerError> {
        let group = "org.apache.activemq";
        let artifacts = [
            (group, "artemis-server", VERSION),
            (group, "artemis-mqtt-protocol", VERSION),
            ("org.slf4j", "slf4j-simple", "2.0.17"),
        ];
        let class_path = jars::class_path(&format!("artemis-{VERSION}"), &artifacts)?;
        let fixed = Ports { plain: 18_840, tls: 18_841 };
        MqttBroker::start_at(place, fixed, |folder, ports| {
            let etc = folder.join("etc");
            let failed = |error| ServerError::io("write", &etc, &error);
            fs::create_dir(&etc).map_err(failed)?;
            fs::write(etc.join("broker.xml"), settings(folder, ports)).map_err(failed)?;
            let main = "org.apache.activemq.artemis.core.server.embedded.Main";
            let instance = folder.display().to_string();
            // It would write several lines for every message.
            let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
            let command = ["java", "-Xmx256m", quiet, "-cp", &class_path, main, &instance];
            let command = command.map(str::to_owned).into();
            Ok(Program { name: "Artemis", command, needs: jars::JAVA })
        })
    }
}

fn settings(folder: &Path, Ports { plain, tls }: Ports) -> String {
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
