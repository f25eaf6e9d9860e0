//! TLS on an own listener, with authorities that the test makes itself.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use twinflow_connectors::{listen::ListenTls, rest::Rest, tls};
use twinflow_servers::Authority;

const SERVER: &str = "subjectAltName=IP:127.0.0.1";
const PATH: &str = "/v1/twins/m/t/feedback";

/// A listener, and the folder with its files.
struct Site {
    folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    rest: Rest,
    /// Ends the session when it is dropped.
    _fake: crate::fake::Fake,
}

impl Site {
    async fn start(client_authority: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca").unwrap();
        authority.sign("server", SERVER, 2).unwrap();
        authority.sign("plant", "keyUsage=digitalSignature", 2).unwrap();
        let path = |name: &str| folder.path().join(name);
        let tls = ListenTls {
            cert_file: path("server.pem"),
            key_file: path("server.key"),
            ca_file: client_authority.then(|| path("ca.pem")),
        };
        let rest = Rest::listen("127.0.0.1:0").with(|settings| {
            settings.tls = Some(tls);
            settings.header_timeout_secs = 1;
        });
        let mut fake = crate::fake::Fake::new(rest.clone(), 1);
        fake.open(0);
        let site = Self { address: fake.address, folder, authority, rest, _fake: fake };
        if !client_authority {
            while site.get(site.client(false), &[b"http/1.1"]).await.unwrap().0 == 503 {
                tokio::task::yield_now().await;
            }
        }
        site
    }

    fn client(&self, own: bool) -> ClientConfig {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let (cert, key) = (file("plant.pem"), file("plant.key"));
        tls::client(Some(&file("ca.pem")), own.then_some((&*cert, &*key))).unwrap()
    }

    async fn connect(
        &self,
        mut config: ClientConfig,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Status and negotiated protocol of a GET.
    async fn get(&self, config: ClientConfig, alpn: &[&[u8]]) -> Result<(u16, Vec<u8>), String> {
        let stream = self.connect(config, alpn).await.map_err(|error| error.to_string())?;
        let protocol = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
        let io = TokioIo::new(stream);
        let uri = format!("https://{}{PATH}", self.address);
        let request = hyper::Request::get(uri).header("host", self.address.to_string());
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let text = |error: hyper::Error| format!("{error:?}");
        let response = if protocol == b"h2" {
            let (mut sender, driver) =
                conn::http2::handshake(TokioExecutor::new(), io).await.map_err(text)?;
            drop(tokio::spawn(driver));
            sender.send_request(request).await.map_err(text)?
        } else {
            let (mut sender, driver) = conn::http1::handshake(io).await.map_err(text)?;
            drop(tokio::spawn(driver));
            sender.send_request(request).await.map_err(text)?
        };
        let status = response.status().as_u16();
        drop(response.into_body().collect().await.map_err(text)?);
        Ok((status, protocol))
    }

    /// Whether openssl's client gets through the handshake with these arguments.
    async fn shakes_hands(&self, arguments: &[&str]) -> bool {
        let address = self.address.to_string();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        tokio::task::spawn_blocking(move || command.status().unwrap().success()).await.unwrap()
    }
}

#[tokio::test]
async fn s2_http_1_and_2_by_alpn_and_no_old_tls() {
    let site = Site::start(false).await;
    for (offered, got) in
        [(&[&b"h2"[..], b"http/1.1"][..], &b"h2"[..]), (&[b"http/1.1"], b"http/1.1"), (&[], b"")]
    {
        let answer = site.get(site.client(false), offered).await.unwrap();
        assert_eq!(answer, (204, got.to_vec()));
    }
    let stream = site.connect(site.client(false), &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    for good in [&["-tls1_3"][..], &["-tls1_2"], &["-tls1_2", "-cipher", "ECDHE+AESGCM"]] {
        assert!(site.shakes_hands(good).await, "{good:?}");
    }
    let weak = "DEFAULT:@SECLEVEL=0";
    let cbc = "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0";
    for bad in [
        &["-tls1_1", "-cipher", weak][..],
        &["-tls1", "-cipher", weak],
        &["-tls1_2", "-cipher", cbc],
        &["-tls1_2", "-cipher", "AES128-SHA256:@SECLEVEL=0"],
    ] {
        assert!(!site.shakes_hands(bad).await, "{bad:?}");
    }
    let suites = rustls::crypto::ring::default_provider().cipher_suites;
    let names: Vec<_> = suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    assert!(
        names.iter().all(|name| name.contains("GCM") || name.contains("CHACHA20")),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_where_authorities_are_named() {
    let site = Site::start(true).await;
    let mut status = 503;
    while status == 503 {
        status = site.get(site.client(true), &[]).await.unwrap().0;
    }
    assert_eq!(status, 204);
    // In TLS 1.3 a client hears of it with its first read.
    let error = site.get(site.client(false), &[]).await.unwrap_err();
    assert!(error.contains("ertificate"), "{error}");
    let other = Authority::new(site.folder.path(), "other").unwrap();
    other.sign("plant", "keyUsage=digitalSignature", 2).unwrap();
    let error = site.get(site.client(true), &[]).await.unwrap_err();
    assert!(error.contains("nknown") || error.contains("ecrypt"), "{error}");
}

#[tokio::test]
async fn s3_a_new_certificate_counts_without_a_restart_and_a_bad_one_does_not() {
    let site = Site::start(false).await;
    let shown = async || {
        let stream = site.connect(site.client(false), &[]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    let expires = site.rest.tls().unwrap().expires();
    std::fs::write(site.folder.path().join("server.pem"), "no certificate").unwrap();
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(shown().await, first, "the last good one counts on");
    site.authority.sign("server", SERVER, 1).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while shown().await == first {
        assert!(Instant::now() < deadline, "the new certificate is not shown");
        sleep(Duration::from_millis(50)).await;
    }
    let sooner = expires - site.rest.tls().unwrap().expires();
    let day = Duration::from_secs(86_400);
    assert!((day - Duration::from_secs(60)..=day).contains(&sooner), "{sooner:?}");
}

#[tokio::test]
async fn s19_a_handshake_has_as_long_as_a_header_and_garbage_ends_its_connection() {
    let site = Site::start(false).await;
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"] {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, begin).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
        drop(ended.expect("it is closed in time"));
    }
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: a\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut plain, request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(timeout(Duration::from_secs(15), plain.read_to_end(&mut answer)).await.unwrap());
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(site.get(site.client(false), &[]).await.unwrap().0, 204);
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca").unwrap();
    authority.sign("server", SERVER, 2).unwrap();
    authority.sign("another", SERVER, 2).unwrap();
    let path = |name: &str| folder.path().join(name);
    let bind = |cert: &Path, key: &Path| {
        let tls = ListenTls { cert_file: cert.into(), key_file: key.into(), ca_file: None };
        let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.tls = Some(tls));
        rest.bind().unwrap_err()
    };
    for (cert, key, says) in [
        ("missing.pem", "server.key", "missing.pem"),
        ("server.pem", "missing.key", "missing.key"),
        ("server.key", "server.key", "no PEM certificate"),
        ("server.pem", "another.key", "another.key"),
    ] {
        let error = bind(&path(cert), &path(key));
        assert!(!error.is_retryable() && error.to_string().contains(says), "{error}");
    }
}
