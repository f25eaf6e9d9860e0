//! TLS of a listener: certificate and key from files, read again when they change.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_cert::{Certificate, der::Decode};

use super::reload::Reloaded;
use crate::{
    error::ConnectorError,
    listen::ListenTls,
    tls::{certificates, private_key, provider, roots, wrong},
};

/// The certificate of a listener.
#[derive(Debug)]
pub struct ServerTls {
    files: ListenTls,
    loaded: Reloaded<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// Since 1970.
    expires: Duration,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](crate::error::ErrorKind::Misconfigured) naming the file that cannot be
    /// used.
    pub fn open(files: &ListenTls) -> Result<Self, ConnectorError> {
        let ListenTls { cert_file, key_file, ca_file } = files;
        let paths = [cert_file, key_file].into_iter().chain(ca_file).cloned().collect();
        let loaded = Reloaded::new(paths, || load(files))?;
        Ok(Self { files: files.clone(), loaded })
    }

    /// When the first certificate of the file expires, as a time since 1970.
    pub fn expires(&self) -> Duration {
        self.now().expires
    }

    /// Certificate and key as they are now.
    fn now(&self) -> Arc<Loaded> {
        self.loaded.get(|_old| load(&self.files))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.now().config);
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn load(files: &ListenTls) -> Result<Loaded, ConnectorError> {
    let text = |path: &PathBuf| path.display().to_string();
    let (cert_file, key_file) = (text(&files.cert_file), text(&files.key_file));
    let chain = certificates(&cert_file, "cert_file")?;
    let mut expires = Duration::MAX;
    for certificate in &chain {
        let certificate = Certificate::from_der(certificate).map_err(|cause| {
            wrong(format!("read a certificate of cert_file {cert_file}")).because(cause)
        })?;
        let validity = certificate.tbs_certificate().validity();
        expires = expires.min(validity.not_after.to_unix_duration());
    }
    warn_of_readers(&files.key_file);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| wrong("use TLS").because(cause))?;
    let builder = match &files.ca_file {
        Some(ca_file) => {
            let roots: RootCertStore = roots(Some(&text(ca_file)))?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            let verifier = verifier.map_err(|cause| {
                wrong(format!("trust ca_file {}", text(ca_file))).because(cause)
            })?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, private_key(&key_file)?)
        .map_err(|cause| wrong(format!("use {cert_file} with {key_file}")).because(cause))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), expires })
}

/// A key that every user of the machine can read is said, not refused: some systems mount secrets
/// so.
fn warn_of_readers(key_file: &Path) {
    if std::fs::metadata(key_file).is_ok_and(|about| about.mode() & 0o007 != 0) {
        let file = key_file.display();
        tracing::warn!(%file, "every user of this machine can use this private key: chmod 600");
    }
}
