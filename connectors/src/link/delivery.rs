//! The permit to deliver one batch: rows, limits of a delivery, positions.

use std::sync::{Arc, atomic::Ordering};

use super::{LinkIntake, Receipt, Taken};
use crate::{
    frame::{FrameBuilder, RowFrame},
    message::{
        Format, Message, PartitionRef, Timestamp,
        limits::{
            ATTRIBUTES_BYTES_MAX, CUT_BYTES, DELIVERY_BYTES_MAX, HEADERS_MAX, PAYLOAD_BYTES_MAX,
        },
        twin_id_error,
    },
    mistakes::{self, Mistake},
    route::{bucket, owner, twin_hash},
    row::{RowHead, RowKind, row_len},
};

/// A request of the engine itself that becomes a row: a read, a create, a remove, a release,
/// something about a dead letter.
#[derive(Clone, Copy, Debug)]
pub struct RequestRow<'a> {
    /// [`RowKind::Read`], [`RowKind::Create`], [`RowKind::Remove`], [`RowKind::Release`],
    /// [`RowKind::Replay`] or [`RowKind::Drop`].
    pub kind: RowKind,
    /// Number of the model.
    pub model: u16,
    /// The twin's id.
    pub twin: &'a str,
    /// With [`RowKind::Replay`] and [`RowKind::Drop`].
    pub dead_letter: Option<DeadLetterRow<'a>>,
}

/// The dead letter that a request is about.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterRow<'a> {
    /// Its number.
    pub number: u64,
    /// The connection that had brought it.
    pub connection: &'a str,
    /// How its payload is meant.
    pub format: Format,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The permit to deliver one batch. Dropped, it delivers nothing.
#[derive(Debug)]
pub struct Delivery<'l> {
    intake: &'l mut LinkIntake,
    receipt: u64,
    received_at: Option<Timestamp>,
    /// The frame that grows for each owner, and the finished ones.
    open: Vec<Option<FrameBuilder>>,
    frames: Vec<RowFrame>,
    rows: usize,
    rows_max: usize,
    bytes: usize,
    positions: Vec<(u32, u64)>,
    repeated: u64,
}

impl<'l> Delivery<'l> {
    pub(super) fn new(intake: &'l mut LinkIntake) -> Self {
        let receipt = intake.slot.state().last_receipt + 1;
        let (workers, rows_max) = (intake.slot.edge.workers, intake.slot.edge.delivery_rows_max());
        Self {
            intake,
            receipt,
            received_at: None,
            open: (0..workers).map(|_| None).collect(),
            frames: Vec::new(),
            rows: 0,
            rows_max,
            bytes: 0,
            positions: Vec::new(),
            repeated: 0,
        }
    }

    /// Copies a message into the row for its owner; `false`, with nothing added, when the delivery
    /// is full. What cannot be addressed becomes an undeliverable row and so a dead letter (law
    /// S7). A message whose position was taken before is dropped and counts as pushed (law S2).
    pub fn push(&mut self, message: &Message<'_>) -> bool {
        let model = match self.check(message) {
            Ok(model) => model,
            Err(reason) => return self.refuse(message, &reason),
        };
        let attributes = self.intake.attributes.bytes().len();
        if !self.fits(row_len(message.twin.len(), attributes, message.payload.len())) {
            return false;
        }
        if self.moves(message.position) {
            let hash = twin_hash(message.twin.as_bytes());
            let to = owner(bucket(hash), self.open.len());
            let head = self.head(RowKind::Message, model, message.position);
            self.put(to, hash, &head, message.twin, message.payload);
        }
        true
    }

    /// Delivers what has a position but no usable twin id, model or payload; it becomes a dead
    /// letter in the same frame as its position (law S7). `false` when the delivery is full.
    pub fn push_undeliverable(
        &mut self,
        raw: &[u8],
        reason: &str,
        position: Option<(PartitionRef, u64)>,
    ) -> bool {
        self.intake.attributes.clear();
        self.put_undeliverable(raw, reason, position)
    }

    /// Adds a request of the engine itself.
    pub fn push_request(&mut self, request: &RequestRow<'_>) -> bool {
        self.intake.attributes.clear();
        let letter = request.dead_letter;
        if let Some(letter) = letter {
            self.intake.attributes.dead_letter(letter.number, letter.connection);
        }
        let payload = letter.map_or(&[][..], |letter| letter.payload);
        let attributes = self.intake.attributes.bytes().len();
        if !self.fits(row_len(request.twin.len(), attributes, payload.len())) {
            return false;
        }
        let hash = twin_hash(request.twin.as_bytes());
        let to = owner(bucket(hash), self.open.len());
        let mut head = self.head(request.kind, request.model, None);
        head.format = letter.map_or(head.format, |letter| letter.format);
        self.put(to, hash, &head, request.twin, payload);
        true
    }

    /// The receipt that [`Self::deliver`] will give, so that who waits for it can be noted before
    /// anything can be acknowledged.
    pub fn receipt(&self) -> Receipt {
        Receipt(self.receipt)
    }

    /// How many rows were pushed.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Hands the batch over. An empty one uses up no receipt and gives the last one.
    pub fn deliver(mut self) -> Receipt {
        let slot = Arc::clone(&self.intake.slot);
        slot.statistics.repeated_positions.fetch_add(self.repeated, Ordering::Relaxed);
        for (partition, next) in &self.positions {
            self.intake.next[*partition as usize] = *next;
        }
        if self.rows == 0 {
            return Receipt(self.receipt - 1);
        }
        self.frames.extend(self.open.drain(..).flatten().map(FrameBuilder::finish));
        let taken = Taken {
            frames: std::mem::take(&mut self.frames),
            receipt: Receipt(self.receipt),
            rows: self.rows,
            bytes: self.bytes,
            positions: std::mem::take(&mut self.positions),
        };
        let mut state = slot.state();
        // A session that ended meanwhile delivers nothing; its next `reserve` says so.
        if state.session == self.intake.session {
            state.last_receipt = self.receipt;
            state.queued_rows += self.rows;
            state.queued_bytes += self.bytes;
            state.queue.push_back(taken);
            let moment = self.received_at.unwrap_or_default();
            state.in_flight.push_back((Receipt(self.receipt), moment));
            slot.edge.budget.add(self.bytes);
            drop(state);
            slot.statistics.count_delivery(self.rows, self.bytes);
            slot.wake.ring();
        }
        Receipt(self.receipt)
    }

    #[inline]
    fn fits(&self, bytes: usize) -> bool {
        self.rows == 0 || (self.rows < self.rows_max && self.bytes + bytes <= DELIVERY_BYTES_MAX)
    }

    /// Notes the position; `false` when it was taken or delivered before. The session moves with
    /// `deliver` only: a dropped permit leaves its positions for the next one.
    #[inline]
    fn moves(&mut self, position: Option<(PartitionRef, u64)>) -> bool {
        let Some((PartitionRef(number), at)) = position else {
            return true;
        };
        let known = match self.positions.last() {
            Some((last, _)) if *last == number => Some(self.positions.len() - 1),
            _ => self.positions.iter().position(|(known, _)| *known == number),
        };
        let next = known.map_or(self.intake.next[number as usize], |known| self.positions[known].1);
        if at < next && !mistakes::has(Mistake::NoReplayFilter) {
            self.repeated += 1;
            return false;
        }
        match known {
            Some(known) => self.positions[known].1 = at + 1,
            None => self.positions.push((number, at + 1)),
        }
        true
    }

    /// The model's number, with the attributes written; or why nobody can be addressed.
    #[inline]
    fn check(&mut self, message: &Message<'_>) -> Result<u16, String> {
        let Some(model) = self.intake.model_number(message.model) else {
            return Err(format!("no model is called \"{}\"", message.model));
        };
        if let Some(reason) = twin_id_error(message.twin) {
            return Err(reason);
        }
        if message.payload.len() > PAYLOAD_BYTES_MAX {
            let len = message.payload.len();
            return Err(format!("the payload has {len} bytes, the limit is {PAYLOAD_BYTES_MAX}"));
        }
        self.write_attributes(message)?;
        Ok(model)
    }

    #[inline]
    fn write_attributes(&mut self, message: &Message<'_>) -> Result<(), String> {
        let attributes = &mut self.intake.attributes;
        attributes.clear();
        if let Some(id) = message.id {
            attributes.message_id(id);
        }
        if let Some(time) = message.source_time {
            attributes.source_time(time);
        }
        if let Some((partition, _)) = message.position {
            attributes.partition(partition.0);
        }
        if message.id.is_none() && message.names.is_empty() && message.headers.is_empty() {
            return Ok(());
        }
        for (name, value) in message.names {
            attributes.name(name, value);
        }
        for (name, value) in message.headers {
            attributes.header(name, value);
        }
        let (count, len) = (message.headers.len(), attributes.bytes().len());
        if count > HEADERS_MAX {
            return Err(format!("the message has {count} headers, the limit is {HEADERS_MAX}"));
        }
        // What is longer than a length can say is not in `len`.
        let headers: usize = message.headers.iter().map(|(k, v)| k.len() + v.len()).sum();
        let names: usize = message.names.iter().map(|(k, v)| k.len() + v.len()).sum();
        let given = headers + names + message.id.map_or(0, <[u8]>::len);
        if len.max(given) > ATTRIBUTES_BYTES_MAX {
            let len = len.max(given);
            return Err(format!(
                "id, names and headers have {len} bytes, the limit is {ATTRIBUTES_BYTES_MAX}"
            ));
        }
        Ok(())
    }

    #[inline(always)]
    fn head(
        &mut self,
        kind: RowKind,
        model: u16,
        position: Option<(PartitionRef, u64)>,
    ) -> RowHead {
        let slot = &self.intake.slot;
        let received_at = *self.received_at.get_or_insert_with(|| (slot.edge.clock)());
        let position =
            position.map_or((self.receipt << 16) | self.rows as u64, |(_, offset)| offset);
        let (origin, format) = (slot.place.id, slot.place.format);
        RowHead { received_at, position, origin, model, kind, format }
    }

    // In one piece with who calls it, as is everything down to the row: a head that goes through
    // memory is written in parts and read in larger ones, for which a processor waits.
    #[inline(always)]
    fn put(&mut self, to: usize, hash: u64, head: &RowHead, id: &str, payload: &[u8]) {
        let attributes = self.intake.attributes.bytes();
        let pool = &self.intake.slot.pool;
        if let Some(full) = self.open[to]
            .take_if(|frame| frame.is_full_for(id.len(), attributes.len(), payload.len()))
        {
            self.frames.push(full.finish());
        }
        let frame = self.open[to].get_or_insert_with(|| FrameBuilder::new(to as u32, pool));
        frame.push(hash, head, id, attributes, payload);
        self.rows += 1;
        self.bytes += row_len(id.len(), attributes.len(), payload.len());
    }

    /// A message that cannot be addressed: its names are kept so that a person can find out why.
    fn refuse(&mut self, message: &Message<'_>, reason: &str) -> bool {
        let cut = |text: &'_ str| text[..text.floor_char_boundary(512)].to_owned();
        let (model, twin) = (cut(message.model), cut(message.twin));
        self.intake.attributes.clear();
        self.intake.attributes.name("model", &model);
        self.intake.attributes.name("twin", &twin);
        self.put_undeliverable(message.payload, reason, message.position)
    }

    fn put_undeliverable(
        &mut self,
        raw: &[u8],
        reason: &str,
        position: Option<(PartitionRef, u64)>,
    ) -> bool {
        let attributes = &mut self.intake.attributes;
        if let Some((partition, _)) = position {
            attributes.partition(partition.0);
        }
        attributes.reason(reason);
        // Only what passes a limit is cut (law D12), and its reason names the length.
        let kept = if raw.len() > PAYLOAD_BYTES_MAX { &raw[..CUT_BYTES] } else { raw };
        if !self.fits(row_len(0, self.intake.attributes.bytes().len(), kept.len())) {
            return false;
        }
        if self.moves(position) {
            let head = self.head(RowKind::Undeliverable, u16::MAX, position);
            self.put(self.intake.slot.place.worker, 0, &head, "", kept);
        }
        true
    }
}
