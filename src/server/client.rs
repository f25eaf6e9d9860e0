//! A small HTTP client for the verbs that ask a running server.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Bytes, Incoming},
    client::conn::http1,
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::cli::TlsArgs;
use crate::error::{Error, ErrorKind, Result};

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

impl TlsArgs {
    /// What a client trusts and shows.
    fn client(&self) -> Result<Arc<ClientConfig>> {
        let own = self.cert_file.as_deref().zip(self.key_file.as_deref());
        twinflow_connectors::tls::client(self.ca_file.as_deref(), own).map(Arc::new).map_err(
            |error| Error::misconfigured("--ca-file, --cert-file, --key-file").because(error),
        )
    }
}

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// `host:port`.
    authority: String,
    /// With TLS: what is trusted, and the name in the certificate.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Prints as "Sensitive".
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `http://host:port` or `https://host:port`.
    pub(super) fn new(server: &str, files: &TlsArgs) -> Result<Self> {
        let wrong =
            |why: &str| Error::new(ErrorKind::Usage, format!("the server \"{server}\" {why}"));
        let (scheme, rest) = match server.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) => return Err(wrong("is not an http:// or https:// address")),
            None => (Scheme::Http, server),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            return Err(wrong("is not an address like http://127.0.0.1:7700"));
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = match (has_port, scheme) {
            (true, _) => authority.to_owned(),
            (false, Scheme::Http) => format!("{authority}:80"),
            (false, Scheme::Https) => format!("{authority}:443"),
        };
        let tls = match scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let host = authority.rsplit_once(':').map_or("", |(host, _port)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| wrong("has no name that a certificate could be for"))?;
                Some((files.client()?, name))
            }
        };
        Ok(Self { authority, tls, authorization: None })
    }

    /// The same, showing a key.
    pub(super) fn with_key(mut self, key: Option<&str>) -> Result<Self> {
        let header = |key: &str| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
                Error::new(ErrorKind::Usage, "the key has characters that no key has")
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        self.authorization = key.map(header).transpose()?;
        Ok(self)
    }

    /// Asks and gives the JSON of a good answer.
    ///
    /// # Errors
    ///
    /// `Unavailable` when there is no answer, `Refused` with the server's own sentence.
    pub(super) fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Value> {
        runtime()?.block_on(async {
            let response = self.answer(method, path, body).await?;
            let body = response.into_body().collect().await;
            let body = body.map_err(|cause| self.silent(cause.into()))?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| self.not_json(error))
        })
    }

    /// Asks for server-sent events and gives the kind and JSON of each, until `take` wants no more.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`]; `Unavailable` also when the server ends the stream.
    pub(super) fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&str, &Value) -> Result<bool>,
    ) -> Result<()> {
        runtime()?.block_on(async {
            let response = self.answer(Method::GET, path, None).await?;
            let (mut body, mut events) = (response.into_body(), Events::default());
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|cause| self.silent(cause.into()))?;
                events.add(frame.data_ref().map_or(&[], Bytes::as_ref));
                while let Some((kind, data)) = events.next() {
                    let event =
                        serde_json::from_str(&data).map_err(|error| self.not_json(error))?;
                    if !take(&kind, &event)? {
                        return Ok(());
                    }
                }
            }
            Err(Error::new(ErrorKind::Unavailable, format!("{self} has ended the stream")))
        })
    }

    fn silent(&self, cause: Failed) -> Error {
        let what =
            format!("no answer from {self}; is the server running? (--server URL names another)");
        Error::new(ErrorKind::Unavailable, what).because(cause)
    }

    fn not_json(&self, error: serde_json::Error) -> Error {
        let what = format!("the answer of {self} is not JSON");
        Error::new(ErrorKind::Refused, what).because(error)
    }

    /// A good answer, its body unread.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Response<Incoming>> {
        let response = self.send(method, path, body).await;
        let response = response.map_err(|cause| self.silent(cause))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().collect().await;
        let body = body.map_err(|cause| self.silent(cause.into()))?.to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Err(Error::new(ErrorKind::Refused, refusal(status, &json)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> std::result::Result<Response<Incoming>, Failed> {
        let request = self.request(method, path, body)?;
        let stream = TcpStream::connect(&self.authority).await?;
        match &self.tls {
            None => exchange(TokioIo::new(stream), request).await,
            Some((config, name)) => {
                let tls = TlsConnector::from(Arc::clone(config));
                exchange(TokioIo::new(tls.connect(name.clone(), stream).await?), request).await
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> std::result::Result<Request<Full<Bytes>>, axum::http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.authorization {
            request = request.header(header::AUTHORIZATION, key);
        }
        request.body(Full::new(Bytes::from(body.unwrap_or_default())))
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "could not start a client").because(error)
    })
}

/// Server-sent events out of the pieces in which they come.
#[derive(Default)]
struct Events(Vec<u8>);

impl Events {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Kind and data of the next whole event.
    fn next(&mut self) -> Option<(String, String)> {
        let end = self.0.windows(2).position(|two| two == b"\n\n")?;
        let event: Vec<u8> = self.0.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&event);
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        Some((field("event: ")?.to_owned(), field("data: ")?.to_owned()))
    }
}

/// One request on a connection of its own.
async fn exchange<S, B>(
    stream: S,
    request: Request<B>,
) -> std::result::Result<Response<Incoming>, Failed>
where
    S: Read + Write + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Failed>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Ends by itself when the answer was read or dropped; its errors are the request's too.
    drop(tokio::spawn(connection));
    Ok(sender.send_request(request).await?)
}

/// A refusal in the server's own words, with the id that stands in its log.
fn refusal(status: StatusCode, problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let detail = text("detail").unwrap_or("the server gave no reason");
    match text("id") {
        Some(id) => format!("{} {detail} (request {id})", status.as_u16()),
        None => format!("{} {detail}", status.as_u16()),
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match plain(byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme_and_port() {
        let files = TlsArgs { ca_file: None, cert_file: None, key_file: None };
        let of = |server| Client::new(server, &files).map(|client| client.authority);
        assert_eq!(of("http://127.0.0.1:7700/").unwrap(), "127.0.0.1:7700");
        assert_eq!(of("localhost:1").unwrap(), "localhost:1");
        assert_eq!(of("http://[::1]").unwrap(), "[::1]:80");
        for wrong in ["https://a b", "ftp://a", "http://", "http://a/b"] {
            assert_eq!(of(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn events_are_put_together_from_pieces() {
        let mut events = Events::default();
        events.add(b"event: a\nid: 1\nda");
        assert_eq!(events.next(), None);
        events.add(b"ta: {}\n\nevent: b\nid: 2\ndata: 1\n\nev");
        assert_eq!(events.next(), Some(("a".into(), "{}".into())));
        assert_eq!(events.next(), Some(("b".into(), "1".into())));
        assert_eq!(events.next(), None);
    }

    #[test]
    fn a_twin_id_is_one_segment() {
        assert_eq!(segment("a/b c\u{fc}"), "a%2Fb%20c%C3%BC");
    }
}
