//! TLS with client certificates, with authorities that the test makes itself.

use std::{path::Path, process::Command};

use twinflow_connectors::{
    ConfigurableConnector, Connector,
    conformance::{Dataflow, MODEL},
    mqtt::{Mqtt, MqttProtocol, MqttTls},
};

use crate::{mosquitto::Mosquitto, outside::Outside, suite};

const HOW: &str = "the tests of TLS make certificates: apt-get install openssl";

fn openssl(folder: &Path, line: &str) {
    let made = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
    let made = made.expect(HOW);
    assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
}

/// An authority, and a certificate that it signed.
fn certificates(folder: &Path) {
    for authority in ["ca", "other"] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    for (name, extension) in
        [("server", "subjectAltName=IP:127.0.0.1"), ("plant", "keyUsage=digitalSignature")]
    {
        openssl(
            folder,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
                 -keyout {name}.key -out {name}.csr"
            ),
        );
        std::fs::write(folder.join("extension"), extension).unwrap();
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile extension -out {name}.pem"
            ),
        );
    }
}

#[tokio::test]
async fn a_client_certificate_lets_us_in_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (broker, tls_port) = Mosquitto::start_tls(folder.path());
    let path = |name: &str| Some(folder.path().join(name).display().to_string());
    let with = |protocol, tls| {
        let mut settings = suite::settings(protocol, 0);
        settings.url = format!("mqtts://127.0.0.1:{tls_port}");
        settings.tls = Some(tls);
        Mqtt::from_settings(settings).unwrap()
    };
    let ours = || MqttTls {
        ca_file: path("ca.pem"),
        cert_file: path("plant.pem"),
        key_file: path("plant.key"),
    };
    let patience = std::time::Duration::from_secs(20);
    for protocol in [MqttProtocol::V5, MqttProtocol::V311] {
        let mut outside = Outside::connect(broker.address, "plant/+/+/command").await;
        let mut connector = with(protocol, ours());
        connector.prepare().unwrap();
        let dataflow = Dataflow::new(connector.info(), patience);
        let session = dataflow.run(connector);
        dataflow.hand(0, vec![("site".into(), "7".into())], b"go");
        assert_eq!(&outside.next().await.payload[..], b"go", "{MODEL}");
        session.stopped().await;

        let none = MqttTls { ca_file: path("ca.pem"), ..MqttTls::default() };
        let wrong = MqttTls { ca_file: path("other.pem"), ..ours() };
        for (tls, says) in [(none, "ertificate"), (wrong, "UnknownIssuer")] {
            let mut connector = with(protocol, tls);
            for round in 1..=3 {
                let dataflow = Dataflow::new(connector.info(), patience);
                let (back, result) = dataflow.run(connector).ended("it is refused").await;
                let error = result.unwrap_err();
                assert!(error.to_string().contains(says), "{error}");
                assert_eq!(error.is_retryable(), round < 3, "{error}");
                connector = back;
            }
        }
    }
}
