//! TLS with client certificates, and with an authority that signed none of them.

use twinflow_connectors::{
    ConfigurableConnector, Connector,
    conformance::{Dataflow, MODEL},
    mqtt::{Mqtt, MqttProtocol, MqttTls},
};
use twinflow_servers::{Mosquitto, Options};

use crate::{outside::Outside, suite};

#[tokio::test]
async fn a_client_certificate_lets_us_in_and_nothing_else_does() {
    let [broker, other] = [(); 2].map(|()| Mosquitto::start(Options::default()).unwrap());
    let path = |of: &Mosquitto, name| Some(of.certificates().join(name).display().to_string());
    let with = |protocol, tls| {
        let mut settings = suite::settings(protocol, 0);
        settings.url = format!("mqtts://{}", broker.tls_address());
        settings.tls = Some(tls);
        Mqtt::from_settings(settings).unwrap()
    };
    let ours = || MqttTls {
        ca_file: path(&broker, "ca.pem"),
        cert_file: path(&broker, "client.crt"),
        key_file: path(&broker, "client.key"),
    };
    let patience = std::time::Duration::from_secs(20);
    for protocol in [MqttProtocol::V5, MqttProtocol::V311] {
        let mut outside = Outside::connect(broker.address(), "plant/+/+/command").await;
        let mut connector = with(protocol, ours());
        connector.prepare().unwrap();
        let dataflow = Dataflow::new(connector.info(), patience);
        let session = dataflow.run(connector);
        dataflow.hand(0, vec![("site".into(), "7".into())], b"go");
        assert_eq!(&outside.next().await.payload[..], b"go", "{MODEL}");
        session.stopped().await;

        let none = MqttTls { ca_file: path(&broker, "ca.pem"), ..MqttTls::default() };
        let wrong = MqttTls { ca_file: path(&other, "ca.pem"), ..ours() };
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
