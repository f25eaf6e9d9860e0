//! What leaves by a connection beside the feedback of twins: durable with its epoch, after commit.

use std::rc::Rc;

use serde::Serialize;
use timely::{
    container::{CapacityContainerBuilder, NoopBuilder},
    dataflow::{
        Stream,
        channels::pact::Pipeline,
        operators::generic::{OutputBuilder, builder_rc::OperatorBuilder},
    },
};
use twinflow_connectors::{
    link::{FeedbackId, LinkRow, OutboxEntry, SlotPlace},
    message::Timestamp,
};

use super::behind::Happened;
use crate::{
    dead_letter::{DeadLetter, DeadLetterKind, put_dead_letter},
    process::{
        guard::guarded,
        scope::{SlotRow, feedback_letter, put_feedback},
    },
    store::EpochPart,
    worker::WorkerShared,
};

/// What is written with an epoch, and what goes to links once it is committed.
pub(crate) struct Side<'scope> {
    pub(crate) parts: Stream<'scope, u64, Vec<EpochPart>>,
    pub(crate) link_rows: Stream<'scope, u64, Vec<SlotRow>>,
}

/// Makes the entries of one stream.
struct Sender {
    shared: Rc<WorkerShared>,
    model: u16,
    place: SlotPlace,
}

impl Sender {
    fn entry(&self, (epoch, at): (u64, Timestamp), twin: &str, payload: Vec<u8>) -> OutboxEntry {
        let generation = self.shared.setup.generation;
        let index = self.shared.take_side_index(epoch);
        OutboxEntry {
            id: FeedbackId { generation, epoch, index },
            model: self.model,
            twin: twin.to_owned(),
            cause: None,
            names: Vec::new(),
            payload,
            created_at: at,
        }
    }

    /// What cannot be sent is kept with its reason.
    fn fail(&self, part: &mut EpochPart, (epoch, at): (u64, Timestamp), twin: &str, reason: &str) {
        let model = self.shared.setup.edge.models.name(self.model).unwrap_or_default();
        let number = self.shared.take_dead_letter();
        let letter = DeadLetter {
            kind: DeadLetterKind::Pipeline,
            connection: self.place.connection.to_string(),
            at,
            epoch,
            ..feedback_letter(number, model, twin, &[], reason)
        };
        put_dead_letter(part, &letter, &[]);
        self.shared.setup.dead_letters.add(letter);
    }
}

/// Builds the operator; `None`, and the start fails, when there is no such connection.
pub(super) fn side<'scope, T: Happened, U: Serialize>(
    stream: Stream<'scope, u64, Vec<T>>,
    model: u16,
    connection: &str,
    shared: &Rc<WorkerShared>,
    with: impl Fn(&T) -> Option<U> + 'static,
) -> Option<Side<'scope>> {
    let mut places = shared.setup.slots.iter().map(|slot| &slot.place);
    let Some(place) = places.find(|place| *place.connection == *connection).cloned() else {
        shared.misbuilt(format!("there is no connection \"{connection}\" to send to"));
        return None;
    };
    let sender = Sender { shared: Rc::clone(shared), model, place };
    let mut builder = OperatorBuilder::new(format!("send to {connection}"), stream.scope());
    let mut input = builder.new_input(stream, Pipeline);
    let (parts_port, parts) = builder.new_output::<Vec<EpochPart>>();
    let (rows_port, link_rows) = builder.new_output::<Vec<SlotRow>>();
    let mut parts_port =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<EpochPart>>>::from(parts_port);
    let mut rows_port = OutputBuilder::<u64, NoopBuilder<Vec<SlotRow>>>::from(rows_port);
    builder.build(move |initial| {
        drop(initial);
        move |_frontiers| {
            input.for_each(|capability, items| {
                let items = items.drain(..);
                let first = sender.shared.setup.first_epoch;
                let (part, mut rows) =
                    make(&sender, items.filter(|it| it.when().0 >= first), &with);
                let (Some(for_part), Some(for_rows)) =
                    (capability.retain_least(0), capability.retain_least(1))
                else {
                    return;
                };
                if !part.is_empty() {
                    parts_port.activate().session(&for_part).give(part);
                }
                if !rows.is_empty() {
                    let mut output = rows_port.activate();
                    output.session_with_builder(&for_rows).give_container(&mut rows);
                }
            });
        }
    });
    Some(Side { parts, link_rows })
}

fn make<T: Happened, U: Serialize>(
    sender: &Sender,
    items: impl Iterator<Item = T>,
    with: &impl Fn(&T) -> Option<U>,
) -> (EpochPart, Vec<SlotRow>) {
    let (mut part, mut rows) = (EpochPart::default(), Vec::new());
    let encode = sender.shared.setup.store.wants_states();
    for item in items {
        // Serialising is the user's code too.
        let made = guarded(|| with(&item).map(|it| serde_json::to_vec(&it)).transpose());
        let payload = match made {
            Ok(Ok(None)) => continue,
            Ok(Ok(Some(payload))) => payload,
            Ok(Err(error)) => {
                let reason = format!("what is sent does not serialise: {error}");
                sender.fail(&mut part, item.when(), item.twin(), &reason);
                continue;
            }
            Err(panic) => {
                sender.fail(&mut part, item.when(), item.twin(), &panic);
                continue;
            }
        };
        let entry = sender.entry(item.when(), item.twin(), payload);
        if encode {
            put_feedback(&mut part, sender.place.connection_number, &entry);
        }
        rows.push((sender.place.feedback_slot(item.twin()), LinkRow::Feedback(entry)));
    }
    (part, rows)
}
