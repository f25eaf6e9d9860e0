//! Encryption and log-in, and what is said when they fail.

use twinflow_connectors::kafka::{KafkaSasl, KafkaTls, Secret};
use twinflow_servers::ALICE;

use crate::{
    server,
    stage::{Stage, dataflow, numbers, take},
};

fn sasl(mechanism: &str, password: &str) -> Option<KafkaSasl> {
    let username = ALICE.0.into();
    Some(KafkaSasl { mechanism: mechanism.into(), username, password: Secret::new(password) })
}

fn trusting() -> Option<KafkaTls> {
    Some(KafkaTls {
        ca_file: Some(server::shared().ca_file().display().to_string()),
        ..KafkaTls::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_and_scram_work_with_and_without_tls() {
    let (stage, node) = (Stage::new(1).await, server::shared());
    stage.put(0, "a", 1..2);
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        for (broker, tls) in
            [(node.sasl_bootstrap(), trusting()), (node.sasl_plaintext_bootstrap(), None)]
        {
            let kafka = stage.kafka(|settings| {
                settings.brokers = vec![broker.clone()];
                settings.tls = tls;
                settings.sasl = sasl(mechanism, ALICE.1);
            });
            let dataflow = dataflow(&kafka);
            let session = dataflow.run(kafka);
            assert_eq!(numbers(&take(&dataflow, 1).await), [1], "{mechanism} at {broker}");
            session.stopped().await;
        }
    }
}

/// The end of a session that cannot work.
async fn refused(stage: &Stage, broker: String, tls: Option<KafkaTls>, password: &str) -> String {
    let kafka = stage.kafka(|settings| {
        settings.brokers = vec![broker];
        settings.tls = tls;
        settings.sasl = sasl("SCRAM-SHA-512", password);
        settings.auth_give_up_secs = 1;
    });
    let dataflow = dataflow(&kafka);
    let (_, result) = dataflow.run(kafka).ended("it is refused").await;
    let error = result.unwrap_err();
    let text = twinflow_connectors::error::chain(&error);
    assert!(!error.is_retryable() || text.contains("speaks TLS"), "{text}");
    assert!(!text.contains(password), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_authority_are_final_and_named() {
    let (stage, node) = (Stage::new(1).await, server::shared());
    let text = refused(&stage, node.sasl_bootstrap(), trusting(), "wr0ng-99").await;
    assert!(text.starts_with("could not log in as \"alice\" with SCRAM-SHA-512: "), "{text}");
    assert!(text.contains("Authentication failed"), "{text}");

    let text = refused(&stage, node.sasl_bootstrap(), Some(KafkaTls::default()), "wr0ng-99").await;
    assert!(text.starts_with("could not agree on TLS with the brokers: "), "{text}");
    assert!(text.contains("certificate verify failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_speaks_tls_is_guessed_at() {
    let stage = Stage::new(1).await;
    let kafka = stage.kafka(|settings| settings.brokers = vec![server::shared().sasl_bootstrap()]);
    let dataflow = dataflow(&kafka);
    let (_, result) = dataflow.run(kafka).ended("it cannot be reached").await;
    let error = result.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("`tls = {}`"), "{error}");
}
