//! What the twins of one worker and their message ids were, as bytes: folded by a thread for each
//! shard, loaded by its worker.

use std::collections::BTreeMap;

use twinflow_connectors::route::{bucket, owner, twin_hash};

use super::{
    MODELS,
    newest::{Found, Newest},
};
use crate::{
    process::{ids::twin_of_key, load::StoredTwin, model_worker::ModelWorker},
    store::{Entry, EntryKind, EpochPart},
};

/// Entries, and twins, that are looked up together: what a look-up will read is asked for while
/// others are looked up, so that it waits for memory once for many and not three times for each.
const TOGETHER: usize = 64;

/// The twins of one worker.
#[derive(Debug, Default)]
pub(super) struct Shard {
    states: Newest,
    routes: Newest,
    ids: Newest,
}

/// Loads one thing into the model that it belongs to.
pub(crate) type Load<'a> = dyn FnMut(&mut dyn ModelWorker) -> Result<(), String> + 'a;

impl Shard {
    /// Takes in entries, the newest first.
    pub(super) fn fold<'e>(&mut self, mut newest_first: impl Iterator<Item = Entry<'e>>) {
        let mut together = Vec::with_capacity(TOGETHER);
        loop {
            let entries = newest_first.by_ref().take(TOGETHER);
            together.extend(entries.map(|entry| (twin_hash(entry.key), entry)));
            if together.is_empty() {
                return;
            }
            for ask in [Newest::ask_cell, Newest::ask_record] {
                together.iter().for_each(|(hash, entry)| ask(self.of(entry.kind), *hash));
            }
            together.drain(..).for_each(|(hash, entry)| self.put(hash, entry));
        }
    }

    /// Where an entry is looked up first.
    fn of(&self, kind: EntryKind) -> &Newest {
        match kind {
            EntryKind::Route => &self.routes,
            EntryKind::MessageId => &self.ids,
            _ => &self.states,
        }
    }

    fn put(&mut self, hash: u64, Entry { kind, space, key, value, .. }: Entry<'_>) {
        match kind {
            EntryKind::Route => self.routes.put(hash, space, key, Some(value)),
            EntryKind::MessageId => {
                let value = Some(value).filter(|value| !value.is_empty());
                self.ids.put(hash, space, key, value);
            }
            EntryKind::Removal => {
                self.states.put(hash, space, key, None);
                self.routes.put(hash, space, key, None);
            }
            _ => self.states.put(hash, space, key, Some(value)),
        }
    }

    /// Models with the number of their twins.
    pub(super) fn twins(&self) -> impl Iterator<Item = (u16, usize)> {
        self.states.live()
    }

    /// Writes everything of such models again as it is.
    pub(super) fn keep(&self, is_kept: impl Fn(u16) -> bool, kept: &mut EpochPart) {
        let all = [
            (EntryKind::State, &self.states),
            (EntryKind::Route, &self.routes),
            (EntryKind::MessageId, &self.ids),
        ];
        for (kind, newest) in all {
            for found in newest.iter().filter(|found| is_kept(found.space)) {
                let hash = match kind {
                    EntryKind::MessageId => twin_hash(twin_of_key(found.key).unwrap_or_default()),
                    _ => found.hash,
                };
                kept.put(kind, bucket(hash), found.space, found.key, found.value);
            }
        }
    }

    /// Gives every twin: model, id, state, route.
    pub(super) fn each_twin<E>(
        &self,
        each: &mut impl FnMut(&Found<'_>, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.states
            .iter()
            .try_for_each(|twin| each(&twin, self.routes.get(twin.hash, twin.space, twin.key)))
    }

    /// Every message id.
    pub(super) fn ids(&self) -> impl Iterator<Item = Found<'_>> {
        self.ids.iter()
    }

    /// Loads everything into the models of its worker, giving memory back on the way. `loaded` is
    /// told of twins, a few at a time.
    pub(super) fn load(
        self,
        (worker, workers): (usize, usize),
        names: &BTreeMap<(u16, u16), String>,
        loaded: impl Fn(usize),
        with: &mut impl FnMut(u16, &mut Load<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Self { states, routes, ids } = self;
        for (model, count) in states.live() {
            with(model, &mut |model| {
                model.expect(count);
                Ok(())
            })?;
        }
        let is_own = |hash| owner(bucket(hash), workers) == worker;
        states.take_apart(TOGETHER, |together| {
            for ask in [Newest::ask_cell, Newest::ask_record] {
                together.iter().for_each(|twin| ask(&routes, twin.hash));
            }
            for twins in together.chunk_by(|one, other| one.space == other.space) {
                load_some(twins, is_own, &routes, with).map_err(|(at, why)| {
                    let name = names.get(&(MODELS, twins[at].space)).map_or("", String::as_str);
                    let id = String::from_utf8_lossy(twins[at].key);
                    format!("model \"{name}\": the stored state of twin \"{id}\" {why}")
                })?;
            }
            loaded(together.len());
            Ok(())
        })?;
        drop(routes);
        ids.take_apart(TOGETHER, |together| {
            for id in together {
                twin_of_key(id.key)
                    .filter(|twin| is_own(twin_hash(twin)))
                    .ok_or("the key of a message id is damaged")?;
                with(id.space, &mut |model| model.load_id(id.key, id.value))?;
            }
            Ok(())
        })
    }

    /// The value of a state.
    #[cfg(test)]
    pub(super) fn state(&self, space: u16, key: &[u8]) -> Option<&[u8]> {
        self.states.get(twin_hash(key), space, key)
    }

    /// Everything, one line each.
    #[cfg(test)]
    pub(super) fn dump(&self) -> Vec<String> {
        let twins = self.states.iter().map(|it| format!("twin {it:?}"));
        let routes = self.routes.iter().map(|it| format!("route {it:?}"));
        let ids = self.ids.iter().map(|it| format!("id {it:?}"));
        twins.chain(routes).chain(ids).collect()
    }
}

/// Twins of one model; else says which of them does not load, and why.
fn load_some(
    twins: &[Found<'_>],
    is_own: impl Fn(u64) -> bool,
    routes: &Newest,
    with: &mut impl FnMut(u16, &mut Load<'_>) -> Result<(), String>,
) -> Result<(), (usize, String)> {
    let mut stored = Vec::with_capacity(twins.len());
    for (at, twin) in twins.iter().enumerate() {
        let Found { hash, space, key, value: state } = *twin;
        if !is_own(hash) {
            return Err((at, "is stored as if it were of another bucket".to_owned()));
        }
        let id = std::str::from_utf8(key);
        let id = id.map_err(|_| (at, "has an id that is no UTF-8".to_owned()))?;
        stored.push(StoredTwin { hash, id, state, route: routes.get(hash, space, key) });
    }
    let mut failed = None;
    with(twins[0].space, &mut |model| {
        model.load(&stored).map_err(|(at, why)| {
            failed = Some(at);
            format!("does not load: {why}")
        })
    })
    .map_err(|why| (failed.unwrap_or(0), why))
}
