//! Reads what the broker sends on its way to the program: which message, and how often.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

const PUBLISH: u8 = 3;

/// How often each id was on its way, as a whole packet.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The beginning of a packet, for each connection.
    half: HashMap<u64, Vec<u8>>,
    delivered: HashMap<u64, u64>,
}

impl Tap {
    /// Takes bytes of a connection.
    pub(crate) fn take(&self, connection: u64, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap();
        let Seen { half, delivered } = &mut *seen;
        let held = half.entry(connection).or_default();
        held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(len) = packet_len(&held[at..]) {
            let packet = &held[at..at + len];
            if packet[0] >> 4 == PUBLISH {
                *delivered.entry(id(packet)).or_default() += 1;
            }
            at += len;
        }
        held.drain(..at);
    }

    /// How many different messages have passed.
    pub(crate) fn distinct(&self) -> u64 {
        self.0.lock().unwrap().delivered.len() as u64
    }

    /// How often each has passed.
    pub(crate) fn delivered(&self) -> HashMap<u64, u64> {
        self.0.lock().unwrap().delivered.clone()
    }
}

/// The number behind `{"id":` in the packet's payload.
fn id(packet: &[u8]) -> u64 {
    let start = b"{\"id\":";
    let at = packet.windows(start.len()).position(|bytes| bytes == start).unwrap() + start.len();
    let digits = packet[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Length of the first packet, once all of it is there.
fn packet_len(bytes: &[u8]) -> Option<usize> {
    let (mut len, mut shift) = (0, 0);
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let all = at + 1 + len;
            return (bytes.len() >= all).then_some(all);
        }
        shift += 7;
    }
    None
}

#[test]
fn packets_in_pieces_are_counted_once_each() {
    let tap = Tap::default();
    let packet = |id: u64| {
        let body = format!("\0\u{1}t\0\u{1}\0{{\"id\":{id}}}");
        [&[0x32, body.len() as u8][..], body.as_bytes()].concat()
    };
    let stream = [packet(7), packet(12), packet(7), vec![0xd0, 0]].concat();
    for piece in stream.chunks(5) {
        tap.take(1, piece);
    }
    tap.take(2, &packet(3)[..4]);
    assert_eq!(tap.delivered(), HashMap::from([(7, 2), (12, 1)]));
    assert_eq!(tap.distinct(), 2);
}
