//! Everything that is stored, a line each, from memory to a stream.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use crc32fast::Hasher;
use serde_json::value::RawValue;
use twinflow_operators::{
    recover::{Recovered, StoredId, StoredRoute, StoredTwin},
    store::StoreError,
};

use super::{
    Stored,
    record::{Bytes, End, FORMAT, Feedback, Head, Letter, MessageId, Record, StoredPosition, Twin},
    transcode,
};
use crate::error::{Error, ErrorKind, Result};

/// What is exported.
#[derive(Clone, Debug, Default)]
pub(crate) struct What {
    /// Only the twins of this model, with the ids of their messages; default: everything.
    pub(crate) model: Option<String>,
    /// States as they are stored instead of as JSON.
    pub(crate) encoded: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    pub(crate) twins: u64,
    pub(crate) lines: u64,
}

/// Writes what is stored in a directory.
///
/// # Errors
///
/// As [`Stored::read`]; there is no such model; `to` takes no more.
pub(crate) fn export(dir: &Path, what: &What, to: &mut dyn Write) -> Result<Exported> {
    let stored = Stored::read(dir)?;
    let recovered = &stored.recovered;
    let only = what.model.as_deref().map(|name| model_number(recovered, name)).transpose()?;
    let mut lines = Lines { to, crc: Hasher::new(), lines: 0, buffer: Vec::new() };
    let names = |all: &mut dyn Iterator<Item = (u16, &str)>| -> BTreeMap<u16, String> {
        all.map(|(number, name)| (number, name.to_owned())).collect()
    };
    let models = names(&mut recovered.models());
    let connections = names(&mut recovered.connections());
    lines.put(&Record::TwinflowState(Head {
        format: FORMAT,
        generation: stored.summary.generation,
        epoch: stored.summary.epoch,
        time_us: recovered.now().0,
        dead_letters_newest: recovered.dead_letters_newest(),
        model: what.model.clone(),
        models: models.clone(),
        connections: connections.clone(),
    }))?;
    let names = Names { models, connections };
    let wanted = |model: u16| only.is_none_or(|only| only == model);
    let mut twins = 0;
    recovered.each_twin(|stored| {
        if !wanted(stored.model) {
            return Ok(());
        }
        twins += 1;
        lines.put(&Record::Twin(names.twin(stored, what.encoded)?))
    })?;
    recovered.each_message_id(|id| match wanted(id.model) {
        true => lines.put(&Record::MessageId(names.message_id(id)?)),
        false => Ok(()),
    })?;
    if only.is_none() {
        names.ledger(&stored, &mut lines)?;
    }
    let crc32 = format!("{:08x}", lines.crc.clone().finalize());
    let count = lines.lines;
    lines.put(&Record::End(End { lines: count, twins, crc32 }))?;
    lines.to.flush().map_err(unwritten)?;
    Ok(Exported { twins, lines: count + 1 })
}

/// The number of a model; who asks for another one is told which there are.
pub(super) fn model_number(recovered: &Recovered, name: &str) -> Result<u16> {
    let known = recovered.models().find(|(_, known)| *known == name);
    known.map(|(number, _)| number).ok_or_else(|| none_such("model", name, recovered.models()))
}

/// The error of a name that nothing is stored under.
pub(super) fn none_such<'n>(
    kind: &str,
    name: &str,
    known: impl Iterator<Item = (u16, &'n str)>,
) -> Error {
    let known: Vec<_> = known.map(|(_, name)| format!("\"{name}\"")).collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let what = format!("nothing is stored of {kind} \"{name}\"; known: {known}");
    Error::new(ErrorKind::Usage, what)
}

fn unwritten(error: io::Error) -> Error {
    Error::new(ErrorKind::Disk, "could not write the export").because(error)
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Disk, format!("the state is damaged: {what}"))
}

/// Names by number.
struct Names {
    models: BTreeMap<u16, String>,
    connections: BTreeMap<u16, String>,
}

impl Names {
    fn model(&self, number: u16) -> Result<String> {
        let name = self.models.get(&number).cloned();
        name.ok_or_else(|| damaged(&format!("model {number} has no name")))
    }

    fn connection(&self, number: u16) -> Result<String> {
        let name = self.connections.get(&number).cloned();
        name.ok_or_else(|| damaged(&format!("connection {number} has no name")))
    }

    fn twin(&self, stored: StoredTwin<'_>, encoded: bool) -> Result<Twin> {
        let id = String::from_utf8(stored.id.to_vec()).map_err(|_| damaged("an id is no UTF-8"))?;
        let Some((version, state)) = stored.state.split_first_chunk::<4>() else {
            return Err(damaged(&format!("the state of twin \"{id}\" is cut short")));
        };
        let route = stored.route.map(|route| {
            let route = StoredRoute::decode(route);
            route.ok_or_else(|| damaged(&format!("the route of twin \"{id}\" cannot be read")))
        });
        let route = route.transpose()?;
        let json = if encoded { None } else { transcode::to_json(state) };
        let json = json.and_then(|json| RawValue::from_string(json).ok());
        Ok(Twin {
            model: self.model(stored.model)?,
            version: u32::from_le_bytes(*version),
            stored: json.is_none().then(|| Bytes(state.to_vec())),
            state: json,
            connection: route.as_ref().map(|it| self.connection(it.connection)).transpose()?,
            names: route.map(|route| route.names).unwrap_or_default(),
            id,
        })
    }

    fn message_id(&self, id: StoredId<'_>) -> Result<MessageId> {
        Ok(MessageId {
            model: self.model(id.model)?,
            key: Bytes(id.key.to_vec()),
            value: Bytes(id.value.to_vec()),
        })
    }

    /// What belongs to no twin.
    fn ledger(&self, stored: &Stored, lines: &mut Lines<'_>) -> Result<()> {
        for (connection, position) in stored.recovered.all_positions() {
            lines.put(&Record::Position(StoredPosition {
                connection: self.connection(connection)?,
                topic: position.topic,
                partition: position.partition,
                next: position.next,
            }))?;
        }
        for (connection, entry) in stored.recovered.all_feedback() {
            let value = rmp_serde::to_vec(entry).expect("an outbox entry always serialises");
            let connection = self.connection(connection)?;
            lines.put(&Record::Feedback(Feedback { connection, value: Bytes(value) }))?;
        }
        for letter in stored.recovered.dead_letters() {
            let payload = stored.log.dead_letter_payload(letter.number)?;
            let payload = payload.ok_or_else(|| {
                let what = format!("the payload of dead letter {} is missing", letter.number);
                Error::from(StoreError::Io { doing: what, cause: io::ErrorKind::NotFound.into() })
            })?;
            let letter = letter.clone();
            lines.put(&Record::DeadLetter(Letter { letter, payload: Bytes(payload) }))?;
        }
        for (_, quarantined) in stored.recovered.quarantined() {
            lines.put(&Record::Quarantined(quarantined.clone()))?;
        }
        Ok(())
    }
}

/// Where lines go, and what they were.
struct Lines<'w> {
    to: &'w mut dyn Write,
    crc: Hasher,
    lines: u64,
    buffer: Vec<u8>,
}

impl Lines<'_> {
    fn put(&mut self, record: &Record) -> Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, record).expect("a line always serialises");
        self.buffer.push(b'\n');
        self.crc.update(&self.buffer);
        self.lines += 1;
        self.to.write_all(&self.buffer).map_err(unwritten)
    }
}
