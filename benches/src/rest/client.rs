//! The load client: a number of connections that stay open, one request at a time on each.
//!
//! Estimate: building a request is 0.5 us of the 30 and more that it takes.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::MODEL;
use crate::latency::Histogram;
use crate::meter::Meter;
use crate::record::{Format, Partition};
use crate::system::Measured;
use crate::w3::Pace;
use crate::{Result, clock};

/// What to send, where and how.
#[derive(Clone, Copy, Debug)]
pub struct Load<'d> {
    /// The server.
    pub address: SocketAddr,
    /// One request each.
    pub records: &'d Partition,
    /// How many connections share them. All of a twin's go over one, so that they keep their order.
    pub connections: usize,
    /// Requests due a second over all connections; without it each connection sends its next
    /// request when it has the answer to its last.
    pub rate: Option<u64>,
    /// What each request shows.
    pub key: Option<&'d str>,
}

/// A request to be made: which record, and when it was due if it was.
type Turn = (usize, Option<Instant>);

/// Sends all records and waits for all answers, each of which must be a success.
pub fn load(load: &Load<'_>) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("load-client")
        .enable_all()
        .build()?;
    let senders = connect(&runtime, load)?;
    // Room for all there are: a connection that is behind does not hold up the others.
    let room = load.records.len().max(1);
    let key = load.key.map(|key| format!("Bearer {key}"));
    let meter = Meter::start();
    let (turns, tasks): (Vec<_>, Vec<_>) = senders
        .into_iter()
        .map(|sender| {
            let (turn, turns) = channel(room);
            (
                turn,
                runtime.spawn(send(sender, load.address, key.clone(), load.records.clone(), turns)),
            )
        })
        .unzip();
    thread::scope(|scope| {
        scope.spawn(|| hand_out(load, meter.started(), turns));
    });
    let mut latency = Histogram::default();
    for task in tasks {
        latency.merge(&runtime.block_on(task)??);
    }
    let usage = meter.stop();
    let run = Measured::new(usage, latency.len());
    Ok(Measured { latency: Some(latency), ..run })
}

/// Opens all connections before the clock starts.
fn connect(runtime: &Runtime, load: &Load<'_>) -> Result<Vec<SendRequest<Full<Bytes>>>> {
    runtime.block_on(async {
        let mut senders = Vec::new();
        for _ in 0..load.connections {
            let stream = TcpStream::connect(load.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    eprintln!("a connection of the load client broke: {error}");
                }
            });
            senders.push(sender);
        }
        Ok(senders)
    })
}

/// Gives the connections their requests in turn, at once or when they are due.
fn hand_out(load: &Load<'_>, start: Instant, turns: Vec<Sender<Turn>>) {
    let mut now = start;
    for i in 0..load.records.len() {
        let twin = Format::Json.twin(load.records.record(i).0).unwrap_or_default();
        let turn = &turns[(twin % turns.len() as u64) as usize];
        let due = load.rate.map(|rate| Pace::new(start, rate, 0, 1).due(i));
        if let Some(due) = due {
            now = clock::nap_until(due, now);
        }
        if turn.try_send((i, due)).is_err() {
            // That connection has failed and says why when it is joined.
            return;
        }
    }
}

/// Makes the requests of one connection, one after the other.
async fn send(
    mut sender: SendRequest<Full<Bytes>>,
    host: SocketAddr,
    key: Option<String>,
    records: Partition,
    mut turns: Receiver<Turn>,
) -> Result<Histogram> {
    let host = host.to_string();
    let mut latency = Histogram::default();
    while let Some((i, due)) = turns.recv().await {
        let request = request(&host, key.as_deref(), &records, i)?;
        sender.ready().await?;
        let since = due.unwrap_or_else(clock::now);
        let response = sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        latency.record(clock::now().saturating_duration_since(since));
        if status != StatusCode::OK {
            return Err(format!("a message was answered with {status}").into());
        }
    }
    Ok(latency)
}

/// The request that brings record `i` to its twin.
fn request(
    host: &str,
    key: Option<&str>,
    records: &Partition,
    i: usize,
) -> Result<Request<Full<Bytes>>> {
    let id = String::from_utf8_lossy(records.record(i).0);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/twins/{MODEL}/{id}/messages"))
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, key);
    }
    Ok(request.body(Full::new(records.payload(i)))?)
}
