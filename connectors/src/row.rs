//! The layout of a row: writer and reader in one file (law S6).
//!
//! ```text
//! received_at u64 | position u64 | payload_len u32 | attributes_len u32 |
//! id_len u16 | origin u16 | model u16 | kind u8 | format u8 | id | attributes | payload | pad to 8
//! ```
//!
//! All numbers are little endian. Attributes are `tag u8 | 0 | len u16 | value`, one after another,
//! and empty for most rows. `position` is the offset in a replayable source; in other rows it is
//! the receipt (upper 48 bits) and the index in its delivery (lower 16).
//!
//! Reading never fails and never leaves the row: lengths are checked once per frame by
//! [`crate::frame::RowFrame`], so a reader of a checked row may slice without a second look.

use crate::message::{Format, Timestamp};

/// Bytes of a row before its id.
pub const HEAD: usize = 32;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RowKind {
    /// A message for a twin.
    Message = 0,
    /// What a connector received and could not address; the reason is an attribute (law S7).
    Undeliverable = 1,
    /// A timer that fell due (later).
    Timer = 2,
    /// A message from another twin (later).
    TwinToTwin = 3,
    /// Creates a twin that does not exist yet.
    Create = 4,
    /// Removes a twin.
    Remove = 5,
    /// Reads a twin's state; the answer leaves when its epoch is committed (law R1).
    Read = 6,
    /// The message of a dead letter once more (law D5).
    Replay = 9,
    /// Forgets a dead letter.
    Drop = 10,
    /// Ends the quarantine of a twin.
    Release = 11,
    /// Nothing of a twin: the worker that gets it rewrites a piece of what it holds (law D2).
    Sweep = 12,
    /// A message that a pipeline could not handle; the reason is an attribute.
    Failed = 13,
}

impl RowKind {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Message,
            1 => Self::Undeliverable,
            2 => Self::Timer,
            3 => Self::TwinToTwin,
            4 => Self::Create,
            5 => Self::Remove,
            6 => Self::Read,
            9 => Self::Replay,
            10 => Self::Drop,
            11 => Self::Release,
            12 => Self::Sweep,
            13 => Self::Failed,
            _ => return None,
        })
    }
}

/// Tags of attributes.
mod tag {
    pub(super) const MESSAGE_ID: u8 = 1;
    pub(super) const SOURCE_TIME: u8 = 2;
    pub(super) const NAME: u8 = 3;
    pub(super) const HEADER: u8 = 4;
    pub(super) const PARTITION: u8 = 6;
    pub(super) const REASON: u8 = 7;
    pub(super) const DEAD_LETTER: u8 = 8;
    pub(super) const BODY_HASH: u8 = 9;
}

/// Everything of a row but its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RowHead {
    /// When the link took the delivery.
    pub received_at: Timestamp,
    /// Offset, or receipt and index (see the top of this file).
    pub position: u64,
    /// The slot that the row came by.
    pub origin: u16,
    /// Number of the model in this state directory.
    pub model: u16,
    /// What the row is about.
    pub kind: RowKind,
    /// How the payload is meant.
    pub format: Format,
}

/// Appends attributes to a scratch buffer, in the form that a row carries.
#[derive(Debug, Default)]
pub struct AttributesWriter(Vec<u8>);

impl AttributesWriter {
    /// Forgets what was written and keeps the buffer.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The bytes written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The sender's own id of the message.
    pub fn message_id(&mut self, id: &[u8]) {
        self.put(tag::MESSAGE_ID, &[id]);
    }

    /// The source's own time.
    pub fn source_time(&mut self, time: Timestamp) {
        self.put(tag::SOURCE_TIME, &[&time.0.to_le_bytes()]);
    }

    /// A name that a topic template captured.
    pub fn name(&mut self, name: &str, value: &str) {
        self.pair(tag::NAME, name, value.as_bytes());
    }

    /// A header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.pair(tag::HEADER, name, value);
    }

    /// The partition of a replayable source, as numbered by its link.
    #[inline]
    pub fn partition(&mut self, number: u32) {
        let [a, b, c, d] = number.to_le_bytes();
        self.0.extend_from_slice(&[tag::PARTITION, 0, 4, 0, a, b, c, d]);
    }

    /// Why a row is undeliverable.
    pub fn reason(&mut self, reason: &str) {
        let cut = reason.floor_char_boundary(1024);
        self.put(tag::REASON, &[&reason.as_bytes()[..cut]]);
    }

    /// The dead letter that the row is about, and the connection that had brought it.
    pub fn dead_letter(&mut self, number: u64, connection: &str) {
        self.put(tag::DEAD_LETTER, &[&number.to_le_bytes(), connection.as_bytes()]);
    }

    /// The hash of the body as its sender sent it, where a pipeline gave it another one.
    pub fn body_hash(&mut self, hash: u64) {
        self.put(tag::BODY_HASH, &[&hash.to_le_bytes()]);
    }

    fn copy(&mut self, from: Attributes<'_>, wanted: impl Fn(u8) -> bool) {
        for (tag, value) in from.iter().filter(|(tag, _)| wanted(*tag)) {
            self.put(tag, &[value]);
        }
    }

    /// Everything of the row that another one is made from, but its message id.
    pub fn copy_without_id(&mut self, from: Attributes<'_>) {
        self.copy(from, |tag| tag != tag::MESSAGE_ID);
    }

    /// What tells where a row came from, and nothing else: its partition.
    pub fn copy_partition(&mut self, from: Attributes<'_>) {
        self.copy(from, |tag| tag == tag::PARTITION);
    }

    fn pair(&mut self, tag: u8, name: &str, value: &[u8]) {
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let name = &name.as_bytes()[..usize::from(name_len)];
        self.put(tag, &[&name_len.to_le_bytes(), name, value]);
    }

    /// Callers keep the whole below 16 KiB ([`crate::message::limits::ATTRIBUTES_BYTES_MAX`]); what
    /// is longer than a length can say is left out rather than cut in half.
    fn put(&mut self, tag: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let Ok(len) = u16::try_from(len) else { return };
        self.0.extend_from_slice(&[tag, 0]);
        self.0.extend_from_slice(&len.to_le_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }
}

/// Bytes that a row with these parts takes in a frame.
#[inline]
pub fn row_len(id: usize, attributes: usize, payload: usize) -> usize {
    (HEAD + id + attributes + payload).next_multiple_of(8)
}

/// Appends a row to `body`.
#[inline(always)]
pub fn write_row(body: &mut Vec<u8>, head: &RowHead, id: &str, attributes: &[u8], payload: &[u8]) {
    let start = body.len();
    let len = row_len(id.len(), attributes.len(), payload.len());
    body.reserve(len);
    let mut bytes = [0u8; HEAD];
    bytes[0..8].copy_from_slice(&head.received_at.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&head.position.to_le_bytes());
    bytes[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&(attributes.len() as u32).to_le_bytes());
    bytes[24..26].copy_from_slice(&(id.len() as u16).to_le_bytes());
    bytes[26..28].copy_from_slice(&head.origin.to_le_bytes());
    bytes[28..30].copy_from_slice(&head.model.to_le_bytes());
    bytes[30] = head.kind as u8;
    bytes[31] = head.format as u8;
    body.extend_from_slice(&bytes);
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(attributes);
    body.extend_from_slice(payload);
    body.resize(start + len, 0);
}

/// A row in a checked frame.
#[derive(Clone, Copy)]
pub struct Row<'f>(&'f [u8]);

impl<'f> Row<'f> {
    /// A view of one row's bytes.
    #[inline]
    pub fn new(bytes: &'f [u8]) -> Self {
        Self(bytes)
    }

    /// Whether the lengths in the head stay within the row, the kind is known and the id is UTF-8.
    pub fn is_sound(bytes: &[u8]) -> bool {
        if bytes.len() < HEAD || !bytes.len().is_multiple_of(8) {
            return false;
        }
        let row = Row(bytes);
        let len = row_len(row.id_len(), row.attributes_len(), row.payload_len());
        len == bytes.len()
            && RowKind::from_number(bytes[30]).is_some()
            && std::str::from_utf8(row.id_bytes()).is_ok()
    }

    /// The row as it is, head and padding included.
    pub fn bytes(&self) -> &'f [u8] {
        self.0
    }

    #[inline]
    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes of a row head"))
    }

    #[inline]
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes of a row head"))
    }

    #[inline]
    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.0[at..at + 2].try_into().expect("two bytes of a row head"))
    }

    #[inline]
    fn payload_len(&self) -> usize {
        self.u32_at(16) as usize
    }

    #[inline]
    fn attributes_len(&self) -> usize {
        self.u32_at(20) as usize
    }

    #[inline]
    fn id_len(&self) -> usize {
        usize::from(self.u16_at(24))
    }

    /// When the link took the delivery.
    #[inline]
    pub fn received_at(&self) -> Timestamp {
        Timestamp(self.u64_at(0))
    }

    /// Offset, or receipt and index.
    #[inline]
    pub fn position(&self) -> u64 {
        self.u64_at(8)
    }

    /// The slot that the row came by.
    #[inline]
    pub fn origin(&self) -> u16 {
        self.u16_at(26)
    }

    /// Number of the model in this state directory.
    #[inline]
    pub fn model(&self) -> u16 {
        self.u16_at(28)
    }

    /// What the row is about.
    #[inline]
    pub fn kind(&self) -> RowKind {
        RowKind::from_number(self.0[30]).expect("a checked row has a known kind")
    }

    /// Whether it is of this kind: one comparison where [`Self::kind`] is a table.
    #[inline]
    pub fn is(&self, kind: RowKind) -> bool {
        self.0[30] == kind as u8
    }

    /// How the payload is meant.
    #[inline]
    pub fn format(&self) -> Format {
        Format::from_number(self.0[31])
    }

    /// The twin id's bytes.
    #[inline]
    pub fn id_bytes(&self) -> &'f [u8] {
        &self.0[HEAD..HEAD + self.id_len()]
    }

    /// The twin id.
    #[inline]
    pub fn id(&self) -> &'f str {
        std::str::from_utf8(self.id_bytes()).expect("a checked row has a UTF-8 id")
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &'f [u8] {
        let start = HEAD + self.id_len() + self.attributes_len();
        &self.0[start..start + self.payload_len()]
    }

    /// The attributes.
    #[inline]
    pub fn attributes(&self) -> Attributes<'f> {
        let start = HEAD + self.id_len();
        Attributes(&self.0[start..start + self.attributes_len()])
    }
}

/// The attributes of a row, looked at only when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'f>(&'f [u8]);

impl<'f> Attributes<'f> {
    /// Attributes from bytes that an [`AttributesWriter`] made.
    pub fn new(bytes: &'f [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is nothing but a partition: nearly every row of a replayable source.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.0.is_empty() || (self.0.len() == 8 && self.0[0] == tag::PARTITION)
    }

    /// The bytes as the row carries them.
    pub fn bytes(&self) -> &'f [u8] {
        self.0
    }

    /// Every attribute; ends at the first that does not fit, so damage never leaves the row.
    fn iter(self) -> impl Iterator<Item = (u8, &'f [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(4)?;
            let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let (value, next) = tail.split_at_checked(len)?;
            rest = next;
            Some((head[0], value))
        })
    }

    fn find(self, tag: u8) -> Option<&'f [u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// The sender's own id of the message.
    pub fn message_id(self) -> Option<&'f [u8]> {
        self.find(tag::MESSAGE_ID)
    }

    /// The source's own time.
    pub fn source_time(self) -> Option<Timestamp> {
        let bytes = self.find(tag::SOURCE_TIME)?;
        Some(Timestamp(u64::from_le_bytes(bytes.try_into().ok()?)))
    }

    /// The partition of a replayable source, as numbered by its link.
    pub fn partition(self) -> Option<u32> {
        Some(u32::from_le_bytes(self.find(tag::PARTITION)?.try_into().ok()?))
    }

    /// The hash of the body as its sender sent it, where a pipeline gave it another one.
    pub fn body_hash(self) -> Option<u64> {
        Some(u64::from_le_bytes(self.find(tag::BODY_HASH)?.try_into().ok()?))
    }

    /// Why the row is undeliverable.
    pub fn reason(self) -> Option<&'f str> {
        std::str::from_utf8(self.find(tag::REASON)?).ok()
    }

    /// The dead letter that the row is about, and the connection that had brought it.
    pub fn dead_letter(self) -> Option<(u64, &'f str)> {
        let (number, connection) = self.find(tag::DEAD_LETTER)?.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*number), std::str::from_utf8(connection).ok()?))
    }

    /// Headers in the order in which they were written.
    pub fn headers(self) -> impl Iterator<Item = (&'f str, &'f [u8])> {
        self.pairs(tag::HEADER)
    }

    /// Names that a topic template captured.
    pub fn names(self) -> impl Iterator<Item = (&'f str, &'f str)> {
        self.pairs(tag::NAME).filter_map(|(k, v)| Some((k, std::str::from_utf8(v).ok()?)))
    }

    fn pairs(self, wanted: u8) -> impl Iterator<Item = (&'f str, &'f [u8])> {
        self.iter().filter(move |(tag, _)| *tag == wanted).filter_map(|(_, value)| {
            let (len, rest) = value.split_at_checked(2)?;
            let (name, value) =
                rest.split_at_checked(usize::from(u16::from_le_bytes([len[0], len[1]])))?;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> RowHead {
        RowHead {
            received_at: Timestamp(7),
            position: 9,
            origin: 3,
            model: 2,
            kind: RowKind::Message,
            format: Format::Json,
        }
    }

    proptest! {
        #[test]
        fn a_row_gives_back_what_was_written(
            id in ".{0,40}", payload in prop::collection::vec(any::<u8>(), 0..300),
            key in "[a-z]{0,9}", value in prop::collection::vec(any::<u8>(), 0..30),
            message_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        ) {
            let mut attributes = AttributesWriter::default();
            attributes.header(&key, &value);
            attributes.name("site", "7");
            attributes.dead_letter(17, &key);
            if let Some(id) = &message_id { attributes.message_id(id) }
            let mut body = Vec::new();
            write_row(&mut body, &head(), &id, attributes.bytes(), &payload);
            prop_assert!(Row::is_sound(&body));
            let row = Row::new(&body);
            prop_assert_eq!((row.id(), row.payload()), (id.as_str(), payload.as_slice()));
            prop_assert_eq!((row.position(), row.origin(), row.model()), (9, 3, 2));
            prop_assert_eq!(row.attributes().message_id(), message_id.as_deref());
            let headers: Vec<_> = row.attributes().headers().collect();
            prop_assert_eq!(headers, vec![(key.as_str(), value.as_slice())]);
            prop_assert_eq!(row.attributes().dead_letter(), Some((17, key.as_str())));
            prop_assert_eq!(row.attributes().names().collect::<Vec<_>>(), vec![("site", "7")]);
        }

        #[test]
        fn a_flipped_bit_is_refused_or_read_within_bounds(bit in 0usize..(96 * 8)) {
            let mut body = Vec::new();
            let mut attributes = AttributesWriter::default();
            attributes.header("k", b"v");
            write_row(&mut body, &head(), "twin-1", attributes.bytes(), &[b'x'; 40]);
            prop_assume!(bit < body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            if Row::is_sound(&body) {
                let row = Row::new(&body);
                let _seen = (row.id(), row.payload(), row.attributes().headers().count());
            }
        }
    }
}
