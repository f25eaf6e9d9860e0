//! Everything that can be found wrong with a state directory, without changing it.

use std::{collections::HashSet, convert::Infallible, path::Path, sync::Arc};

use serde::{Serialize, de::IgnoredAny};
use twinflow_operators::{
    models::Models,
    recover::{CONNECTIONS, MODELS, Recovered, StoredTwin},
    store::StoreError,
};

use crate::{
    error::{Error, ErrorKind, Result},
    recovery::refuse_unknown,
    store::StoppedLog,
};

/// What was looked at, and what is wrong with it.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// Whether nothing is.
    pub(crate) ok: bool,
    pub(crate) problems: Vec<Problem>,
    /// Last epoch and number of the last frame that are good.
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) twins: usize,
    pub(crate) dead_letters: usize,
    /// States that the models of the file have decoded, and migrated where they must be.
    pub(crate) decoded: Option<usize>,
    /// Where a write was cut off that nobody was told of; the next start drops it.
    pub(crate) cut_off: Option<String>,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) next: String,
    /// That of a start.
    pub(crate) exit_code: u8,
}

/// Models and connections of a configuration.
pub(crate) struct Configured<'c> {
    pub(crate) models: &'c Models,
    pub(crate) connections: Vec<&'c str>,
}

/// Reads everything in a directory and makes every check: of frames and their chain, of entries,
/// of the payloads of dead letters, of every state. With a configuration it decodes the states as
/// a start would.
///
/// # Errors
///
/// The directory cannot be read at all: it is in use, not ours, or of a newer version.
pub(crate) fn check(dir: &Path, configured: Option<&Configured<'_>>) -> Result<Checked> {
    let log = StoppedLog::open(dir)?;
    let mut checked = Checked {
        ok: false,
        problems: Vec::new(),
        epoch: 0,
        sequence: 0,
        twins: 0,
        dead_letters: 0,
        decoded: None,
        cut_off: None,
    };
    let mut summary = None;
    let read = Recovered::read(1, Arc::default(), |reading, each| {
        summary = Some(log.replay(reading, each)?);
        Ok(())
    });
    let recovered = match read {
        Err(error @ StoreError::Corrupt { last_good_epoch, .. }) => {
            checked.epoch = last_good_epoch;
            let next = format!(
                "import an export into a new directory, or give up everything behind epoch \
                 {last_good_epoch} with: twinflow run --recover-from {last_good_epoch}"
            );
            checked.problem(&Error::from(error), next);
            return Ok(checked);
        }
        read => read?,
    };
    let summary = summary.expect("it was read above");
    (checked.epoch, checked.sequence) = (summary.epoch, summary.sequence);
    checked.cut_off = summary.cut_off.map(|(segment, at)| format!("\"{segment}\" at {at}"));
    checked.twins = recovered.twins_total();
    checked.dead_letters = recovered.dead_letters().count();
    if let Some(damage) = recovered.damage() {
        let error = Error::new(ErrorKind::Disk, format!("the state is damaged: {damage}"));
        checked.problem(&error, "import an export into a new directory".into());
    }
    checked.letters(&log, &recovered);
    checked.states(&recovered);
    if let Some(configured) = configured {
        checked.configured(&recovered, configured);
    }
    checked.ok = checked.problems.is_empty();
    Ok(checked)
}

impl Checked {
    fn problem(&mut self, error: &Error, next: String) {
        let exit_code = error.kind().exit_code();
        self.problems.push(Problem { what: error.report(), next, exit_code });
    }

    fn letters(&mut self, log: &StoppedLog, recovered: &Recovered) {
        for letter in recovered.dead_letters() {
            let number = letter.number;
            let next = format!(
                "the engine starts all the same; then: twinflow dead-letters drop {number}"
            );
            match log.dead_letter_payload(number) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let what = format!("the payload of dead letter {number} is missing");
                    self.problem(&Error::new(ErrorKind::Disk, what), next);
                }
                Err(error) => self.problem(&error.into(), next),
            }
        }
    }

    /// Whether every state is one piece of MessagePack behind its version.
    fn states(&mut self, recovered: &Recovered) {
        let mut bad = None;
        let looked: Result<(), Infallible> = recovered.each_twin(|twin| {
            if !is_state(&twin) {
                let id = String::from_utf8_lossy(twin.id);
                bad.get_or_insert_with(|| format!("the state of twin \"{id}\" is no MessagePack"));
            }
            Ok(())
        });
        looked.unwrap_or_else(|never| match never {});
        if let Some(what) = bad {
            let next = "import an export into a new directory".into();
            self.problem(&Error::new(ErrorKind::Disk, what), next);
        }
    }

    /// What a start with this configuration would say.
    fn configured(&mut self, recovered: &Recovered, configured: &Configured<'_>) {
        let models = configured.models.names().map(|name| (MODELS, name));
        let connections = configured.connections.iter().map(|name| (CONNECTIONS, *name));
        let known: HashSet<_> = models
            .chain(connections)
            .filter_map(|(space, name)| Some((space, recovered.number(space, name)?)))
            .collect();
        if let Err(error) = refuse_unknown(recovered, &known, false) {
            self.problem(&error, "one of these; twinflow state info shows all names".into());
        }
        match recovered.try_load(configured.models) {
            Ok(decoded) => self.decoded = Some(decoded),
            Err(why) => {
                let next = "start the program that wrote it, or give the model a migration".into();
                self.problem(&Error::new(ErrorKind::StateRefused, why), next);
            }
        }
    }
}

fn is_state(twin: &StoredTwin<'_>) -> bool {
    let Some((_version, state)) = twin.state.split_first_chunk::<4>() else { return false };
    let mut reader = rmp_serde::Deserializer::from_read_ref(state);
    let read: Result<IgnoredAny, _> = serde::Deserialize::deserialize(&mut reader);
    read.is_ok()
}
