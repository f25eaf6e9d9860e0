//! Sockets and sessions: garbage, slow clients, limits, the end.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use twinflow_connectors::rest::Rest;

use crate::{
    client::{get, post},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/t/messages";

async fn answers(fake: &Fake) {
    let answer = post(fake.address, PATH, "\"ping\"");
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["\"ping\""]);
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().status, 200);
}

/// Sends bytes and reads until the server closes.
async fn raw(fake: &Fake, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    drop(timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await.expect("closed"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn garbage_ends_its_connection_and_nothing_else() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.header_timeout_secs = 1);
    let fake = Fake::with(rest, 1).await;
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20 {
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .chain(*b"\r\n\r\n")
            .collect();
        let answer = raw(&fake, &bytes).await;
        assert!(answer.is_empty() || answer.contains(" 400 "), "round {round}: {answer}");
    }
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    assert!(!raw(&fake, hello).await.contains(" 200 "));
    raw(&fake, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, and long enough").await;
    answers(&fake).await;
}

#[tokio::test]
async fn a_slow_header_and_silence_are_cut_off_in_time() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.header_timeout_secs = 1);
    let fake = Fake::with(rest, 1).await;
    let silent = async {
        let started = Instant::now();
        assert_eq!(raw(&fake, b"").await, "");
        assert!(started.elapsed() < Duration::from_secs(5));
    };
    let slow = async {
        let mut stream = TcpStream::connect(fake.address).await.unwrap();
        let started = Instant::now();
        let mut byte = [0];
        while timeout(Duration::from_millis(100), stream.read(&mut byte)).await.is_err() {
            if stream.write_all(b"P").await.is_err() {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "the connection is still open");
        }
        assert!(started.elapsed() > Duration::from_millis(900));
    };
    tokio::join!(silent, slow);
    answers(&fake).await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit_and_not_its_own() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| {
        (settings.header_timeout_secs, settings.idle_timeout_secs) = (1, 3);
    });
    let fake = Fake::with(rest, 1).await;
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    let request = b"GET /v1/twins/m/t/feedback HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stream.write_all(request).await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0, "closed before its idle limit");
    let end = timeout(Duration::from_secs(6), stream.read(&mut buffer)).await;
    assert_eq!(end.expect("closed after its idle limit").unwrap_or(0), 0);
}

#[tokio::test]
async fn a_slow_body_is_408_and_a_broken_one_delivers_nothing() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.idle_timeout_secs = 1);
    let fake = Fake::with(rest, 1).await;
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n12");
    assert!(raw(&fake, head.as_bytes()).await.starts_with("HTTP/1.1 408 "));
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    answers(&fake).await;
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.connections_max = 1);
    let fake = Fake::with(rest, 1).await;
    let first = TcpStream::connect(fake.address).await.unwrap();
    let second = tokio::spawn({
        let address = fake.address;
        async move { get(address, "/v1/twins/m/t/feedback").await }
    });
    let early = timeout(Duration::from_millis(300), async {
        while !second.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(early.await.is_err(), "answered while the only place was taken");
    drop(first);
    assert_eq!(second.await.unwrap().status, 204);
}

#[tokio::test]
async fn a_session_that_ends_leaves_an_unknown_outcome_and_the_next_one_works() {
    let mut fake = Fake::with(Rest::listen("127.0.0.1:0"), 2).await;
    // The twin of the slot that does not hold the listener.
    let (twin, answer, arrived) = loop {
        let twin = format!("t{}", fake.sessions.len() + fake.slots[0].receipts().0.0 as usize);
        let answer = post(fake.address, &format!("/v1/twins/m/{twin}/messages"), "1");
        let arrived = fake.take().await;
        if arrived.slot == 1 {
            break (twin, answer, arrived);
        }
        fake.acknowledge(&arrived, 1);
        assert_eq!(answer.await.unwrap().status, 200);
    };
    fake.slots[1].close();
    answer.await.unwrap().problem(504, "outcome-unknown");
    fake.sessions.pop().unwrap().await.unwrap().unwrap();
    fake.acknowledge(&arrived, 2);
    fake.open(1);
    let answer = post(fake.address, &format!("/v1/twins/m/{twin}/messages"), "2");
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["2"]);
    fake.acknowledge(&arrived, 3);
    assert_eq!(answer.await.unwrap().json()["epoch"], 3);
}

#[tokio::test]
async fn a_stop_ends_the_sessions_and_frees_the_port() {
    let mut fake = Fake::with(Rest::listen("127.0.0.1:0"), 2).await;
    let idle = TcpStream::connect(fake.address).await.unwrap();
    fake.slots.iter().for_each(|slot| slot.drain());
    fake.slots.iter().for_each(|slot| slot.stop());
    for session in std::mem::take(&mut fake.sessions) {
        timeout(Duration::from_secs(20), session).await.unwrap().unwrap().unwrap();
    }
    drop(idle);
    let again = Rest::listen(fake.address.to_string());
    assert_eq!(again.bind().unwrap(), Some(fake.address));
}

#[tokio::test]
async fn before_a_session_requests_are_503() {
    let rest = Rest::mounted();
    let router =
        rest.router().merge(axum::Router::new().route("/livez", axum::routing::get(|| async {})));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = twinflow_connectors::rest::ServeLimits::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(twinflow_connectors::rest::serve(
        listener,
        router,
        std::sync::Arc::new(|_| None),
        limits,
        stopped,
    ));
    let early = post(address, PATH, "1").await.unwrap();
    early.problem(503, "starting");
    assert_eq!(early.retry_after(), 1);
    assert_eq!(get(address, "/livez").await.status, 200);
    drop(stop);
    serving.await.unwrap();
}

#[test]
fn a_listener_is_adopted_if_its_address_is_the_one_of_the_settings() {
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (rest, adopted) = (Rest::listen("127.0.0.1:0"), listener());
    let address = adopted.local_addr().unwrap();
    assert!(rest.adopt(adopted));
    assert_eq!(rest.bind().unwrap(), Some(address));
    assert_eq!(rest.listener().unwrap().unwrap().local_addr().unwrap(), address);
    assert!(!Rest::listen(format!("127.0.0.2:{}", address.port())).adopt(listener()));
    assert!(!Rest::listen("127.0.0.1:1").adopt(listener()));
    assert!(!Rest::mounted().adopt(listener()));
}
