//! The twin that the process before died of goes into quarantine (law F4).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use twinflow_operators::{
    quarantine::{Quarantine, Quarantined, TakeNotes, TwinNote, put_quarantined},
    recover::Recovered,
};

use super::{EngineBuilder, StoreChoice, notes::NoteFile, start::Parts, supervision::Report};
use crate::{
    error::{Error, ErrorKind, Result},
    recovery::Recovery,
};

/// What a careful process notes, and what the one before left.
#[derive(Default)]
pub(super) struct Suspected {
    notes: Option<Arc<NoteFile>>,
    /// Written in the first epoch.
    new: Option<Quarantined>,
}

impl Suspected {
    /// Reads what the process before noted, if its supervisor says that it died of that. Without a
    /// state directory there is no place for notes, nor for a quarantine that lasts.
    ///
    /// # Errors
    ///
    /// The file of notes cannot be used.
    pub(super) fn find(builder: &EngineBuilder, recovery: &mut Recovery) -> Result<Self> {
        let supervision = &builder.supervision;
        let StoreChoice::Log { dir, .. } = &builder.store else { return Ok(Self::default()) };
        if !supervision.careful && supervision.suspect.is_none() {
            return Ok(Self::default());
        }
        let notes = NoteFile::open(dir).map_err(|error| {
            let what = format!("could not open the file of notes in \"{}\"", dir.display());
            Error::new(ErrorKind::Disk, what).because(error)
        })?;
        let new = match (&supervision.suspect, notes.read()) {
            (Some(how), Some(note)) => suspect(builder, recovery, how, note),
            (Some(how), None) => {
                tracing::error!(how, "the careful process before died outside of any twin");
                None
            }
            (None, _) => {
                notes.clear();
                None
            }
        };
        Ok(Self { notes: Some(Arc::new(notes)), new })
    }

    /// All twins in quarantine.
    pub(super) fn quarantine(&self, recovered: &Recovered) -> Quarantine {
        let twins = recovered.quarantined().map(|(model, one)| (model, one.clone()));
        let notes = self.notes.clone().map(|notes| notes as Arc<dyn TakeNotes>);
        Quarantine::new(twins, notes)
    }

    /// Waits until the new one is durable: until then its note must stand.
    pub(super) fn settle(self, parts: &Parts) {
        if let Some(new) = self.new {
            while parts.progress.committed.load(Ordering::Acquire) <= parts.first_epoch {
                std::thread::sleep(Duration::from_micros(200));
            }
            let Quarantined { model, twin, reason, connection, position, .. } = new;
            tracing::error!(
                model,
                twin,
                reason,
                connection,
                ?position,
                "the twin is in quarantine: its messages become dead letters until it is released"
            );
            (parts.supervision.tell)(Report::Committed);
        }
        self.notes.inspect(|notes| notes.clear());
    }
}

/// Sets the noted twin aside; `None` when that is nothing new.
fn suspect(
    builder: &EngineBuilder,
    recovery: &mut Recovery,
    how: &str,
    note: TwinNote,
) -> Option<Quarantined> {
    let TwinNote { model, twin, connection, position } = note;
    let number = recovery.models.number(&model)?;
    let mut known = recovery.recovered.quarantined();
    if known.any(|(of, one)| of == number && one.twin == twin) {
        tracing::error!(model, twin, how, "the process died of a twin that is in quarantine");
        return None;
    }
    drop(known);
    let reason = format!("working it off ended the process ({how})");
    let at = (builder.clock)();
    let new = Quarantined { model, twin, reason, connection, position, at };
    recovery.recovered.quarantine(number, new.clone());
    put_quarantined(recovery.first_part.get_or_insert_default(), number, &new);
    Some(new)
}
