//! Certificates: from PEM files to what the client crate takes.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::settings::MqttTls;
use crate::error::{ConnectorError, ErrorKind};

/// The configuration of a client that checks the broker's certificate and shows ours, if any.
///
/// The provider of the cryptography is named here, so that nothing depends on what else a program
/// was built with.
pub(super) fn config(tls: &MqttTls) -> Result<Arc<ClientConfig>, ConnectorError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| wrong("use TLS").because(cause))?
        .with_root_certificates(roots(tls.ca_file.as_deref())?);
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|cause| wrong(format!("read key_file {key_file}")).because(cause))?;
            builder
                .with_client_auth_cert(certificates(cert_file, "cert_file")?, key)
                .map_err(|cause| wrong(format!("use {cert_file} with {key_file}")).because(cause))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&str>) -> Result<RootCertStore, ConnectorError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates(path, "ca_file")? {
                roots.add(certificate).map_err(|cause| {
                    wrong(format!("trust a certificate of ca_file {path}")).because(cause)
                })?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                return Err(wrong(
                    "find the system's certificate authorities: install ca-certificates, or name \
                     the broker's authority as ca_file",
                ));
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|cause| wrong(format!("read {key} {path}")).because(cause))?;
    if certificates.is_empty() {
        return Err(wrong(format!("read {key} {path}: it has no PEM certificate")));
    }
    Ok(certificates)
}

fn wrong(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Misconfigured, format!("use `tls`: could not {}", doing.into()))
}
