//! A bare handler: reads the body, parses it, answers. What any server in front of twins pays.
//!
//! Estimate: see [`crate::rest`]; parsing is 0.3 us of 30.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::Result;
use crate::system::Server;
use crate::w1::Reading;

/// A server on a runtime of its own, stopped when dropped.
#[derive(Debug)]
pub struct BareServer {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl BareServer {
    /// Starts it on loopback with `workers` threads.
    pub fn start(workers: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("bare-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(accept(listener));
        Ok(Self { address, runtime: Some(runtime) })
    }
}

impl Server for BareServer {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes connections until the runtime ends, each on a task of its own.
async fn accept(listener: TcpListener) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("the bare server takes no more connections: {error}");
                return;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("a connection gathers small packets: {error}");
        }
        tokio::spawn(async move {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                eprintln!("a connection of the bare server broke: {error}");
            }
        });
    }
}

/// Answers one request.
async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let known = path.starts_with("/v1/twins/") && path.ends_with("/messages");
    let status = if !known || request.method() != Method::POST {
        StatusCode::NOT_FOUND
    } else {
        match request.into_body().collect().await {
            Ok(body) => judge(&body.to_bytes()),
            Err(_) => StatusCode::BAD_REQUEST,
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    *response.status_mut() = status;
    Ok(response)
}

/// Whether a body is a W1 message.
fn judge(body: &[u8]) -> StatusCode {
    match serde_json::from_slice::<Reading<'_>>(body) {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
