//! Callers that take too much: connections, time, streams.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use twinflow_connectors::rest::Rest;

use crate::{
    client::{Answer, get, post, post_with},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/t/messages";
const LINES: &str = "/v1/messages";
const FEEDBACK: &str = "/v1/twins/m/t/feedback";

/// A connection from another address of this machine.
async fn from_another(fake: &Fake) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(fake.address).await.unwrap()
}

/// Whether the server has closed it; what it says before does not count.
async fn is_closed(stream: &mut TcpStream, patience: Duration) -> bool {
    timeout(patience, async {
        let mut byte = [0; 256];
        while matches!(stream.read(&mut byte).await, Ok(1..)) {}
    })
    .await
    .is_ok()
}

#[tokio::test]
async fn s19_slow_callers_of_one_address_take_so_many_places_and_others_are_served() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| {
        settings.connections_per_address_max = Some(256);
        settings.header_timeout_secs = 3;
    });
    let fake = Fake::with(rest, 1).await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..2000 {
        let mut stream = from_another(&fake).await;
        // One that was closed already says so.
        drop(stream.write_all(b"GET / HT").await);
        slow.push(stream);
    }
    for _ in 0..50 {
        assert_eq!(get(fake.address, FEEDBACK).await.status, 204);
    }
    let mut open = 0;
    for stream in &mut slow {
        open += usize::from(!is_closed(stream, Duration::from_millis(1)).await);
    }
    // On a slow machine some of the first are past their three seconds by now.
    assert!(open <= 256, "{open}");
    assert!(open == 256 || began.elapsed() > Duration::from_secs(3), "{open}");
    for stream in &mut slow {
        assert!(is_closed(stream, Duration::from_secs(15)).await, "a late header ends it");
    }
    assert!(!is_closed(&mut from_another(&fake).await, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn s19_a_body_has_its_time_and_a_second_for_each_kib() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.body_timeout_secs = 1);
    let fake = Fake::with(rest, 1).await;
    let head = |bytes: usize| {
        format!("POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {bytes}\r\n\r\n")
    };
    let mut slow = TcpStream::connect(fake.address).await.unwrap();
    slow.write_all(head(4000).as_bytes()).await.unwrap();
    slow.write_all(b"[1,").await.unwrap();
    let mut answer = Vec::new();
    drop(timeout(Duration::from_secs(15), slow.read_to_end(&mut answer)).await.unwrap());
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("slow-body"), "{answer}");

    let mut steady = TcpStream::connect(fake.address).await.unwrap();
    steady.write_all(head(4 * 1024).as_bytes()).await.unwrap();
    let began = Instant::now();
    for part in 0..4 {
        let text = if part == 0 { format!("\"{}", "x".repeat(1023)) } else { "x".repeat(1024) };
        let text = if part == 3 { format!("{}\"", &text[1..]) } else { text };
        steady.write_all(text.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(1));
    let arrived = fake.take().await;
    assert_eq!(arrived.rows[0].payload.len(), 4096);
    fake.acknowledge(&arrived, 1);
    let mut answer = [0; 12];
    steady.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[tokio::test]
async fn s19_requests_that_are_taken_back_at_once_end_their_connection_and_others_go_on() {
    let (headers_frame, rst_stream, settings, goaway) = (1, 3, 4, 7);
    let fake = Fake::start().await;
    let mut burst = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    burst.extend(frame(settings, 0, 0, &[]));
    // GET, http, "/" of the static table, and a name.
    let headers = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
    for number in 0..1000 {
        burst.extend(frame(headers_frame, 0x5, 2 * number + 1, &headers));
        burst.extend(frame(rst_stream, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    // It may be closed before it is all written.
    drop(stream.write_all(&burst).await);
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    // A reset takes what was said before with it.
    let is_reset = ended.expect("its connection is ended").is_err();
    let calm = 11_u32.to_be_bytes();
    let says_why = answer.windows(17).any(|at| at[3] == goaway && at[13..17] == calm);
    assert!(is_reset || says_why, "{answer:?}");
    let answer = post(fake.address, PATH, "1");
    let arrived = timeout(Duration::from_secs(10), fake.take()).await.unwrap();
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().status, 200);
}

#[tokio::test]
async fn s18_an_address_of_more_than_eight_kib_is_414() {
    let fake = Fake::start().await;
    let path = |len: usize| format!("{FEEDBACK}?{}", "x".repeat(len - FEEDBACK.len() - 1));
    assert_eq!(get(fake.address, &path(8192)).await.status, 400, "an unknown parameter");
    assert_eq!(get(fake.address, &path(8193)).await.status, 414);
}

/// What becomes of a body that is within the limits.
async fn taken(fake: &Fake, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
    let answer = post_with(fake.address, path, headers, body);
    let arrived = timeout(Duration::from_secs(10), fake.take()).await.unwrap();
    fake.acknowledge(&arrived, 1);
    answer.await.unwrap()
}

#[tokio::test]
async fn s18_a_message_of_more_than_64_levels_is_400_before_anything_of_it_is_read() {
    let fake = Fake::start().await;
    let lists = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let line =
        |payload: String| format!("{{\"model\":\"m\",\"twin\":\"t\",\"payload\":{payload}}}");
    for (path, body) in [
        (PATH, objects(64)),
        // The outer list is the body's.
        (PATH, lists(65)),
        (PATH, format!("[1,{}]", objects(64))),
        (PATH, format!("[\"{}\"]", "[".repeat(1000))),
        (LINES, line(lists(64))),
    ] {
        let answer = taken(&fake, path, &[], body).await;
        assert_eq!(answer.status, 200, "the limit itself is allowed: {}", answer.text);
    }
    for body in [objects(65), lists(66), format!("[1,{}]", objects(65)), "[".repeat(1 << 20)] {
        let detail = post(fake.address, PATH, body).await.unwrap().problem(400, "too-deep");
        assert!(detail.contains("more than 64 objects and lists"), "{detail}");
    }
    assert!(fake.try_take().is_none());
    let two = format!("{}\n{}", line(lists(65)), line(lists(1)));
    let lines = taken(&fake, LINES, &[], two).await.lines();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [400, 200], "a line that is too deep does not stop the others");

    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.depth_max = 2);
    let fake = Fake::with(rest, 1).await;
    assert_eq!(taken(&fake, PATH, &[], objects(2)).await.status, 200);
    post(fake.address, PATH, objects(3)).await.unwrap().problem(400, "too-deep");
}

#[tokio::test]
async fn s18_more_messages_than_the_limit_are_413_and_no_more_of_them_are_read() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.lines_max = 3);
    let fake = Fake::with(rest, 1).await;
    assert_eq!(taken(&fake, PATH, &[], "[1,2,3]".into()).await.json()["applied"], 3);
    // What stands behind the message too many is not looked at.
    for body in ["[1,2,3,4]", "[1,2,3,4,", "[1,2,3,4,no"] {
        post(fake.address, PATH, body).await.unwrap().problem(413, "too-many-messages");
    }
}

#[tokio::test]
async fn s18_more_than_64_headers_or_16_kib_of_them_are_431() {
    let fake = Fake::start().await;
    // Every request has a host and a length.
    let names: Vec<_> = (0..63).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(taken(&fake, PATH, &many[..62], "1".into()).await.status, 200);
    post_with(fake.address, PATH, &many, "1").await.unwrap().problem(431, "headers");
    let others = format!("host{}content-length1x-long", fake.address).len();
    let long = |len: usize| "x".repeat(len - others);
    let most = (16 << 10, (16 << 10) + 1);
    let within = taken(&fake, PATH, &[("x-long", &long(most.0))], "1".into()).await;
    assert_eq!(within.status, 200, "{}", within.text);
    let over = post_with(fake.address, PATH, &[("x-long", &long(most.1))], "1").await.unwrap();
    over.problem(431, "headers");
    let bare = post_with(fake.address, PATH, &[("x-long", &"x".repeat(100 << 10))], "1").await;
    assert_eq!(bare.unwrap().status, 431, "this one is not even read");
    assert!(fake.try_take().is_none());
}

#[tokio::test]
async fn s18_twin_ids_and_keys_of_messages_have_their_bytes() {
    let fake = Fake::start().await;
    let id = |bytes: usize| format!("{}a", "\u{e9}".repeat((bytes - 1) / 2));
    let path = |id: &str| {
        let id: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("/v1/twins/m/{id}/messages")
    };
    assert_eq!(taken(&fake, &path(&id(255)), &[], "1".into()).await.status, 200);
    assert_eq!(taken(&fake, &path(&format!("{}b", id(255))), &[], "1".into()).await.status, 200);
    post(fake.address, &path(&id(257)), "1").await.unwrap().problem(400, "twin-id");
    for bad in ["a\u{0}", "a\u{7f}", "a\n", "\u{85}"] {
        post(fake.address, &path(bad), "1").await.unwrap().problem(400, "twin-id");
    }
    let key = "k".repeat(256);
    assert_eq!(taken(&fake, PATH, &[("idempotency-key", &key[1..])], "1".into()).await.status, 200);
    let over = post_with(fake.address, PATH, &[("idempotency-key", &key)], "1").await.unwrap();
    over.problem(400, "idempotency-key");
    let line = |bytes: usize| {
        let id = "i".repeat(bytes);
        format!("{{\"model\":\"m\",\"twin\":\"t\",\"id\":\"{id}\",\"payload\":1}}\n")
    };
    let lines = taken(&fake, LINES, &[], line(1024) + &line(1025)).await.lines();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&200.into(), &400.into()));
}
