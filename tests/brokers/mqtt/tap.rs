//! Reads what passes between broker and program: which message, how often, and what is
//! acknowledged.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use twinflow_servers::Way;

use crate::clock::{Told, wall_nanos};

const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// Whole packets, as the proxy sees them.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The beginning of a packet, for each connection and whether it is the program's.
    half: HashMap<(u64, bool), Vec<u8>>,
    /// What has a packet id of a connection and is not acknowledged yet: a broker may give one
    /// twice.
    open: HashMap<(u64, u16), VecDeque<Told>>,
    /// How many that are, for each connection.
    open_count: HashMap<u64, u64>,
    /// How often each message has passed.
    delivered: HashMap<u64, u64>,
    /// All messages that passed, in order.
    passed: Vec<u64>,
    /// What was acknowledged, in order.
    acknowledged: Vec<Told>,
    /// The most that were open at a time on one connection.
    open_max: u64,
    /// Packet ids that a broker gave while they were open.
    reused: u64,
    /// Acknowledgements of what was not open on their connection.
    stray: u64,
}

impl Tap {
    /// Takes bytes of a connection.
    pub(crate) fn take(&self, way: Way, connection: u64, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap();
        let key = (connection, way == Way::Up);
        let mut held = seen.half.remove(&key).unwrap_or_default();
        held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(len) = packet_len(&held[at..]) {
            seen.packet(way, connection, &held[at..at + len]);
            at += len;
        }
        held.drain(..at);
        seen.half.insert(key, held);
    }

    /// How many different messages have passed.
    pub(crate) fn distinct(&self) -> u64 {
        self.0.lock().unwrap().delivered.len() as u64
    }

    /// How often each message has passed.
    pub(crate) fn delivered(&self) -> HashMap<u64, u64> {
        self.0.lock().unwrap().delivered.clone()
    }

    /// All messages that passed, in order, repeated ones too.
    pub(crate) fn passed(&self) -> Vec<u64> {
        self.0.lock().unwrap().passed.clone()
    }

    /// What was acknowledged, from the `from`-th on.
    pub(crate) fn acknowledged(&self, from: usize) -> Vec<Told> {
        self.0.lock().unwrap().acknowledged[from..].to_vec()
    }

    /// The most messages that a connection had open at a time.
    pub(crate) fn open_max(&self) -> u64 {
        self.0.lock().unwrap().open_max
    }

    /// Packet ids that the broker gave while they were open, and acknowledgements of what was not.
    pub(crate) fn reused_and_stray(&self) -> (u64, u64) {
        let seen = self.0.lock().unwrap();
        (seen.reused, seen.stray)
    }
}

impl Seen {
    fn packet(&mut self, way: Way, connection: u64, packet: &[u8]) {
        // The length in the fixed header has one byte to four.
        let body = 2 + packet[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
        let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        match (way, packet[0] >> 4) {
            (Way::Down, PUBLISH) => {
                let (id, packet_id) = (id(packet), number(body + 2 + usize::from(number(body))));
                let times = self.delivered.entry(id).or_default();
                *times += 1;
                let first = *times == 1;
                self.passed.push(id);
                let open = self.open.entry((connection, packet_id)).or_default();
                open.push_back(Told { id, first, sent: wall_nanos(), at: 0 });
                self.reused += u64::from(open.len() > 1);
                let count = self.open_count.entry(connection).or_default();
                *count += 1;
                self.open_max = self.open_max.max(*count);
            }
            (Way::Up, PUBACK) => {
                let open = self.open.entry((connection, number(body))).or_default();
                if let Some(told) = open.pop_front() {
                    self.acknowledged.push(Told { at: wall_nanos(), ..told });
                    *self.open_count.entry(connection).or_default() -= 1;
                } else {
                    self.stray += 1;
                }
            }
            _ => {}
        }
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
fn packets_in_pieces_are_counted_once_each_and_stray_acknowledgements_are_seen() {
    let tap = Tap::default();
    let packet = |id: u64, packet_id: u8| {
        let body = format!("\0\u{1}t\0{}\0{{\"id\":{id}}}", char::from(packet_id));
        [&[0x32, body.len() as u8][..], body.as_bytes()].concat()
    };
    let stream = [packet(7, 1), packet(12, 2), packet(7, 3), vec![0xd0, 0]].concat();
    for piece in stream.chunks(5) {
        tap.take(Way::Down, 1, piece);
    }
    tap.take(Way::Down, 2, &packet(3, 1)[..4]);
    assert_eq!(tap.passed(), [7, 12, 7]);
    assert_eq!(tap.delivered(), HashMap::from([(7, 2), (12, 1)]));
    tap.take(Way::Down, 1, &packet(8, 3));
    assert_eq!((tap.distinct(), tap.open_max(), tap.reused_and_stray()), (3, 4, (1, 0)));
    tap.take(Way::Up, 1, &[0x40, 2, 0, 3, 0x40, 2, 0, 3, 0x40, 2, 0, 3]);
    assert_eq!((tap.open_max(), tap.reused_and_stray()), (4, (1, 1)));
    let acknowledged = tap.acknowledged(0);
    let ids = acknowledged.iter().map(|told| (told.id, told.first));
    assert!(ids.eq([(7, false), (8, true)]), "what has the packet id, oldest first");
    assert!(acknowledged.iter().all(|told| told.sent <= told.at));
}
