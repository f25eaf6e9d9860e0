//! The half of a link that delivers: room, permits, positions.

use std::sync::Arc;

use super::{Delivery, Position, Refusals, Slot};
use crate::{error::ConnectorError, message::PartitionRef, row::AttributesWriter};

/// Delivers messages of one session.
#[derive(Debug)]
pub struct LinkIntake {
    pub(super) slot: Arc<Slot>,
    pub(super) session: u64,
    /// Per partition the next position that this session may deliver.
    pub(super) next: Vec<u64>,
    pub(super) attributes: AttributesWriter,
    /// The model of the last message, so that a run of one model costs one comparison each.
    model: (String, Option<u16>),
}

impl LinkIntake {
    pub(super) fn new(slot: Arc<Slot>, session: u64, next: Vec<u64>) -> Self {
        let model = (String::new(), None);
        Self { slot, session, next, attributes: AttributesWriter::default(), model }
    }

    /// Waits for room and returns the permit to deliver one batch.
    ///
    /// A full link is how a slow dataflow slows its upstream. Receipts of one link increase by one
    /// and are acknowledged in that order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Stopped`](crate::error::ErrorKind::Stopped) when the engine has closed the
    /// link. Nothing was delivered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the permit, delivers nothing and uses up no receipt.
    pub async fn reserve(&mut self) -> Result<Delivery<'_>, ConnectorError> {
        loop {
            let slot = Arc::clone(&self.slot);
            let room = slot.room.notified();
            let freed = slot.edge.budget.freed.notified();
            if self.has_room()? {
                break;
            }
            tokio::select! {
                () = room => {}
                () = freed => {}
            }
        }
        Ok(Delivery::new(self))
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`Self::reserve`].
    pub fn reserve_blocking(&mut self) -> Result<Delivery<'_>, ConnectorError> {
        loop {
            if self.has_room()? {
                break;
            }
            let slot = Arc::clone(&self.slot);
            let state = slot.state();
            if state.session == self.session && !state.has_room() {
                drop(slot.wait_blocking(state));
            } else if !slot.edge.budget.has_room() {
                drop(state);
                // Rare: 256 MiB wait in the queues of the process. Another link's room is not told.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(Delivery::new(self))
    }

    /// The permit if there is room now.
    ///
    /// # Errors
    ///
    /// As [`Self::reserve`].
    pub fn try_reserve(&mut self) -> Result<Option<Delivery<'_>>, ConnectorError> {
        Ok(if self.has_room()? { Some(Delivery::new(self)) } else { None })
    }

    fn has_room(&self) -> Result<bool, ConnectorError> {
        let state = self.slot.state();
        if state.session != self.session {
            return Err(ConnectorError::stopped());
        }
        Ok(state.has_room() && self.slot.edge.budget.has_room())
    }

    /// Per partition the next position: the highest taken, else the stored one (law S2).
    pub fn positions(&self) -> Vec<Position> {
        self.slot.state().partitions.clone()
    }

    /// [`Self::positions`] while no delivery of any session waits for its acknowledgement: then
    /// everything that was taken is committed, and they may be told to the upstream.
    pub fn settled_positions(&self) -> Option<Vec<Position>> {
        let state = self.slot.state();
        state.in_flight.is_empty().then(|| state.partitions.clone())
    }

    /// Name of the connection.
    pub fn connection(&self) -> &str {
        &self.slot.place.connection
    }

    /// Registers a partition of a replayable source and says which position comes next:
    /// `None` when nothing was ever taken or stored, so that the `start` setting decides (law D3).
    pub fn partition(&mut self, topic: &str, partition: i32) -> (PartitionRef, Option<u64>) {
        let mut state = self.slot.state();
        let number = state.partition_number(topic, partition);
        let known = state.known_position(number);
        drop(state);
        if self.next.len() <= number as usize {
            self.next.resize(number as usize + 1, 0);
        }
        (PartitionRef(number), known)
    }

    /// Whether the engine has a model of this name.
    pub fn knows_model(&self, name: &str) -> bool {
        self.slot.edge.models.number(name).is_some()
    }

    /// Where the slot of this link is: its number and how many its connection has.
    pub fn slot_number(&self) -> (usize, usize) {
        (self.slot.place.number, self.slot.place.slots)
    }

    /// Names of all models, in order.
    pub fn models(&self) -> Vec<String> {
        self.slot.edge.models.sorted().into_iter().map(str::to_owned).collect()
    }

    /// What no new requests are taken for: a connector whose callers wait asks before each message
    /// (laws R1, P5).
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.slot.edge.refusals)
    }

    /// The worker of this link, and how many workers there are: a message for a twin that this
    /// worker owns (`route::owner`) is not exchanged.
    pub fn worker(&self) -> (usize, usize) {
        (self.slot.place.worker, self.slot.edge.workers)
    }

    #[inline]
    pub(super) fn model_number(&mut self, name: &str) -> Option<u16> {
        if self.model.0 != name {
            let number = self.slot.edge.models.number(name)?;
            name.clone_into(&mut self.model.0);
            self.model.1 = Some(number);
        }
        self.model.1
    }
}
