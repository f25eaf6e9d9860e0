//! HTTP/1.1 over one kept connection, made anew when it breaks.

use std::{error::Error as StdError, net::SocketAddr, time::Duration};

use axum::{
    body::Bytes,
    http::{Request, StatusCode, header},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Why there is no answer.
pub(super) type Broken = Box<dyn StdError + Send + Sync>;

/// Without an answer for so long, a connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) retry_after_secs: Option<u64>,
    pub(super) body: Bytes,
}

/// A connection to the engine, or none at the moment.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Response, Broken> {
        self.send(Request::get(path), Bytes::new()).await
    }

    pub(super) async fn post(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: Bytes,
    ) -> Result<Response, Broken> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        self.send(request, body).await
    }

    async fn send(
        &mut self,
        request: axum::http::request::Builder,
        body: Bytes,
    ) -> Result<Response, Broken> {
        let host = self.address.to_string();
        let request = request.header(header::HOST, host).body(Full::new(body))?;
        // Taken out, so that only a connection that answered is used again.
        let (mut sender, reused) = match self.open.take() {
            Some(sender) => (sender, true),
            None => (self.connect().await?, false),
        };
        let answer = async {
            if sender.ready().await.is_err() && reused {
                sender = self.connect().await?;
                sender.ready().await?;
            }
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            let told = head.headers.get(header::RETRY_AFTER).and_then(|secs| secs.to_str().ok());
            let retry_after_secs = told.and_then(|secs| secs.parse().ok());
            Ok::<_, Broken>((Response { status: head.status, retry_after_secs, body }, sender))
        };
        let (response, sender) = timeout(ANSWER_LIMIT, answer).await??;
        self.open = Some(sender);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Broken> {
        let stream = TcpStream::connect(self.address).await?;
        if stream.local_addr()? == self.address {
            // A port that nobody listens on can meet itself.
            return Err("nobody listens".into());
        }
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; its errors come out of the requests.
        drop(tokio::spawn(connection));
        Ok(sender)
    }
}
