//! A small HTTP client for the verbs that ask a running server.

use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Result};

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// `host:port`.
    authority: String,
    /// Prints as "Sensitive".
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `http://host:port`.
    pub(super) fn new(server: &str) -> Result<Self> {
        let wrong =
            |why: &str| Error::new(ErrorKind::Usage, format!("the server \"{server}\" {why}"));
        let rest = match server.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(wrong("speaks TLS, which this version does not")),
            Some(_) => return Err(wrong("is not an http:// address")),
            None => server,
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            return Err(wrong("is not an address like http://127.0.0.1:7700"));
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let port = if has_port { "" } else { ":80" };
        Ok(Self { authority: format!("{authority}{port}"), authorization: None })
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "could not start a client").because(error)
        })?;
        let (status, body) = runtime.block_on(self.send(method, path, body)).map_err(|cause| {
            let what = format!(
                "no answer from http://{}; is the server running? (--server URL names another)",
                self.authority
            );
            Error::new(ErrorKind::Unavailable, what).because(cause)
        })?;
        let json = serde_json::from_slice::<Value>(&body);
        if status.is_success() {
            return json.map_err(|error| {
                let what = format!("the answer of http://{} is not JSON", self.authority);
                Error::new(ErrorKind::Refused, what).because(error)
            });
        }
        Err(Error::new(ErrorKind::Refused, refusal(status, &json.unwrap_or_default())))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> std::result::Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself when the answer was read; its errors are the request's too.
        drop(tokio::spawn(connection));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.authorization {
            request = request.header(header::AUTHORIZATION, key);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
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
        let of = |server| Client::new(server).map(|client| client.authority);
        assert_eq!(of("http://127.0.0.1:7700/").unwrap(), "127.0.0.1:7700");
        assert_eq!(of("localhost:1").unwrap(), "localhost:1");
        assert_eq!(of("http://[::1]").unwrap(), "[::1]:80");
        for wrong in ["https://a", "ftp://a", "http://", "http://a/b"] {
            assert_eq!(of(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_twin_id_is_one_segment() {
        assert_eq!(segment("a/b c\u{fc}"), "a%2Fb%20c%C3%BC");
    }
}
