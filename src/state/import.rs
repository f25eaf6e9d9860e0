//! A new state directory of an export: all of it or nothing.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
    path::Path,
};

use crc32fast::Hasher;
use twinflow_connectors::{
    link::{OutboxEntry, Position},
    message::{Timestamp, model_name_error, twin_id_error},
    route::{bucket, twin_hash},
};
use twinflow_operators::{
    quarantine::put_quarantined,
    recover::{
        StoredId, StoredRoute, put_stored_feedback, put_stored_head, put_stored_id,
        put_stored_letter, put_stored_position,
    },
    store::{EntryKind, EpochPart},
};

use super::{
    change::{Appender, options, read_back},
    record::{Bytes, End, FORMAT, Head, Record, Twin},
    transcode, whole,
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::NewLog,
};

/// Bytes of entries in one epoch of the new log.
const EPOCH_BYTES: usize = 1 << 20;

/// Bytes of one line: more than the longest state and payload need.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    pub(crate) twins: u64,
    pub(crate) lines: u64,
    /// The last epoch of the export: a start goes on behind it.
    pub(crate) behind_epoch: u64,
}

/// Reads an export into a directory that is new or empty. It counts when everything was checked and
/// is durable; on an error the directory is as it was.
///
/// # Errors
///
/// The directory holds something; the export is of a newer version, damaged or cut off; the disk.
pub(crate) fn import(
    dir: &Path,
    from: &mut dyn BufRead,
    segment_bytes: Option<u64>,
) -> Result<Imported> {
    let (mut lines, head) = begin(from)?;
    let (options, told, bell) = options(segment_bytes)?;
    let new = NewLog::begin(dir, options, (head.generation, head.epoch))?;
    let done = Appender::claim(&new.log, told, bell)
        .and_then(|appender| fill(&new, appender, &mut lines, head));
    if done.is_err() {
        let place = dir.display();
        if let Err(error) = new.abandon() {
            tracing::warn!(%error, %place, "remove the directory by hand: it cannot be emptied");
        }
    }
    done
}

/// The first line, and who reads the others.
pub(super) fn begin(from: &mut dyn BufRead) -> Result<(Lines<'_>, Head)> {
    let mut lines = Lines { from, crc: Hasher::new(), line: 0, bytes: Vec::new() };
    let Some((Record::TwinflowState(head), _)) = lines.next()? else {
        return Err(lines.wrong("it is no export: the first line is not {\"twinflow_state\": ..}"));
    };
    if head.format > FORMAT {
        let what = format!("it has format {}, this twinflow reads {FORMAT}", head.format);
        return Err(lines.wrong(&format!("{what}; use the newer twinflow that wrote it")));
    }
    Ok((lines, head))
}

/// Writes everything, reads it back, and makes it count.
fn fill(
    new: &NewLog,
    mut appender: Appender<'_>,
    lines: &mut Lines<'_>,
    head: Head,
) -> Result<Imported> {
    let behind_epoch = head.epoch;
    let twins = entries_of(lines, head, |part| appender.append(part).map(drop))?;
    appender.finish()?;
    let back = read_back(&new.log)?;
    whole(&back)?;
    if back.twins_total() as u64 != twins {
        return Err(lines.wrong("a twin is in it twice"));
    }
    new.publish()?;
    Ok(Imported { twins, lines: lines.line, behind_epoch })
}

/// Gives everything that the lines say to `append`, in parts; how many twins that are.
pub(super) fn entries_of(
    lines: &mut Lines<'_>,
    head: Head,
    mut append: impl FnMut(EpochPart) -> Result<()>,
) -> Result<u64> {
    let names = Names::of(&head).map_err(|why| lines.wrong(&why))?;
    let mut part = EpochPart::default();
    let at = (Timestamp(head.time_us), head.dead_letters_newest);
    put_stored_head(&mut part, head.models, head.connections, at);
    let mut twins = 0;
    let end = loop {
        let Some((record, crc)) = lines.next()? else {
            return Err(lines.wrong("it was cut off: the last line is not {\"end\": ..}"));
        };
        if let Record::End(end) = record {
            break (end, crc);
        }
        twins += u64::from(matches!(record, Record::Twin(_)));
        names.put(record, &mut part).map_err(|why| lines.wrong(&why))?;
        if part.bytes().len() >= EPOCH_BYTES {
            append(std::mem::take(&mut part))?;
        }
    };
    lines.check_end(&end, twins)?;
    append(part)?;
    Ok(twins)
}

/// The lines of an export.
pub(super) struct Lines<'r> {
    from: &'r mut dyn BufRead,
    /// Of all lines so far.
    crc: Hasher,
    line: u64,
    bytes: Vec<u8>,
}

impl Lines<'_> {
    /// The next line, and the check of everything before it.
    fn next(&mut self) -> Result<Option<(Record, u32)>> {
        let before = self.crc.clone().finalize();
        self.bytes.clear();
        let mut limited = (&mut *self.from).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut self.bytes).map_err(|error: io::Error| {
            Error::new(ErrorKind::Disk, "could not read the export").because(error)
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.crc.update(&self.bytes);
        let record = serde_json::from_slice(&self.bytes).map_err(|error| {
            let cut = !self.bytes.ends_with(b"\n");
            let what = if cut { "it was cut off" } else { "it cannot be read" };
            self.wrong(what).because(error)
        })?;
        Ok(Some((record, before)))
    }

    fn wrong(&self, what: &str) -> Error {
        let line = self.line;
        let what = format!("the export is refused at line {line}, nothing was imported: {what}");
        Error::new(ErrorKind::StateRefused, what)
    }

    fn check_end(&mut self, (end, crc): &(End, u32), twins: u64) -> Result<()> {
        let crc = format!("{crc:08x}");
        if (end.lines, end.twins) != (self.line - 1, twins) {
            let what = format!(
                "it has {} lines and {twins} twins before the last line, which says {} and {}",
                self.line - 1,
                end.lines,
                end.twins
            );
            return Err(self.wrong(&what));
        }
        if end.crc32 != crc {
            let what = format!(
                "its lines are not what was written: their CRC-32 is {crc}, the last line says {}",
                end.crc32
            );
            return Err(self.wrong(&what));
        }
        if self.next()?.is_some() {
            return Err(self.wrong("something follows the line that ends it"));
        }
        Ok(())
    }
}

/// Refuses a number that a stored key has and the first line has not.
fn known(names: &BTreeMap<String, u16>, number: u16) -> Result<(), String> {
    match names.values().any(|known| *known == number) {
        true => Ok(()),
        false => Err(format!("the first line knows no number {number}")),
    }
}

/// Numbers by name.
struct Names {
    models: BTreeMap<String, u16>,
    connections: BTreeMap<String, u16>,
}

impl Names {
    fn of(head: &Head) -> Result<Self, String> {
        let numbers = |names: &BTreeMap<u16, String>| {
            let mut numbers = BTreeMap::new();
            for (number, name) in names {
                if let Some(why) = model_name_error(name) {
                    return Err(why);
                }
                if numbers.insert(name.clone(), *number).is_some() {
                    return Err(format!("the name \"{name}\" has two numbers"));
                }
            }
            Ok(numbers)
        };
        Ok(Self { models: numbers(&head.models)?, connections: numbers(&head.connections)? })
    }

    fn model(&self, name: &str) -> Result<u16, String> {
        let number = self.models.get(name).copied();
        number.ok_or_else(|| format!("the first line knows no model \"{name}\""))
    }

    fn connection(&self, name: &str) -> Result<u16, String> {
        let number = self.connections.get(name).copied();
        number.ok_or_else(|| format!("the first line knows no connection \"{name}\""))
    }

    fn put(&self, record: Record, part: &mut EpochPart) -> Result<(), String> {
        match record {
            Record::Twin(twin) => self.put_twin(twin, part)?,
            Record::MessageId(id) => {
                let model = self.model(&id.model)?;
                let of = StoredId { model, key: &id.key.0, value: &id.value.0 };
                let (_twin, scope) = of.of().ok_or("the message id is damaged")?;
                known(&self.connections, scope)?;
                put_stored_id(part, model, of.key, of.value).ok_or("the message id is damaged")?;
            }
            Record::Position(it) => {
                let connection = self.connection(&it.connection)?;
                let position = Position { topic: it.topic, partition: it.partition, next: it.next };
                put_stored_position(part, connection, &position);
            }
            Record::Feedback(feedback) => {
                let entry: OutboxEntry = rmp_serde::from_slice(&feedback.value.0)
                    .map_err(|error| format!("the feedback is damaged: {error}"))?;
                known(&self.models, entry.model)?;
                put_stored_feedback(part, self.connection(&feedback.connection)?, &entry);
            }
            Record::DeadLetter(it) => put_stored_letter(part, &it.letter, &it.payload.0),
            Record::Quarantined(twin) => put_quarantined(part, self.model(&twin.model)?, &twin),
            Record::TwinflowState(_) | Record::End(_) => {
                return Err("a line of this kind stands there once, first or last".into());
            }
        }
        Ok(())
    }

    fn put_twin(&self, twin: Twin, part: &mut EpochPart) -> Result<(), String> {
        if let Some(why) = twin_id_error(&twin.id) {
            return Err(why);
        }
        let state = match (twin.state, twin.stored) {
            (Some(json), None) => transcode::from_json(json.get()),
            (None, Some(Bytes(stored))) => Some(stored),
            _ => return Err("a twin has \"state\" or \"stored\"".into()),
        };
        let state = state.ok_or("the state is no JSON that can be stored")?;
        let (model, key) = (self.model(&twin.model)?, twin.id.as_bytes());
        let bucket = bucket(twin_hash(key));
        let value = [&twin.version.to_le_bytes()[..], &state].concat();
        part.put(EntryKind::State, bucket, model, key, &value);
        if let Some(connection) = twin.connection {
            let connection = self.connection(&connection)?;
            let route = StoredRoute { connection, names: twin.names };
            part.put(EntryKind::Route, bucket, model, key, &route.encode());
        }
        Ok(())
    }
}
