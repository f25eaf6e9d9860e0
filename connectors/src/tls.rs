//! TLS: from PEM files to what clients and listeners are configured with. Certificates and names
//! are always verified; there is no switch for it.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::error::{ConnectorError, ErrorKind};

/// The cryptography, named here so that nothing depends on what else a program was built with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The configuration of a client that checks its server's certificate against `ca_file`, or else
/// the system's authorities, and shows its own certificate and key, if any.
///
/// # Errors
///
/// [`ErrorKind::Misconfigured`] naming the file that cannot be used.
pub fn client(
    ca_file: Option<&str>,
    own: Option<(&str, &str)>,
) -> Result<ClientConfig, ConnectorError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| wrong("use TLS").because(cause))?
        .with_root_certificates(roots(ca_file)?);
    match own {
        Some((cert_file, key_file)) => builder
            .with_client_auth_cert(certificates(cert_file, "cert_file")?, private_key(key_file)?)
            .map_err(|cause| wrong(format!("use {cert_file} with {key_file}")).because(cause)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The authorities of a file, or of the system.
pub(crate) fn roots(ca_file: Option<&str>) -> Result<RootCertStore, ConnectorError> {
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
                     the other side's authority as ca_file",
                ));
            }
        }
    }
    Ok(roots)
}

/// All certificates of a file.
pub(crate) fn certificates(
    path: &str,
    key: &str,
) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|cause| wrong(format!("read {key} {path}")).because(cause))?;
    if certificates.is_empty() {
        return Err(wrong(format!("read {key} {path}: it has no PEM certificate")));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(crate) fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, ConnectorError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|cause| wrong(format!("read key_file {path}")).because(cause))
}

pub(crate) fn wrong(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Misconfigured, format!("use `tls`: could not {}", doing.into()))
}
