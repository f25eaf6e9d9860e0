//! Appends groups of frames: one write and one sync each.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use twinflow_operators::store::{StoreError, Swept};

use super::claim::{Claim, remove};
use super::counters::Counters;
use super::dead_letters::DeadLetters;
use super::disk::{Access, Disk, DiskFile};
use super::error::disk_error;
use super::format::{BLOCK, FrameHead, FrameKind, SegmentHeader};
use super::group::{Group, head};
use super::history::History;
use super::marker::{self, Known};
use super::mistakes::{Mistake, Mistakes};
use super::options::Clock;
use super::queue::{Handed, Parts};
use super::room::Room;
use super::segment::{name_segment, new_name, segment_name};
use super::spares::{Spare, Spares};
use super::sweep::{Complete, Orders, Sweeps};
use super::tail::Open;
use crate::fail_points;

/// How often an idle log says at the most how far it goes: that costs two syncs.
const PROVED_EVERY_MICROS: u64 = 1_000_000;

/// The end of the log, on the log thread.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) claim: Arc<Claim>,
    pub(super) log_id: u64,
    pub(super) random: u64,
    pub(super) segment_bytes: u64,
    /// Whether the epochs of a group are one frame: a twin that changed in several of them has one
    /// entry, so they count together or not at all.
    pub(super) joint: bool,
    pub(super) mistakes: Mistakes,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) letters: DeadLetters,
    /// The segment that is appended to.
    pub(super) open: Option<Open>,
    /// Number of the segment after it.
    pub(super) next_segment: u64,
    /// What the last frame said.
    pub(super) history: History,
    /// What the last frame said that is durable.
    pub(super) synced: History,
    pub(super) group: Group,
    /// What the parts in the group say of a sweep, with their workers.
    pub(super) swept: Vec<(usize, Swept)>,
    pub(super) sweeps: Sweeps,
    pub(super) orders: Arc<Orders>,
    /// The last complete sweep, as the next segment will say.
    pub(super) complete: Complete,
    /// Whether the next group begins a segment, which says that older ones are not needed.
    pub(super) roll: bool,
    /// Whether the marker is to say that the next group is durable: it begins a segment.
    pub(super) prove: bool,
    /// When that was said last, by the clock.
    pub(super) proved_at: u64,
    /// Numbers of the segments that are there, oldest first.
    pub(super) there: VecDeque<u64>,
    /// The first of them that this generation has made.
    pub(super) own: u64,
    pub(super) spares: Arc<Spares>,
    pub(super) room: Arc<Room>,
}

impl Writer {
    /// Begins the next generation behind the last epoch.
    pub(super) fn start(&mut self, workers: usize) -> Result<(), StoreError> {
        self.history.generation = self.claim.generation.max(self.history.generation + 1);
        let workers = u32::try_from(workers).expect("workers are threads of one machine");
        self.frame(FrameKind::Start, self.history.epoch, |_, body| {
            body.extend_from_slice(&workers.to_le_bytes());
            Ok::<_, Infallible>(0)
        })
        .unwrap_or_else(|never| match never {});
        fail_points::pass("start-unwritten");
        self.write()?;
        fail_points::pass("start-written");
        Ok(())
    }

    /// Proves everything written so far; every epoch below `durable` counts.
    pub(super) fn seal(&mut self, durable: u64) -> Result<(), StoreError> {
        let epoch = self.history.epoch.max(durable.saturating_sub(1));
        self.frame(FrameKind::Seal, epoch, |_, _| Ok::<_, Infallible>(0))
            .unwrap_or_else(|never| match never {});
        fail_points::pass("seal-unwritten");
        self.write()
    }

    /// Writes one frame per epoch, or one for all.
    pub(super) fn epochs(&mut self, epochs: &BTreeMap<u64, Parts>) -> Result<(), StoreError> {
        if self.joint {
            let last = epochs.last_key_value().map_or(self.history.epoch, |(epoch, _)| *epoch);
            self.parts(last, epochs.values().flatten())?;
        } else {
            for (epoch, parts) in epochs {
                self.parts(*epoch, parts)?;
            }
        }
        if self.mistakes.has(Mistake::SweepBeforeSync) {
            self.count_sweep(0);
            self.retire()?;
        }
        self.write()
    }

    /// The same of a log that is idle, if it was not said within this time.
    pub(super) fn prove_idle(&mut self) -> Result<(), StoreError> {
        let since = (self.clock)().abs_diff(self.proved_at);
        if since >= PROVED_EVERY_MICROS { self.prove() } else { Ok(()) }
    }

    /// Says in the marker that the log goes at least to here, so that a newest segment that is lost
    /// later, or cut off before, is missed. Once for a segment, when the log is idle, and at a
    /// clean stop.
    pub(super) fn prove(&mut self) -> Result<(), StoreError> {
        let began = (self.clock)();
        self.proved_at = began;
        let known = Known { log_id: self.log_id, proven: self.synced.sequence };
        marker::prove(&*self.disk, known, self.claim.generation)?;
        self.counters.synced(2, (self.clock)().saturating_sub(began));
        Ok(())
    }

    /// Adds a frame with these parts.
    fn parts<'a>(
        &mut self,
        epoch: u64,
        parts: impl IntoIterator<Item = &'a Handed> + Clone,
    ) -> Result<(), StoreError> {
        self.frame(FrameKind::Epoch, epoch, |letters, body| {
            let mut parts = parts.clone().into_iter();
            parts.try_fold(0, |entries, handed| Ok(entries + letters.copy(&handed.part, body)?))
        })?;
        let swept = parts.into_iter().map(|handed| (handed.worker, *handed.part.swept()));
        self.swept.extend(swept.filter(|(_, swept)| swept.number > 0));
        Ok(())
    }

    /// Adds a frame to the group.
    fn frame<E>(
        &mut self,
        kind: FrameKind,
        epoch: u64,
        body: impl FnOnce(&mut DeadLetters, &mut Vec<u8>) -> Result<u32, E>,
    ) -> Result<(), E> {
        // Everything before this group is synced; a frame of this group proves none of it.
        let proven = self.synced.sequence;
        let generation = self.history.generation;
        let head = head(kind, self.history.sequence + 1, proven);
        let letters = &mut self.letters;
        self.group.frame(FrameHead { generation, epoch, ..head }, |bytes| body(letters, bytes))?;
        self.history.sequence += 1;
        self.history.epoch = epoch;
        Ok(())
    }

    /// Writes the group and makes it durable.
    fn write(&mut self) -> Result<(), StoreError> {
        self.letters_first()?;
        let length = self.group.length();
        let (seed, at) = self.room(length)?;
        let open = self.open.as_mut().expect("there is a segment with room");
        let name = || segment_name(open.number);
        let bytes = self.group.place(seed, at);
        let error = |cause| disk_error(format!("append to \"{}\" at {at}", name()), cause);
        fail_points::pass("group-unwritten");
        open.file.write_at(at, bytes).map_err(error)?;
        fail_points::pass("group-written");
        let began = (self.clock)();
        let error = |cause| disk_error(format!("sync \"{}\"", name()), cause);
        if !fail_points::makes("skip-sync") {
            open.file.sync().map_err(error)?;
        }
        fail_points::pass("group-synced");
        // Only now: whoever takes over from here on reads what is synced.
        self.claim.check()?;
        self.counters.synced(1, (self.clock)().saturating_sub(began));
        self.counters.wrote(self.group.frames(), length);
        open.at += length;
        self.synced = self.history;
        self.group.clear();
        if std::mem::take(&mut self.prove) {
            self.prove()?;
        }
        self.letters.publish()?;
        self.retire()?;
        self.count_sweep(length);
        if self.mistakes.has(Mistake::RetireBeforeHeader) {
            self.retire()?;
        }
        Ok(())
    }

    /// A group of this length is durable: a sweep may be complete with it, or begin.
    fn count_sweep(&mut self, length: u64) {
        if let Some(complete) = self.sweeps.wrote(length, self.swept.drain(..)) {
            tracing::debug!(?complete, "a sweep is complete");
            self.complete = complete;
            self.roll = true;
            self.orders.set(None);
            fail_points::pass("sweep-complete");
        }
        self.room.note(self.spares.count() * self.segment_bytes, self.sweeps.left_bytes());
        let full = self.room.look();
        if (self.sweeps.is_due() || (full && self.sweeps.is_worth_it()))
            && let Some(open) = &self.open
        {
            let order = self.sweeps.begin(open.number, self.synced.epoch);
            tracing::debug!(?order, segment = open.number, "a sweep begins");
            self.orders.set(Some(order));
            self.orders.set_urgent(full);
            fail_points::pass("sweep-begins");
        }
        let soon = self.open.as_ref().is_some_and(|open| open.at > self.segment_bytes / 2);
        if soon && !full && self.segments() < self.sweeps.segments_most() {
            self.spares.want();
        }
    }

    /// Segments that are not needed become spares, as many as the log will need. What says so is
    /// durable: the header of the segment that is written, with a group in it.
    ///
    /// The new name need not be durable: under its old one the file is no part of the log either.
    fn retire(&mut self) -> Result<(), StoreError> {
        let says = !self.roll || self.mistakes.has(Mistake::RetireBeforeHeader);
        let early = self.mistakes.has(Mistake::SweepBeforeSync);
        while let Some(oldest) = self.there.front().copied()
            && oldest < self.complete.first_segment
            && (says || early)
        {
            let name = segment_name(oldest);
            // Of an older generation's file nobody knows who has it open.
            let wanted = oldest >= self.own && self.segments() <= self.sweeps.segments_most();
            let gone = self.give_back(&name, wanted);
            gone.map_err(|cause| disk_error(format!("give back \"{name}\""), cause))?;
            self.there.pop_front();
            fail_points::pass("segment-given-back");
        }
        Ok(())
    }

    /// Segments and spares that there are.
    fn segments(&self) -> u64 {
        self.there.len() as u64 + self.spares.count()
    }

    /// A segment becomes a spare if it is wanted as one and as long as a segment.
    fn give_back(&self, name: &str, wanted: bool) -> io::Result<()> {
        if !wanted || self.disk.open(name, Access::Read)?.length()? < self.segment_bytes {
            return remove(&*self.disk, name);
        }
        let spare = self.spares.fresh();
        self.disk.rename(name, &spare.name())?;
        self.spares.put(spare);
        Ok(())
    }

    /// Payloads are durable before the frames that name them.
    fn letters_first(&mut self) -> Result<(), StoreError> {
        let began = (self.clock)();
        let (syncs, bytes) = self.letters.sync()?;
        self.counters.synced(syncs, (self.clock)().saturating_sub(began));
        self.counters.wrote(0, bytes);
        Ok(())
    }

    /// Seed and offset for a group of this length, in a new segment if the last one is full.
    fn room(&mut self, length: u64) -> Result<(u32, u64), StoreError> {
        if let Some(open) = &self.open
            && (open.at + length <= self.segment_bytes || open.at == BLOCK)
            && !self.roll
        {
            return Ok((open.seed, open.at));
        }
        let number = self.next_segment;
        let header = SegmentHeader {
            log_id: self.log_id,
            number,
            before: self.synced,
            first_segment: self.complete.first_segment,
            live_bytes: self.complete.live_bytes,
            seed: mix(self.random ^ number) as u32,
        };
        let began = (self.clock)();
        let file = self
            .create(&header)
            .map_err(|cause| disk_error(format!("create \"{}\"", segment_name(number)), cause))?;
        self.counters.synced(2, (self.clock)().saturating_sub(began));
        self.counters.wrote(0, BLOCK);
        self.next_segment += 1;
        self.there.push_back(number);
        (self.roll, self.prove) = (false, true);
        self.open = Some(Open { file, number, seed: header.seed, at: BLOCK });
        Ok((header.seed, BLOCK))
    }

    /// A segment has its name only once its header is durable.
    fn create(&self, header: &SegmentHeader) -> io::Result<Box<dyn DiskFile>> {
        let (new, file) = match self.spares.take().map(Spare::name) {
            Some(spare) => (spare.clone(), self.disk.open(&spare, Access::Write)?),
            None => {
                let new = new_name(header.number, self.claim.generation);
                (new.clone(), self.disk.open(&new, Access::Create)?)
            }
        };
        file.write_at(0, &header.encode())?;
        file.sync()?;
        fail_points::pass("header-synced");
        name_segment(&*self.disk, &new, header.number)?;
        fail_points::pass("segment-renamed");
        self.disk.sync_names()?;
        fail_points::pass("segment-made");
        Ok(file)
    }
}

/// Spreads a number over all bits (splitmix64), for seeds.
pub(super) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
