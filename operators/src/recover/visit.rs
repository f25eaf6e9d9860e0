//! What was recovered, looked at without an engine: for `twinflow state`.

use twinflow_connectors::{
    link::{OutboxEntry, Position},
    message::Timestamp,
    route::{bucket, twin_hash},
};

use super::{CONNECTIONS, MODELS, Recovered};
use crate::{
    dead_letter::{DeadLetter, put_dead_letter},
    models::Models,
    process::{
        ids::{Handled, put_gone_id, put_id, scope_of_key, twin_of_key},
        routes::Route,
        scope::{feedback_key, put_feedback},
    },
    store::{EntryKind, EpochPart},
};

/// A twin as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredTwin<'a> {
    /// Number of its model.
    pub model: u16,
    /// Its id.
    pub id: &'a [u8],
    /// Schema version u32, encoded state.
    pub state: &'a [u8],
    /// Where its data source is, if it has one.
    pub route: Option<&'a [u8]>,
}

/// Where the data source of a twin is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRoute {
    /// Number of the connection.
    pub connection: u16,
    /// The names that its topic template captured.
    pub names: Vec<(String, String)>,
}

/// The id of a handled message as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredId<'a> {
    /// Number of the model.
    pub model: u16,
    /// Twin, scope and id.
    pub key: &'a [u8],
    /// When it may be forgotten, and the answer.
    pub value: &'a [u8],
}

impl StoredId<'_> {
    /// The twin that the message was for, and the number of the connection that brought it.
    pub fn of(&self) -> Option<(&[u8], u16)> {
        Some((twin_of_key(self.key)?, scope_of_key(self.key)?))
    }
}

impl StoredRoute {
    /// The stored form.
    pub fn encode(self) -> Vec<u8> {
        Route { connection: self.connection, names: self.names }.encode()
    }

    /// Reads the stored form; `None` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let Route { connection, names } = Route::decode(bytes)?;
        Some(Self { connection, names })
    }
}

/// What a removal takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Twins with their states and routes.
    pub twins: usize,
    /// Ids of handled messages.
    pub message_ids: usize,
    /// Unconfirmed feedback.
    pub feedback: usize,
    /// Dead letters.
    pub dead_letters: usize,
    /// Twins in quarantine.
    pub quarantined: usize,
    /// Source positions.
    pub positions: usize,
}

impl Recovered {
    /// Names of models with their numbers.
    pub fn models(&self) -> impl Iterator<Item = (u16, &str)> {
        self.names_of(MODELS)
    }

    /// Names of connections with their numbers.
    pub fn connections(&self) -> impl Iterator<Item = (u16, &str)> {
        self.names_of(CONNECTIONS)
    }

    fn names_of(&self, space: u16) -> impl Iterator<Item = (u16, &str)> {
        let names = self.ledger.names.range((space, 0)..=(space, u16::MAX));
        names.map(|((_, number), name)| (*number, name.as_str()))
    }

    /// Every twin, in no order.
    ///
    /// # Errors
    ///
    /// The first of `each`.
    pub fn each_twin<E>(
        &self,
        mut each: impl FnMut(StoredTwin<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.shards().try_for_each(|shard| {
            shard.each_twin(&mut |twin, route| {
                each(StoredTwin { model: twin.space, id: twin.key, state: twin.value, route })
            })
        })
    }

    /// Every id of a handled message, in no order.
    ///
    /// # Errors
    ///
    /// The first of `each`.
    pub fn each_message_id<E>(
        &self,
        mut each: impl FnMut(StoredId<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.shards().try_for_each(|shard| {
            shard
                .ids()
                .try_for_each(|id| each(StoredId { model: id.space, key: id.key, value: id.value }))
        })
    }

    /// Every stored position with the number of its connection, sorted.
    pub fn all_positions(&self) -> Vec<(u16, Position)> {
        let mut all: Vec<_> = self.ledger.positions.iter().collect();
        all.sort_unstable();
        let position =
            |topic: &String, partition, next| Position { topic: topic.clone(), partition, next };
        all.into_iter()
            .map(|((connection, topic, partition), next)| {
                (*connection, position(topic, *partition, *next))
            })
            .collect()
    }

    /// All unconfirmed feedback with the number of its connection, in order.
    pub fn all_feedback(&self) -> impl Iterator<Item = (u16, &OutboxEntry)> {
        let all = self.ledger.outbox.iter();
        all.filter_map(|((connection, ..), entry)| Some((*connection, entry.as_ref()?)))
    }

    /// Decodes and migrates every state as a start does (law D9), and every message id; what
    /// `models` lacks is left out. Says how many twins that were.
    ///
    /// # Errors
    ///
    /// The first that does not load: model, twin and field.
    pub fn try_load(&self, models: &Models) -> Result<usize, String> {
        let mut workers = models.workers(|name| self.number(MODELS, name), true);
        let known: Vec<u16> = workers.iter().map(|(number, _)| *number).collect();
        let twins: usize = self
            .shards()
            .flat_map(|shard| shard.twins().collect::<Vec<_>>())
            .filter_map(|(model, twins)| known.contains(&model).then_some(twins))
            .sum();
        self.load(0, 1, |number, load| {
            match workers.iter_mut().find(|(known, _)| *known == number) {
                Some((_, worker)) => load(&mut **worker),
                None => Ok(()),
            }
        })?;
        Ok(twins)
    }

    /// Writes into `part` that everything of a model is gone (law D8).
    pub fn put_model_gone(&self, model: u16, part: &mut EpochPart) -> Removed {
        let mut removed = Removed::default();
        let name = self.ledger.names.get(&(MODELS, model));
        let told: Result<(), std::convert::Infallible> = self.each_twin(|twin| {
            if twin.model == model {
                part.put(EntryKind::Removal, bucket(twin_hash(twin.id)), model, twin.id, &[]);
                removed.twins += 1;
            }
            Ok(())
        });
        told.unwrap_or_else(|never| match never {});
        let told: Result<(), std::convert::Infallible> = self.each_message_id(|id| {
            if id.model == model {
                put_gone_id(part, model, id.key);
                removed.message_ids += 1;
            }
            Ok(())
        });
        told.unwrap_or_else(|never| match never {});
        for (_, twin) in self.ledger.quarantined.keys().filter(|(of, _)| *of == model) {
            part.put_ledger(EntryKind::Released, model, twin.as_bytes(), &[]);
            removed.quarantined += 1;
        }
        for (connection, entry) in self.all_feedback().filter(|(_, entry)| entry.model == model) {
            part.put_ledger(EntryKind::Delivered, connection, &feedback_key(entry), &[]);
            removed.feedback += 1;
        }
        for letter in self.dead_letters().filter(|letter| letter.model.as_ref() == name) {
            let key = letter.number.to_le_bytes();
            part.put_ledger(EntryKind::DeadLetterDropped, 0, &key, &[]);
            removed.dead_letters += 1;
        }
        removed
    }

    /// Writes into `part` that positions and unconfirmed feedback of a connection are gone.
    pub fn put_connection_gone(&self, connection: u16, part: &mut EpochPart) -> Removed {
        let mut removed = Removed::default();
        for position in self.positions(connection) {
            put_position_set(part, connection, (&position.topic, position.partition), None);
            removed.positions += 1;
        }
        for entry in self.outbox(connection) {
            part.put_ledger(EntryKind::Delivered, connection, &feedback_key(entry), &[]);
            removed.feedback += 1;
        }
        removed
    }
}

/// Writes a position as the next one that counts, whatever was stored before; `None`: none is
/// stored any more (law D3).
pub fn put_position_set(
    part: &mut EpochPart,
    connection: u16,
    (topic, partition): (&str, i32),
    next: Option<u64>,
) {
    let key = super::position_key(topic, partition);
    let value = next.map(u64::to_le_bytes);
    let value = value.as_ref().map_or(&[][..], |next| next);
    part.put_ledger(EntryKind::PositionSet, connection, &key, value);
}

/// Writes a message id as [`StoredId`] has it; `None` if it is damaged.
pub fn put_stored_id(part: &mut EpochPart, model: u16, key: &[u8], value: &[u8]) -> Option<()> {
    let handled: Handled = rmp_serde::from_slice(value).ok()?;
    scope_of_key(key)?;
    put_id(part, model, key, &handled);
    Some(())
}

/// Writes unconfirmed feedback.
pub fn put_stored_feedback(part: &mut EpochPart, connection: u16, entry: &OutboxEntry) {
    put_feedback(part, connection, entry);
}

/// Writes a dead letter with its payload.
pub fn put_stored_letter(part: &mut EpochPart, letter: &DeadLetter, payload: &[u8]) {
    put_dead_letter(part, letter, payload);
}

/// Writes a source position.
pub fn put_stored_position(part: &mut EpochPart, connection: u16, position: &Position) {
    let key = super::position_key(&position.topic, position.partition);
    part.put_ledger(EntryKind::Position, connection, &key, &position.next.to_le_bytes());
}

/// Writes what a store must know before anything else: names, the time of law P6, and the largest
/// number of a dead letter that was ever given.
pub fn put_stored_head(
    part: &mut EpochPart,
    models: impl IntoIterator<Item = (u16, String)>,
    connections: impl IntoIterator<Item = (u16, String)>,
    (now, dead_letters_newest): (Timestamp, u64),
) {
    let mut names = |space: u16, number: u16, name: &str| {
        part.put_ledger(EntryKind::Name, space, &number.to_le_bytes(), name.as_bytes());
    };
    models.into_iter().for_each(|(number, name)| names(MODELS, number, &name));
    connections.into_iter().for_each(|(number, name)| names(CONNECTIONS, number, &name));
    part.put_ledger(EntryKind::Time, 0, &0u16.to_le_bytes(), &now.0.to_le_bytes());
    let newest = dead_letters_newest.to_le_bytes();
    part.put_ledger(EntryKind::DeadLetterNewest, 0, &[], &newest);
}

#[cfg(test)]
mod tests {
    use twinflow_connectors::{link::FeedbackId, route::LEDGER_BUCKET};

    use super::*;
    use crate::{
        dead_letter::DeadLetterKind,
        process::ids::id_key,
        quarantine::{Quarantined, put_quarantined},
        recover::position_key,
    };

    #[test]
    fn law_d3_a_position_that_was_set_counts_until_a_larger_one_comes() {
        let mut part = EpochPart::default();
        let mut put = |kind, next: &[u8]| part.put_ledger(kind, 2, &position_key("t", 3), next);
        put(EntryKind::Position, &90u64.to_le_bytes());
        put(EntryKind::PositionSet, &5u64.to_le_bytes());
        put(EntryKind::Position, &4u64.to_le_bytes());
        let next = |part: &EpochPart| {
            let all = Recovered::of_part(part).all_positions();
            all.into_iter().map(|(connection, at)| (connection, at.next)).collect::<Vec<_>>()
        };
        assert_eq!(next(&part), [(2, 5)]);
        part.put_ledger(EntryKind::Position, 2, &position_key("t", 3), &8u64.to_le_bytes());
        assert_eq!(next(&part), [(2, 8)]);
        put_position_set(&mut part, 2, ("t", 3), None);
        assert_eq!(next(&part), []);
    }

    /// One of everything that belongs to a model.
    fn put_all_of(model: u16, name: &str, part: &mut EpochPart) {
        let bucket = bucket(twin_hash(b"t"));
        part.put_ledger(EntryKind::Name, MODELS, &model.to_le_bytes(), name.as_bytes());
        part.put(EntryKind::State, bucket, model, b"t", b"state");
        part.put(EntryKind::Route, bucket, model, b"t", &[7, 0]);
        let answer = Handled { forget_at: Timestamp(1), body_hash: 2, answer: vec![3] };
        put_id(part, model, &id_key("t", 7, b"id"), &answer);
        put_quarantined(
            part,
            model,
            &Quarantined {
                model: name.into(),
                twin: "t".into(),
                reason: "signal".into(),
                connection: "c".into(),
                position: None,
                at: Timestamp(1),
            },
        );
        let feedback = OutboxEntry {
            id: FeedbackId { generation: 1, epoch: 2, index: 3 },
            model,
            twin: "t".into(),
            cause: None,
            names: vec![],
            payload: vec![4],
            created_at: Timestamp(1),
        };
        put_feedback(part, 7, &feedback);
        let letter = DeadLetter {
            number: u64::from(model),
            kind: DeadLetterKind::Failed,
            model: Some(name.into()),
            twin: None,
            connection: "c".into(),
            partition: None,
            position: None,
            reason: "because".into(),
            attempts: 1,
            at: Timestamp(1),
            epoch: 2,
            payload_bytes: 0,
        };
        put_dead_letter(part, &letter, b"");
    }

    #[test]
    fn law_d8_everything_of_a_model_goes_and_nothing_of_another_one() {
        let (mut both, mut one) = (EpochPart::default(), EpochPart::default());
        put_all_of(1, "keep", &mut both);
        put_all_of(2, "drop", &mut both);
        put_all_of(1, "keep", &mut one);
        one.put_ledger(EntryKind::Name, MODELS, &2u16.to_le_bytes(), b"drop");
        one.put_ledger(EntryKind::DeadLetterDropped, 0, &2u64.to_le_bytes(), &[]);
        let removed = Recovered::of_part(&both).put_model_gone(2, &mut both);
        let (twins, message_ids, feedback, dead_letters, quarantined) = (1, 1, 1, 1, 1);
        let expected =
            Removed { twins, message_ids, feedback, dead_letters, quarantined, positions: 0 };
        assert_eq!(removed, expected);
        assert_eq!(Recovered::of_part(&both).dump(), Recovered::of_part(&one).dump());
    }

    #[test]
    fn law_d8_positions_and_feedback_of_a_connection_go() {
        let mut part = EpochPart::default();
        put_all_of(1, "m", &mut part);
        for connection in [7, 8] {
            let key = position_key("t", 0);
            part.put(EntryKind::Position, LEDGER_BUCKET, connection, &key, &9u64.to_le_bytes());
        }
        let removed = Recovered::of_part(&part).put_connection_gone(7, &mut part);
        assert_eq!(removed, Removed { feedback: 1, positions: 1, ..Removed::default() });
        let left = Recovered::of_part(&part);
        assert_eq!((left.all_feedback().count(), left.twins_total()), (0, 1));
        assert_eq!(left.all_positions().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_message_id_says_whose_it_is() {
        let key = id_key("twin", 7, b"id");
        let id = StoredId { model: 1, key: &key, value: &[] };
        assert_eq!(id.of(), Some((&b"twin"[..], 7)));
        assert_eq!(StoredId { key: &key[..6], ..id }.of(), None);
    }
}
