//! What came and is not delivered yet, and what was delivered and is not acknowledged yet: one
//! order, that of the broker.

use std::collections::VecDeque;

use super::client::{Arrived, Packet};
use crate::{link::Receipt, unacknowledged::Unacknowledged};

/// Bytes that are held while the link is full. The window of the broker bounds their number; over
/// this the network is not read until there is room, and then the signs of life stop with it.
pub(super) const HELD_BYTES_MAX: usize = 64 << 20;

/// Messages without acknowledgement that are held; no window bounds them.
pub(super) const HELD_QOS_0_MAX: usize = 8192;

/// Messages of one connection that wait for room.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Arrived>,
    bytes: usize,
    at_most_once: usize,
    /// Messages of quality of service 0 that found no room.
    pub(super) dropped: u64,
}

impl Inbox {
    /// Takes a message in. One that nobody waits to have acknowledged is dropped when there is no
    /// room for it.
    pub(super) fn push(&mut self, message: Arrived) {
        let bytes = weight(&message);
        if message.packet.qos == 0 {
            if self.at_most_once >= HELD_QOS_0_MAX || self.bytes + bytes > HELD_BYTES_MAX {
                self.dropped += 1;
                return;
            }
            self.at_most_once += 1;
        }
        self.bytes += bytes;
        self.waiting.push_back(message);
    }

    pub(super) fn first(&self) -> Option<&Arrived> {
        self.waiting.front()
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<Packet> {
        let message = self.waiting.pop_front()?;
        self.bytes -= weight(&message);
        if message.packet.qos == 0 {
            self.at_most_once -= 1;
        }
        Some(message.packet)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the network has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > HELD_BYTES_MAX
    }
}

/// What a message costs to hold.
fn weight(message: &Arrived) -> usize {
    message.topic.len() + message.payload.len() + 128
}

/// Packets in the order in which they came, and how many of them each delivery has.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    order: VecDeque<Packet>,
    deliveries: Unacknowledged<usize>,
    /// The newest delivery.
    newest: Option<Receipt>,
}

impl Acknowledgements {
    /// Notes a packet that goes with the delivery that is being made.
    pub(super) fn note(&mut self, packet: Packet) {
        if packet.qos > 0 {
            self.order.push_back(packet);
        }
    }

    /// A delivery with `count` noted packets was made.
    pub(super) fn delivered(&mut self, receipt: Receipt, count: usize) {
        self.deliveries.push(receipt, count);
        self.newest = Some(receipt);
    }

    /// `count` noted packets need no delivery. They wait for those before them.
    pub(super) fn nothing_delivered(&mut self, count: usize) -> impl Iterator<Item = Packet> {
        let waits = self.newest.and_then(|newest| self.deliveries.get_mut(newest));
        let now = match waits {
            Some(before) => {
                *before += count;
                0
            }
            None => count,
        };
        self.order.drain(..now)
    }

    /// What is acknowledged now, oldest first.
    pub(super) fn up_to(&mut self, receipt: Receipt) -> impl Iterator<Item = Packet> {
        let count: usize = self.deliveries.up_to(receipt).map(|(_, count)| count).sum();
        self.order.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(id: u16, qos: u8, len: usize) -> Arrived {
        Arrived {
            topic: Bytes::from_static(b"t"),
            payload: Bytes::from(vec![0; len]),
            packet: Packet { id, qos },
            retain: false,
            properties: Vec::new(),
        }
    }

    #[test]
    fn only_what_nobody_acknowledges_is_dropped() {
        let mut inbox = Inbox::default();
        for id in 0..HELD_QOS_0_MAX + 5 {
            inbox.push(message(id as u16, 0, 1));
        }
        assert_eq!((inbox.len(), inbox.dropped), (HELD_QOS_0_MAX, 5));
        inbox.push(message(9, 1, HELD_BYTES_MAX));
        assert!(inbox.is_full());
        inbox.push(message(0, 0, 1));
        inbox.push(message(10, 1, 1));
        assert_eq!((inbox.len(), inbox.dropped), (HELD_QOS_0_MAX + 2, 6));
        while inbox.pop().is_some() {}
        assert!(!inbox.is_full() && inbox.bytes == 0 && inbox.at_most_once == 0);
    }

    #[test]
    fn packets_are_acknowledged_in_the_order_in_which_they_came() {
        let mut waiting = Acknowledgements::default();
        let ids = |packets: Vec<Packet>| packets.iter().map(|p| p.id).collect::<Vec<_>>();
        let note = |waiting: &mut Acknowledgements, id, qos| waiting.note(Packet { id, qos });
        note(&mut waiting, 7, 1);
        assert_eq!(ids(waiting.nothing_delivered(1).collect()), [7], "nothing is before it");
        note(&mut waiting, 8, 1);
        note(&mut waiting, 0, 0);
        note(&mut waiting, 9, 1);
        waiting.delivered(Receipt(1), 2);
        note(&mut waiting, 3, 1);
        assert_eq!(ids(waiting.nothing_delivered(1).collect()), [0_u16; 0], "8 and 9 are before");
        note(&mut waiting, 4, 1);
        waiting.delivered(Receipt(2), 1);
        assert_eq!(ids(waiting.up_to(Receipt(1)).collect()), [8, 9, 3]);
        assert_eq!(ids(waiting.up_to(Receipt(2)).collect()), [4]);
    }
}
