//! HTTP requests over loopback, one connection each.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Whether the server kept the connection open.
    pub(crate) kept: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks the form of a problem and gives its detail.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let object = self.json();
        assert_eq!(object["status"], status);
        assert_eq!(object["type"], format!("urn:twinflow:problem:{kind}"));
        assert!(object["title"].is_string() && object["id"].is_string());
        object["detail"].as_str().unwrap().to_owned()
    }

    pub(crate) fn retry_after(&self) -> u64 {
        self.headers["retry-after"].to_str().unwrap().parse().unwrap()
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    call(address, "GET", path, &[], "").await
}

/// A POST that runs while the test moves the dataflow.
pub(crate) fn post(address: SocketAddr, path: &str, body: impl Into<String>) -> JoinHandle<Answer> {
    post_with(address, path, &[], body)
}

pub(crate) fn post_with(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<String>,
) -> JoinHandle<Answer> {
    let (path, body) = (path.to_owned(), body.into());
    let headers: Vec<(String, String)> =
        headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    tokio::spawn(async move {
        let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        call(address, "POST", &path, &headers, &body).await
    })
}

pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let response = sender.send_request(request(address, method, path, headers, body)).await;
    let (head, body) = response.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let close = head.headers.get("connection").is_some_and(|value| value == "close");
    let kept = !close && sender.ready().await.is_ok();
    if !kept {
        drop(driving.await.unwrap());
    }
    Answer { status: head.status.as_u16(), headers: head.headers, text, kept }
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let uri = path.to_owned();
    let mut request = Request::builder().method(method).uri(uri);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

/// One POST over HTTP/2 with prior knowledge.
pub(crate) fn post_http2(address: SocketAddr, path: &str, body: &str) -> JoinHandle<Answer> {
    let uri = format!("http://{address}{path}");
    let request = Request::builder().method("POST").uri(uri);
    let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
    tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        drop(tokio::spawn(connection));
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text, kept: true }
    })
}
