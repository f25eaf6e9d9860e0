//! The proxy does what it is told, and no more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    thread::sleep,
    time::Duration,
};

use twinflow_servers::{Proxy, Way};

/// A client and a server with a proxy between them.
struct Ends {
    proxy: Proxy,
    client: TcpStream,
    server: TcpStream,
}

fn ends() -> Ends {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    let client = TcpStream::connect(proxy.address()).unwrap();
    let server = listener.accept().unwrap().0;
    for end in [&client, &server] {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    Ends { proxy, client, server }
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// How a stream ended.
fn end(stream: &mut TcpStream) -> Option<ErrorKind> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).err().map(|error| error.kind())
}

#[test]
fn bytes_pass_both_ways_and_are_counted_and_a_close_is_passed_on() {
    let mut ends = ends();
    ends.client.write_all(b"question").unwrap();
    assert_eq!(read(&mut ends.server, 8), b"question");
    ends.server.write_all(b"yes").unwrap();
    assert_eq!(read(&mut ends.client, 3), b"yes");
    assert_eq!((ends.proxy.passed(Way::Up), ends.proxy.passed(Way::Down)), (8, 3));
    drop(ends.client);
    assert_eq!(end(&mut ends.server), None);
}

#[test]
fn a_cut_is_a_reset_at_both_ends_and_new_connections_come() {
    let mut ends = ends();
    ends.client.write_all(b"a").unwrap();
    assert_eq!(read(&mut ends.server, 1), b"a");
    ends.proxy.cut();
    assert_eq!(end(&mut ends.client), Some(ErrorKind::ConnectionReset));
    assert_eq!(end(&mut ends.server), Some(ErrorKind::ConnectionReset));
    assert!(TcpStream::connect(ends.proxy.address()).is_ok());
}

#[test]
fn a_cut_after_some_bytes_lets_exactly_those_pass() {
    let mut ends = ends();
    ends.proxy.cut_after_bytes(Way::Up, 5);
    ends.client.write_all(b"abc").unwrap();
    assert_eq!(read(&mut ends.server, 3), b"abc");
    ends.client.write_all(b"defg").unwrap();
    assert_eq!(read(&mut ends.server, 2), b"de");
    assert_eq!(end(&mut ends.server), Some(ErrorKind::ConnectionReset));
    assert_eq!(ends.proxy.passed(Way::Up), 5);
}

#[test]
fn what_is_held_stays_until_it_is_resumed_and_nobody_hears_of_it() {
    let mut ends = ends();
    ends.proxy.hold();
    ends.client.write_all(b"late").unwrap();
    ends.server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = ends.server.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    ends.proxy.resume();
    ends.server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(read(&mut ends.server, 4), b"late");
}

#[test]
fn a_delay_holds_each_piece_up() {
    let mut ends = ends();
    ends.proxy.delay(Duration::from_millis(300));
    ends.client.write_all(b"slow").unwrap();
    sleep(Duration::from_millis(100));
    assert_eq!(ends.proxy.passed(Way::Up), 0);
    assert_eq!(read(&mut ends.server, 4), b"slow");
}

#[test]
fn garbled_bytes_are_other_bytes_and_only_so_many() {
    let mut ends = ends();
    ends.proxy.garble_next(Way::Down, 2);
    ends.server.write_all(b"abcd").unwrap();
    assert_eq!(read(&mut ends.client, 4), [b'a' ^ 0xa5, b'b' ^ 0xa5, b'c', b'd']);
    ends.client.write_all(b"up").unwrap();
    assert_eq!(read(&mut ends.server, 2), b"up");
}

#[test]
fn refused_connections_are_refused_and_open_ones_stay() {
    let mut ends = ends();
    ends.proxy.refuse(true);
    let error = TcpStream::connect(ends.proxy.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    ends.client.write_all(b"open").unwrap();
    assert_eq!(read(&mut ends.server, 4), b"open");
    ends.proxy.refuse(false);
    assert!(TcpStream::connect(ends.proxy.address()).is_ok());
}
