//! The shape of a record and a run of records of one shape in one shared buffer.
//!
//! Estimate: finding record `i` is one multiplication, as all records of a data set are equally
//! long; 2,000,000 records with 100 bytes of payload are 228 MB.

use bytes::Bytes;

use crate::draw::{Draws, TwinPicker};
use crate::payload::{Size, write_json, write_opaque};

/// The digits of a twin number in a W1 id, `twin-NNNNNNN`.
const ID_DIGITS: usize = 7;
/// The number of twins that ids of seven digits can name.
pub const MOST_TWINS: u64 = 10_000_000;
const SEED: u64 = 42;

/// Which of the two record formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// W1 and W3: id, tab, JSON, newline.
    Json,
    /// W2: twin number (little endian) and opaque bytes.
    Opaque,
}

impl Format {
    /// Where things are in a record with payloads of `size`.
    pub fn layout(self, size: Size) -> Layout {
        let (id, gap, tail) = match self {
            Self::Json => ("twin-".len() + ID_DIGITS, 1, 1),
            Self::Opaque => (size_of::<u64>(), 0, 0),
        };
        Layout { id, gap, payload: size.bytes(), tail }
    }

    /// The twin number in the id of a record.
    pub fn twin(self, id: &[u8]) -> Option<u64> {
        match self {
            Self::Json => std::str::from_utf8(id.strip_prefix(b"twin-")?).ok()?.parse().ok(),
            Self::Opaque => Some(u64::from_le_bytes(id.try_into().ok()?)),
        }
    }

    /// Appends record `seq` for `twin`.
    fn write(self, out: &mut Vec<u8>, seq: u64, twin: u64, draw: u64, size: Size) {
        match self {
            Self::Json => {
                out.extend_from_slice(&Records::id(twin));
                out.push(b'\t');
                write_json(out, seq, draw, size);
                out.push(b'\n');
            }
            Self::Opaque => {
                out.extend_from_slice(&twin.to_le_bytes());
                write_opaque(out, draw, size);
            }
        }
    }
}

/// How many bytes of a record are what, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The twin's id.
    pub id: usize,
    /// What separates it from the payload.
    pub gap: usize,
    /// The payload.
    pub payload: usize,
    /// What ends the record.
    pub tail: usize,
}

impl Layout {
    /// The bytes of a whole record.
    pub fn stride(&self) -> usize {
        self.id + self.gap + self.payload + self.tail
    }
}

/// The records, numbered from nought, as `(seq, twin, draw)`; record `i` depends on `i` alone.
#[derive(Debug)]
pub struct Records {
    picker: TwinPicker,
    draws: Draws,
}

impl Records {
    /// The records of the data set whose twins `picker` chooses.
    pub fn new(picker: TwinPicker) -> Self {
        Self { picker, draws: Draws::new(SEED) }
    }

    /// The id of a twin in W1.
    pub fn id(twin: u64) -> [u8; 12] {
        let mut id = *b"twin-0000000";
        let mut rest = twin;
        for digit in id["twin-".len()..].iter_mut().rev() {
            *digit += u8::try_from(rest % 10).expect("a digit is below ten");
            rest /= 10;
        }
        id
    }

    /// The twin of record `seq`.
    pub fn twin(&self, seq: u64) -> u64 {
        self.picker.pick(self.draws.at(2 * seq))
    }

    /// Appends record `seq`.
    pub fn write(&self, out: &mut Vec<u8>, seq: u64, format: Format, size: Size) {
        format.write(out, seq, self.twin(seq), self.draws.at(2 * seq + 1), size);
    }
}

/// What one source hands over: records of one shape, in order, in one shared buffer.
#[derive(Clone, Debug)]
pub struct Partition {
    bytes: Bytes,
    layout: Layout,
    passes: usize,
}

impl Partition {
    /// The records in `bytes`, which must be whole.
    pub fn new(bytes: Bytes, layout: Layout) -> Self {
        assert_eq!(bytes.len() % layout.stride(), 0, "records are whole");
        Self { bytes, layout, passes: 1 }
    }

    /// The same records, handed over so many times, one pass behind the other.
    #[must_use]
    pub fn repeated(self, passes: usize) -> Self {
        Self { passes, ..self }
    }

    /// How often the records are handed over.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// How many records there are in one pass.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.layout.stride()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The shape of the records.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All records in one buffer; a clone of it costs a counter.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The whole of record `i`.
    pub fn line(&self, i: usize) -> &[u8] {
        &self.bytes[i * self.layout.stride()..][..self.layout.stride()]
    }

    /// Twin id and payload of record `i`.
    pub fn record(&self, i: usize) -> (&[u8], &[u8]) {
        let record = &self.bytes[i * self.layout.stride()..][..self.layout.stride()];
        let (id, rest) = record.split_at(self.layout.id);
        (id, &rest[self.layout.gap..][..self.layout.payload])
    }

    /// The payload of record `i` without copying it, as a network client would hold it.
    pub fn payload(&self, i: usize) -> Bytes {
        let start = i * self.layout.stride() + self.layout.id + self.layout.gap;
        self.bytes.slice(start..start + self.layout.payload)
    }

    /// The records of one pass in buffers of `records` each, as a network client would hand them
    /// over.
    pub fn chunks(&self, records: usize) -> impl Iterator<Item = Partition> + '_ {
        let step = records * self.layout.stride();
        (0..self.bytes.len()).step_by(step).map(move |start| Self {
            bytes: self.bytes.slice(start..self.bytes.len().min(start + step)),
            layout: self.layout,
            passes: 1,
        })
    }

    /// The first `records` records, or all there are.
    pub fn first(&self, records: usize) -> Self {
        let end = self.bytes.len().min(records * self.layout.stride());
        Self { bytes: self.bytes.slice(..end), ..self.clone() }
    }

    /// The same W2 records with the twin number as 16 hex digits, for an engine whose ids are text.
    pub fn with_hex_ids(&self) -> Self {
        let layout = Layout { id: 16, ..self.layout };
        let mut bytes = Vec::with_capacity(self.len() * layout.stride());
        for i in 0..self.len() {
            let (id, payload) = self.record(i);
            let twin = Format::Opaque.twin(id).expect("a W2 id is eight bytes");
            bytes.extend_from_slice(format!("{twin:016x}").as_bytes());
            bytes.extend_from_slice(payload);
        }
        Self { passes: self.passes, ..Self::new(Bytes::from(bytes), layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Distribution;

    fn partition(format: Format, records: u64) -> Partition {
        let source = Records::new(TwinPicker::new(1000, Distribution::Uniform));
        let mut out = Vec::new();
        (0..records).for_each(|seq| source.write(&mut out, seq, format, Size::Small));
        Partition::new(Bytes::from(out), format.layout(Size::Small))
    }

    #[test]
    fn a_record_splits_into_id_and_payload() {
        for format in [Format::Json, Format::Opaque] {
            let all = partition(format, 10);
            assert_eq!(all.len(), 10);
            let (id, payload) = all.record(3);
            let source = Records::new(TwinPicker::new(1000, Distribution::Uniform));
            assert_eq!(format.twin(id), Some(source.twin(3)));
            assert_eq!(payload.len(), 100);
            assert_eq!(all.payload(3), payload);
        }
    }

    #[test]
    fn a_json_record_is_a_line_with_a_tab() {
        let all = partition(Format::Json, 1);
        let text = std::str::from_utf8(&all.bytes).unwrap();
        let (id, payload) = text.strip_suffix('\n').unwrap().split_once('\t').unwrap();
        assert_eq!(id.len(), 12);
        assert!(id.starts_with("twin-") && payload.starts_with('{'));
    }

    #[test]
    fn chunks_lose_no_record() {
        let all = partition(Format::Json, 10);
        let lengths: Vec<usize> = all.chunks(4).map(|chunk| chunk.len()).collect();
        assert_eq!(lengths, [4, 4, 2]);
        assert_eq!(all.chunks(4).last().unwrap().record(1), all.record(9));
        assert_eq!(all.first(3).len(), 3);
        assert_eq!(all.first(30).len(), 10);
    }

    #[test]
    fn hex_ids_name_the_same_twins() {
        let all = partition(Format::Opaque, 5);
        let hex = all.with_hex_ids();
        for i in 0..5 {
            let twin = Format::Opaque.twin(all.record(i).0).unwrap();
            assert_eq!(hex.record(i).0, format!("{twin:016x}").as_bytes());
            assert_eq!(hex.record(i).1, all.record(i).1);
        }
    }
}
