//! What must come of a plan, message after message.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    plan::{Plan, SHARED, Sent, twin_id},
    twin::{Log, Reply},
    world::Came,
};
use crate::common::{Act, Step};

/// The ten lines: one message after the other.
fn oracle(state: &mut Option<Log>, n: u64, act: Act) {
    match act {
        Act::Fail | Act::Panic | Act::NoUpdate => {}
        Act::Remove => *state = None,
        Act::Count | Act::Reply => {
            let log = state.get_or_insert_with(|| Log { initialized: 1, ..Log::default() });
            log.numbers.push(n);
        }
    }
}

type Verdict = Result<(), String>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

pub(super) fn check(plan: &Plan, came: &Came) -> Verdict {
    must(came.overlaps == 0, || format!("{} calls overlapped", came.overlaps))?;
    let sent = plan.sent();
    let mut own: BTreeMap<String, (usize, Option<Log>)> = BTreeMap::new();
    let mut shared: BTreeMap<(String, usize), Option<Log>> = BTreeMap::new();
    for (n, message) in numbered(&sent) {
        let id = twin_id(message);
        let state = if message.twin >= SHARED {
            shared.entry((id, message.connection)).or_default()
        } else {
            &mut own.entry(id).or_insert((message.connection, None)).1
        };
        oracle(state, n, message.act);
    }
    for (id, (connection, expected)) in own {
        let exactly = plan.replayable[connection] || !plan.faults;
        states(&id, exactly, came.twins[&id].as_ref(), expected.as_ref())?;
    }
    for ((id, connection), expected) in shared {
        let exactly = plan.replayable[connection] || !plan.faults;
        let of = |n: &u64| sent[*n as usize].connection == connection;
        let part = came.twins[&id]
            .clone()
            .map(|log| Log { numbers: log.numbers.into_iter().filter(of).collect(), ..log });
        let part = part.filter(|log| !log.numbers.is_empty());
        states(&id, exactly, part.as_ref(), expected.as_ref())?;
    }
    dead_letters(plan, &sent, came)?;
    replies(plan, &sent, came)
}

fn numbered(sent: &[Sent]) -> impl Iterator<Item = (u64, &Sent)> {
    (0..).zip(sent)
}

/// Exactly what the oracle has; where messages may come again, the first of each.
fn states(id: &str, exactly: bool, found: Option<&Log>, expected: Option<&Log>) -> Verdict {
    let first = found.map(|log| {
        let mut met = BTreeSet::new();
        let numbers = log.numbers.iter().copied().filter(|n| exactly || met.insert(*n));
        Log { numbers: numbers.collect(), ..log.clone() }
    });
    must(first.as_ref() == expected, || format!("twin {id}: {found:?} instead of {expected:?}"))
}

/// The failing messages and no others.
fn dead_letters(plan: &Plan, sent: &[Sent], came: &Came) -> Verdict {
    let number = |payload: &Vec<u8>| serde_json::from_slice::<Step>(payload).unwrap().n;
    let mut found: BTreeMap<u64, usize> = BTreeMap::new();
    came.dead_letters.iter().map(number).for_each(|n| *found.entry(n).or_default() += 1);
    for (n, message) in numbered(sent) {
        let fails = matches!(message.act, Act::Fail | Act::Panic);
        let times = found.remove(&n).unwrap_or(0);
        let exactly = plan.replayable[message.connection] || !plan.faults;
        let right = if exactly { times == usize::from(fails) } else { (times > 0) == fails };
        must(right, || format!("message {n}, {message:?}, has {times} dead letters"))?;
    }
    must(found.is_empty(), || format!("dead letters of nothing: {found:?}"))
}

/// Every reply exactly once per id; one id per message where none comes again; and at most one
/// group call per twin and epoch.
fn replies(plan: &Plan, sent: &[Sent], came: &Came) -> Verdict {
    let mut ids: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut copies: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut groups: BTreeMap<(String, u64, u64), BTreeSet<u64>> = BTreeMap::new();
    let mut count = 0;
    for feedback in came.feedback.iter().flatten() {
        let reply: Reply = serde_json::from_slice(&feedback.payload).unwrap();
        let (id, twin) = (feedback.id.to_string(), feedback.twin.clone());
        must(twin == twin_id(&sent[reply.n as usize]), || format!("{reply:?} of {twin}"))?;
        if reply.of > 1 {
            let epoch = (twin.clone(), feedback.id.generation, feedback.id.epoch);
            groups.entry(epoch).or_default().insert(reply.call);
        }
        let copy = copies.entry((twin, id.clone())).or_insert_with(|| feedback.payload.clone());
        must(*copy == feedback.payload, || format!("two replies have the id {id}"))?;
        ids.entry(reply.n).or_default().insert(id);
        count += 1;
    }
    for (n, message) in numbered(sent) {
        let found = ids.remove(&n).map_or(0, |ids| ids.len());
        let replies = message.act == Act::Reply;
        let exactly = plan.replayable[message.connection] || !plan.faults;
        let right = if exactly { found == usize::from(replies) } else { (found > 0) == replies };
        must(right, || format!("message {n}, {message:?}, has {found} replies"))?;
    }
    let once = copies.len();
    must(plan.faults || count == once, || format!("{count} replies came, {once} were sent"))?;
    let twice = groups.into_iter().find(|(_, calls)| calls.len() > 1);
    must(twice.is_none(), || format!("two group calls of a twin in one epoch: {twice:?}"))
}
