//! The broker's TLS: from the settings to what the client crate takes.

use std::sync::Arc;

use rustls::ClientConfig;

use super::settings::MqttTls;
use crate::{error::ConnectorError, tls::client};

/// The configuration of a client that checks the broker's certificate and shows ours, if any.
pub(super) fn config(tls: &MqttTls) -> Result<Arc<ClientConfig>, ConnectorError> {
    let own = tls.cert_file.as_deref().zip(tls.key_file.as_deref());
    client(tls.ca_file.as_deref(), own).map(Arc::new)
}
