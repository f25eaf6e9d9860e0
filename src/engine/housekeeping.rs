//! What happens once in a while: held stores are noticed, old feedback is given up.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{EngineHandle, letters::LetterKeeper, start::Parts, supervision::Report};
use crate::connections::Connections;

/// How long the store may stand still before new requests are refused (law R1).
const HELD_AFTER: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const EXPIRE_EVERY: u32 = 10;

/// A supervisor hears of commits as often as this at most.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Commits over so long a time end careful mode.
const CAREFUL_FOR: Duration = Duration::from_secs(60);

/// Tells the supervisor of commits, and knows when an engine has been careful for long enough.
#[derive(Default)]
struct Commits {
    seen: u64,
    first: Option<Instant>,
    told: Option<Instant>,
}

impl Commits {
    fn look(&mut self, parts: &Parts, committed: u64) {
        // The first epoch is empty; a frontier is the first epoch that is not over.
        if committed <= (parts.first_epoch + 1).max(self.seen) {
            return;
        }
        self.seen = committed;
        let first = *self.first.get_or_insert_with(Instant::now);
        if self.told.is_none_or(|told| told.elapsed() >= REPORT_EVERY) {
            self.told = Some(Instant::now());
            (parts.supervision.tell)(Report::Committed);
        }
        if parts.edge.is_careful() && first.elapsed() >= CAREFUL_FOR {
            parts.edge.set_careful(false);
            tracing::info!("careful mode ends: a minute of commits without a death");
        }
    }
}

/// Looks ten times a second until the runtime ends.
pub(super) async fn keep_house(engine: EngineHandle) {
    let (parts, connections) = (&engine.parts, &engine.connections);
    let mut letters = LetterKeeper::new(engine.clone());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut committed, mut moved_at) = (0, Instant::now());
    let mut commits = Commits::default();
    for look in 1u32.. {
        looks.tick().await;
        let now = parts.progress.committed.load(Ordering::Acquire);
        commits.look(parts, now);
        // The open epoch is never committed; only closed ones can be held.
        let owes = now < parts.clock.now();
        if now != committed || !owes {
            (committed, moved_at) = (now, Instant::now());
        }
        let held = owes && moved_at.elapsed() >= HELD_AFTER;
        if parts.edge.refusals.set_held(held) != held {
            if held {
                tracing::warn!(epoch = now, "the store has not moved for two seconds");
            } else {
                tracing::info!("the store moves again");
            }
        }
        check_room(parts);
        pause_failing(parts, connections);
        letters.look();
        if look.is_multiple_of(EXPIRE_EVERY) {
            let now = (parts.time)();
            parts.slots.iter().for_each(|slot| slot.expire_feedback(now));
            letters.drop_due(now);
        }
    }
}

/// Sources take nothing while the disk is full; whoever waits for their room is woken when it is
/// not (law D10).
fn check_room(parts: &Parts) {
    let full = parts.store.check_room();
    if parts.edge.refusals.set_full(full) == full {
        return;
    }
    if full {
        tracing::error!("the disk of the state has no room left; nothing is taken in");
    } else {
        tracing::info!("the disk of the state has room again");
    }
    parts.wakes.iter().for_each(|wake| wake.ring());
}

/// A connection that keeps bringing messages on which their model fails is paused, unless its
/// callers can be told one by one (law P5).
fn pause_failing(parts: &Parts, connections: &Connections) {
    for refused in parts.edge.refusals.models().into_values() {
        let mut slots = parts.slots.iter();
        let answers =
            slots.any(|slot| *slot.place.connection == *refused.connection && slot.place.answers);
        if !answers {
            connections.pause(&refused.connection);
        }
    }
}
