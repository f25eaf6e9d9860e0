//! What makes epochs durable: the trait, the entries that are written, and the errors.
//!
//! Entries are whole values, never differences (law D4): replay is idempotent, and order inside a
//! key is all that matters. Everything of an epoch is in one part per worker, and the parts of an
//! epoch count together or not at all.

mod piece;

use std::{
    fmt, io,
    sync::atomic::{AtomicU64, Ordering},
};

use twinflow_connectors::route::LEDGER_BUCKET;

pub use self::piece::{Piece, Places};

/// What an entry is about. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A twin's state. Space: model. Key: twin id. Value: schema version u32, encoded state.
    State = 1,
    /// The twin is gone. Space: model. Key: twin id.
    Removal = 2,
    /// A twin's data source. Space: model. Key: twin id. Value: connection u16, captured names.
    Route = 3,
    /// A source position. Space: connection. Key: topic and partition. Value: next position u64.
    Position = 4,
    /// Unconfirmed feedback. Space: connection. Key: model, id, twin. Value: the outbox entry.
    Feedback = 5,
    /// Its upstream has it, or nobody ever will. Space and key as `Feedback`.
    Delivered = 6,
    /// A dead letter. Key: number u64. Value: description length u32, description, payload.
    DeadLetter = 7,
    /// A dead letter is gone. Key: number u64.
    DeadLetterDropped = 8,
    /// An id of a message that was handled. Space: model. Key: twin, scope, id. Value: the answer;
    /// empty: the id is gone.
    MessageId = 9,
    /// The latest time of an epoch (law P6). Value: microseconds u64. Folds by maximum.
    Time = 10,
    /// A name. Space: 0 models, 1 connections. Key: number u16. Value: the name.
    Name = 11,
    /// A twin is in quarantine. Space: model. Key: twin id. Value: since when and why.
    Quarantined = 12,
    /// It was released. Space: model. Key: twin id.
    Released = 13,
    /// The highest number that a dead letter was given. Value: u64. Folds by maximum.
    DeadLetterNewest = 14,
    /// A source position that a person set, whatever was stored before (law D3). Space and key as
    /// `Position`. Value: next position u64; empty: none is stored.
    PositionSet = 15,
    /// A dead letter that is stored already, said again by a sweep. Key as `DeadLetter`. Value:
    /// description length u32, description. Never on disk: the store knows where the payload is,
    /// and writes a `DeadLetter`, or nothing if the letter was dropped.
    DeadLetterKept = 200,
    /// What was here is said again further on in the same part. Never on disk. Only in parts that
    /// many epochs wrote to.
    Void = 201,
}

impl EntryKind {
    /// Whether a store writes it in another form than a part has, or leaves it out.
    #[inline]
    fn is_translated(self) -> bool {
        use EntryKind::{DeadLetter, DeadLetterDropped, DeadLetterKept, Void};
        matches!(self, DeadLetter | DeadLetterDropped | DeadLetterKept | Void)
    }

    /// Whether it belongs to a twin, and so to the worker of its bucket.
    pub fn is_of_twin(self) -> bool {
        matches!(self, Self::State | Self::Removal | Self::Route | Self::MessageId)
    }

    /// The kind with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::State,
            2 => Self::Removal,
            3 => Self::Route,
            4 => Self::Position,
            5 => Self::Feedback,
            6 => Self::Delivered,
            7 => Self::DeadLetter,
            8 => Self::DeadLetterDropped,
            9 => Self::MessageId,
            10 => Self::Time,
            11 => Self::Name,
            12 => Self::Quarantined,
            13 => Self::Released,
            14 => Self::DeadLetterNewest,
            15 => Self::PositionSet,
            200 => Self::DeadLetterKept,
            201 => Self::Void,
            _ => return None,
        })
    }
}

/// One whole value that an epoch wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is about.
    pub kind: EntryKind,
    /// Bucket of its twin, or [`LEDGER_BUCKET`] for what belongs to no twin.
    pub bucket: u16,
    /// Number of the model or of the connection, by kind.
    pub space: u16,
    /// What is replaced.
    pub key: &'a [u8],
    /// What replaces it.
    pub value: &'a [u8],
}

/// Bytes of an entry before its key: length u32, kind u8, 0, bucket u16, space u16, key length u16.
pub const ENTRY_HEAD: usize = 12;

/// What one worker changed in one epoch: entries in the form in which they are written.
#[derive(Clone, Debug, Default)]
pub struct EpochPart {
    bytes: Vec<u8>,
    entries: u32,
    swept: Swept,
    /// Not 0: many epochs write to it, and this tells it from others of the worker.
    number: u32,
    /// Whether any entry is one that a store does not write as it is.
    translated: bool,
    /// So many bytes at most are still to come, of states that are written at the end.
    owed: usize,
}

/// What a part holds of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The sweep's number, 0 for none.
    pub number: u64,
    /// Bytes of entries that say nothing new.
    pub bytes: u64,
    /// The worker has rewritten its twins, message ids, dead letters and names.
    pub twins_done: bool,
    /// The worker has rewritten its positions and outboxes.
    pub ledger_done: bool,
}

impl Swept {
    /// Adds what another part of the same epoch holds.
    fn extend(&mut self, other: &Self) {
        let bytes = self.bytes + other.bytes;
        if other.number > self.number {
            *self = *other;
        } else if other.number == self.number {
            self.twins_done |= other.twins_done;
            self.ledger_done |= other.ledger_done;
        }
        self.bytes = bytes;
    }
}

/// What a store asks of all workers, so that it may drop old entries (laws D2, D10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepOrder {
    /// Its number, larger than that of every earlier one.
    pub number: u64,
    /// Entries of epochs before this one may be dropped when the sweep is complete.
    pub since: u64,
    /// Bytes that a worker rewrites at least in an epoch in which it takes part.
    pub bytes_min: usize,
    /// Whether epochs are closed for the sweep alone: there is no room for anything else.
    pub urgent: bool,
}

impl EpochPart {
    /// A part that reuses a buffer.
    pub fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { bytes: buffer, ..Self::default() }
    }

    /// The same, for many epochs.
    pub(crate) fn numbered(buffer: Vec<u8>, number: u32) -> Self {
        Self { number, ..Self::with_buffer(buffer) }
    }

    /// Adds an entry whose value is at hand.
    pub fn put(&mut self, kind: EntryKind, bucket: u16, space: u16, key: &[u8], value: &[u8]) {
        let written = self.put_with(kind, bucket, space, key, |bytes| -> Result<(), fmt::Error> {
            bytes.extend_from_slice(value);
            Ok(())
        });
        debug_assert!(written.is_ok(), "copying bytes never fails");
    }

    /// Adds an entry of the ledger bucket.
    pub fn put_ledger(&mut self, kind: EntryKind, space: u16, key: &[u8], value: &[u8]) {
        self.put(kind, LEDGER_BUCKET, space, key, value);
    }

    /// Adds an entry whose value `write` appends; leaves the part as it was if that fails.
    ///
    /// # Errors
    ///
    /// The error of `write`.
    #[inline]
    pub fn put_with<E>(
        &mut self,
        kind: EntryKind,
        bucket: u16,
        space: u16,
        key: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        let key_len = u16::try_from(key.len()).expect("keys are made of bounded ids");
        let mut head = [0u8; ENTRY_HEAD];
        head[4] = kind as u8;
        head[6..8].copy_from_slice(&bucket.to_le_bytes());
        head[8..10].copy_from_slice(&space.to_le_bytes());
        head[10..12].copy_from_slice(&key_len.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key);
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let len = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.entries += 1;
        self.translated |= kind.is_translated();
        Ok(())
    }

    /// Writes another value over that of the entry that begins at `at`, if that is one of this kind
    /// and key whose value is as long; whether it did. The value comes in two pieces.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        at: usize,
        kind: EntryKind,
        key: &[u8],
        (first, second): (&[u8], &[u8]),
    ) -> bool {
        let length = ENTRY_HEAD + key.len() + first.len() + second.len();
        let Some(bytes) = self.bytes.get_mut(at..at + length) else { return false };
        let (head, rest) = bytes.split_at_mut(ENTRY_HEAD);
        let (had, value) = rest.split_at_mut(key.len());
        let key_len = (key.len() as u16).to_le_bytes();
        let same = head[..4] == ((length - 4) as u32).to_le_bytes()
            && (head[4], &head[10..12]) == (kind as u8, &key_len[..])
            && had == key;
        if same {
            value[..first.len()].copy_from_slice(first);
            value[first.len()..].copy_from_slice(second);
        }
        same
    }

    /// Takes back the entry that begins at `at`: it is said again further on.
    pub(crate) fn void(&mut self, at: usize) {
        self.bytes[at + 4] = EntryKind::Void as u8;
        self.translated = true;
    }

    /// Entries of at most so many bytes will come.
    #[inline]
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.owed += bytes;
    }

    /// All of them came.
    pub(crate) fn owes_nothing(&mut self) {
        self.owed = 0;
    }

    /// Bytes of the entries, and of those that will come.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.owed
    }

    /// What tells a part that many epochs write to from others of its worker; else 0.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Adds all entries of another part.
    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.entries += other.entries;
        self.translated |= other.translated;
        self.swept.extend(&other.swept);
    }

    /// Adds entries that [`Self::bytes`] gave; there are `entries` of them.
    pub fn put_bytes(&mut self, bytes: &[u8], entries: u32) {
        self.bytes.extend_from_slice(bytes);
        self.entries += entries;
        self.translated = true;
    }

    /// Whether a store may write all entries as they are, without a look at each: none is of a dead
    /// letter, and nothing was taken back.
    pub fn is_plain(&self) -> bool {
        !self.translated
    }

    /// What it holds of a sweep.
    pub fn swept(&self) -> &Swept {
        &self.swept
    }

    /// Adds to what it holds of a sweep.
    pub fn add_swept(&mut self, swept: &Swept) {
        self.swept.extend(swept);
    }

    /// The entries as bytes; [`entries`] reads them back.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries there are.
    pub fn len(&self) -> u32 {
        self.entries
    }

    /// Whether it says nothing, not even that a worker's part of a sweep is done.
    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.owed == 0 && !self.swept.twins_done && !self.swept.ledger_done
    }

    /// The buffer, for the next part.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads the entries of a part; `None` inside ends it where the bytes are damaged.
pub fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let read = read_entry(bytes);
        bytes = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(entry, _)| entry))
    })
}

/// Bytes of the first of some entries.
pub fn first_entry_len(bytes: &[u8]) -> Option<usize> {
    read_entry(bytes).map(|(_, rest)| bytes.len() - rest.len())
}

fn read_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let (head, body) = body.split_first_chunk::<{ ENTRY_HEAD - 4 }>()?;
    let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (key, value) = body.split_at_checked(usize::from(word(6)))?;
    let kind = EntryKind::from_number(head[0])?;
    Some((Entry { kind, bucket: word(2), space: word(4), key, value }, rest))
}

/// What taking a generation gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The generation, larger than every earlier one; random with the memory store.
    pub generation: u64,
    /// The last committed epoch; this generation starts at the next one.
    pub base: u64,
}

/// Where an epoch's changes become durable. One per process, shared by its workers.
///
/// In order: `replay` once, `claim` once, then `attach`, `append`, `closed` and `durable` from the
/// workers, `seal` at the end. No call but `replay`, `claim` and `seal` may wait.
pub trait EpochStore: Send + Sync + 'static {
    /// Whether encoded states are wanted at all (law D13: the memory store says no).
    fn wants_states(&self) -> bool {
        true
    }

    /// Everything committed, in the order in which it was written.
    ///
    /// # Errors
    ///
    /// Damage, a foreign or newer format, or an input error; the start fails with it.
    fn replay(&self, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError>;

    /// The same in pieces for so many shards, the newest piece first: what is replaced by something
    /// newer need not be kept. Several threads may read and check; `reading` says how far they are.
    ///
    /// # Errors
    ///
    /// As [`Self::replay`]; what was given before counts for nothing then.
    fn replay_newest_first(
        &self,
        shards: usize,
        _reading: &Reading,
        each: &mut dyn FnMut(&Piece),
    ) -> Result<(), StoreError> {
        let mut part = EpochPart::default();
        self.replay(&mut |entry| {
            let Entry { kind, bucket, space, key, value } = entry;
            part.put(kind, bucket, space, key, value);
        })?;
        each(&Piece::of_part(part, shards));
        Ok(())
    }

    /// Takes the next generation.
    ///
    /// # Errors
    ///
    /// As [`Self::replay`].
    fn claim(&self, workers: usize) -> Result<Claimed, StoreError>;

    /// The bell of a worker's `persist`, rung whenever [`Self::durable`] may have moved.
    fn attach(&self, worker: usize, ring: Box<dyn Fn() + Send + Sync>);

    /// Where many epochs share one commit: the first epoch of the group that is open, now that this
    /// worker works off `epoch`. What it writes then goes with the group of that epoch. `None`:
    /// every epoch is a group by itself.
    fn group(&self, _worker: usize, _epoch: u64) -> Option<u64> {
        None
    }

    /// Up to which epoch this worker is to hand its parts over: it has worked off everything below
    /// `through` and holds `held` bytes of it. Asked for whenever either moves, and when the bell
    /// was rung. Where many epochs share one commit this is the end of the last group that is to be
    /// handed over, the same for all workers; it may be ahead of `through`, and then has to wait.
    fn cut(&self, _worker: usize, through: u64, _held: u64) -> u64 {
        through
    }

    /// A buffer for the next part: one that was written already, if there is any.
    fn buffer(&self) -> Vec<u8> {
        Vec::new()
    }

    /// One worker's changes of an epoch.
    fn append(&self, worker: usize, epoch: u64, part: EpochPart);

    /// All parts of this worker below `through` were handed over.
    fn closed(&self, worker: usize, through: u64);

    /// Every epoch of this worker below this one is durable.
    fn durable(&self, worker: usize) -> u64;

    /// Where many epochs share one commit: bytes of what was handed over and is not durable, which
    /// bound the uncommitted epochs then. `None`: their number does (law S4).
    fn shared_bytes(&self) -> Option<u64> {
        None
    }

    /// Makes every epoch up to this one count; says the newest that does. One process with one log
    /// needs no record: its joint frame is the commit.
    fn commit(&self, epoch: u64) -> u64 {
        epoch
    }

    /// What the workers are to rewrite now, if anything. Asked for often, so it must cost nothing.
    ///
    /// Each worker then writes everything that it holds again, a piece an epoch, as entries of its
    /// parts, and says in [`Swept`] when it is done. A store may drop what it was given before
    /// it gave the order once the parts of all workers are durable in which they say so.
    fn sweep(&self) -> Option<SweepOrder> {
        None
    }

    /// Whether there is so little room left that nothing new may be taken in. Asked for often.
    fn is_full(&self) -> bool {
        false
    }

    /// Looks how much room there is and says what [`Self::is_full`] says from now on; called a few
    /// times a second, since nothing that is written may come to notice it.
    fn check_room(&self) -> bool {
        self.is_full()
    }

    /// Payload of a dead letter that is durable.
    ///
    /// # Errors
    ///
    /// An input error, or damage of the stored payload.
    fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// A clean stop: everything handed over is durable and the log is sealed when this returns.
    ///
    /// # Errors
    ///
    /// An output error.
    fn seal(&self) -> Result<(), StoreError>;

    /// Counters for metrics.
    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

/// How far the reading of a store is, in bytes; it begins when the total is known.
#[derive(Debug, Default)]
pub struct Reading {
    total: AtomicU64,
    done: AtomicU64,
}

impl Reading {
    /// There are so many bytes to read.
    pub fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many more are read.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are read, and all of them; 0 of 0 before they are known.
    pub fn get(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Counters of a store since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Frames written.
    pub frames: u64,
    /// Bytes written, padding included.
    pub bytes: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Microseconds spent in syncs.
    pub sync_micros: u64,
    /// Bytes of log files on disk.
    pub disk_bytes: u64,
}

/// Why a store cannot go on. None of them is retried inside the dataflow; all end the generation.
#[derive(Debug)]
pub enum StoreError {
    /// Another generation took over: nothing that this one writes counts any more.
    Fenced {
        /// The generation of this process.
        own: u64,
        /// The newer one; `None`: the claim of this one is gone, and there is no newer.
        by: Option<u64>,
        /// Where: the state directory.
        place: String,
    },
    /// Committed history is damaged or missing.
    Corrupt {
        /// Where: file and offset.
        at: String,
        /// What is wrong there.
        what: String,
        /// The last epoch before the damage.
        last_good_epoch: u64,
    },
    /// The directory is not ours, is of another version, or cannot be used as it is.
    Refused {
        /// A whole sentence for the user, with the remedy.
        why: String,
    },
    /// No room on the disk.
    Full {
        /// What was being written.
        doing: String,
    },
    /// The operating system said no.
    Io {
        /// What was attempted, and on what.
        doing: String,
        /// Its answer.
        cause: io::Error,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { own, by: Some(by), place } => {
                write!(f, "generation {own} is fenced: generation {by} has taken over \"{place}\"")
            }
            Self::Fenced { own, by: None, place } => write!(
                f,
                "generation {own} is fenced: its claim is gone from \"{place}\", which was \
                 replaced or restored while it ran"
            ),
            Self::Corrupt { at, what, last_good_epoch } => write!(
                f,
                "the log is damaged at {at}: {what}; the last epoch before it is {last_good_epoch}"
            ),
            Self::Refused { why } => f.write_str(why),
            Self::Full { doing } => write!(f, "no space left on the disk to {doing}"),
            Self::Io { doing, .. } => write!(f, "could not {doing}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_gives_back_its_entries(
            pairs in prop::collection::vec(
                (
                    prop::collection::vec(any::<u8>(), 0..50),
                    prop::collection::vec(any::<u8>(), 0..50),
                ),
                0..20,
            ),
        ) {
            let mut part = EpochPart::default();
            for (key, value) in &pairs {
                part.put(EntryKind::State, 7, 3, key, value);
            }
            let read: Vec<_> = entries(part.bytes()).map(Option::unwrap).collect();
            prop_assert_eq!(read.len(), part.len() as usize);
            for (entry, (key, value)) in read.iter().zip(&pairs) {
                prop_assert_eq!((entry.key, entry.value), (key.as_slice(), value.as_slice()));
                prop_assert_eq!((entry.kind, entry.bucket, entry.space), (EntryKind::State, 7, 3));
            }
        }

        #[test]
        fn damaged_bytes_end_the_reading_without_leaving_the_part(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _seen: Vec<_> = entries(&bytes).collect();
            bytes.truncate(bytes.len() / 2);
            let _seen: Vec<_> = entries(&bytes).collect();
        }
    }

    #[test]
    fn parts_of_an_epoch_say_together_what_they_hold_of_a_sweep() {
        let mut part = EpochPart::default();
        let twins = Swept { number: 3, bytes: 10, twins_done: true, ledger_done: false };
        part.add_swept(&twins);
        part.add_swept(&Swept { twins_done: false, ledger_done: true, ..twins });
        let both = Swept { bytes: 20, ledger_done: true, ..twins };
        assert_eq!(*part.swept(), both);
        part.add_swept(&Swept { number: 2, bytes: 1, ..both });
        part.add_swept(&Swept { number: 4, bytes: 1, ..Swept::default() });
        assert_eq!(*part.swept(), Swept { number: 4, bytes: 22, ..Swept::default() });
        assert!(part.is_empty() && !EpochPart { swept: twins, ..part }.is_empty());
    }

    #[test]
    fn a_failed_value_leaves_the_part_as_it_was() {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 1, 1, b"a", b"1");
        let failed = part.put_with(EntryKind::State, 1, 1, b"b", |bytes| {
            bytes.push(1);
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!((entries(part.bytes()).count(), part.len()), (1, 1));
    }
}
