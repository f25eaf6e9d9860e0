//! From what the store gives back to what a generation starts with (laws D2, D3, D8).

use std::{collections::HashSet, sync::Arc};

use twinflow_connectors::{
    link::{ModelNames, Slot},
    route::feedback_slot,
};
use twinflow_operators::{
    models::Models,
    recover::{CONNECTIONS, MODELS, Recovered, RecoveryProgress},
    store::{EntryKind, EpochPart, EpochStore, StoreError},
};

use crate::error::{Error, ErrorKind, Result};

/// What recovery found, with numbers for all names.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) recovered: Recovered,
    /// Numbers of connections, in the order in which they were given.
    pub(crate) connections: Vec<u16>,
    pub(crate) models: ModelNames,
    /// New names, to be written in the first epoch.
    pub(crate) first_part: Option<EpochPart>,
}

/// Reads everything committed and gives each configured name its number.
pub(crate) fn recover(
    store: &dyn EpochStore,
    workers: usize,
    progress: &Arc<RecoveryProgress>,
    models: &Models,
    connections: &[String],
    keep_unknown: bool,
) -> Result<Recovery> {
    let read = Recovered::read(workers, Arc::clone(progress), |reading, each| {
        store.replay_newest_first(workers, reading, each)
    });
    let mut recovered = read.map_err(unreadable)?;
    if let Some(damage) = recovered.damage() {
        return Err(Error::new(ErrorKind::Disk, format!("the state is damaged: {damage}")));
    }
    let mut first = EpochPart::default();
    let mut known = HashSet::new();
    let mut number = |space: u16, name: &str| {
        let number = recovered.number(space, name).unwrap_or_else(|| {
            let number = recovered.free_number(space);
            recovered.name(space, number, name);
            first.put_ledger(EntryKind::Name, space, &number.to_le_bytes(), name.as_bytes());
            number
        });
        known.insert((space, number));
        number
    };
    let models: Vec<_> =
        models.names().map(|name| (name.to_owned(), number(MODELS, name))).collect();
    let connections: Vec<_> = connections.iter().map(|name| number(CONNECTIONS, name)).collect();
    if refuse_unknown(&recovered, &known, keep_unknown)? {
        recovered.keep_unknown(&known);
    }
    let first_part = (!first.is_empty()).then_some(first);
    Ok(Recovery { recovered, connections, models: ModelNames::new(models), first_part })
}

/// Why there is no start, and what a person can do about damage (law D7).
fn unreadable(error: StoreError) -> Error {
    let epoch = match &error {
        StoreError::Corrupt { last_good_epoch, .. } => Some(*last_good_epoch),
        _ => None,
    };
    let error = Error::from(error);
    match epoch {
        None => error,
        Some(epoch) => Error::new(
            error.kind(),
            format!(
                "{error}; import an export into a new directory, or give up everything behind \
                 that epoch with twinflow run --recover-from {epoch}"
            ),
        ),
    }
}

/// What is stored and not configured would be lost silently; so the start fails, or it is kept
/// (law D8). Says whether there is something to keep.
pub(crate) fn refuse_unknown(
    recovered: &Recovered,
    known: &HashSet<(u16, u16)>,
    keep: bool,
) -> Result<bool> {
    let unknown = recovered.unknown(known);
    if unknown.is_empty() {
        return Ok(false);
    }
    let named = unknown.iter().map(|(space, name, count)| match *space {
        MODELS => format!("model \"{name}\" ({count} twins)"),
        _ => format!("connection \"{name}\" ({count} positions and feedback messages)"),
    });
    let names = named.collect::<Vec<_>>().join(", ");
    if keep {
        tracing::warn!(names, "kept as it is stored: the configuration lacks it");
        return Ok(true);
    }
    Err(Error::new(
        ErrorKind::StateRefused,
        format!(
            "the state has what the configuration lacks: {names}; add it to the configuration, \
             keep it for later with twinflow run --keep-unknown, or remove it for good with \
             twinflow state drop --model or --connection"
        ),
    ))
}

/// Positions and unconfirmed feedback go to the slots of their connection.
pub(crate) fn restore_slots(recovered: &Recovered, connection: u16, slots: &[Arc<Slot>]) {
    for position in recovered.positions(connection) {
        for slot in slots {
            slot.restore_position(position.clone());
        }
    }
    for entry in recovered.outbox(connection) {
        slots[feedback_slot(&entry.twin, slots.len())].restore_feedback(entry.clone());
    }
}
