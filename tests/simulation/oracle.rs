//! What must come of a run: C1 to C4 and C6 to C8 of the design of durability.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    plan::PARTITIONS,
    twin::{Act, Log, Step, apply},
    upstream::{Outside, Told, Waits},
};

pub(crate) type Verdict = Result<(), String>;
pub(crate) type Dump = BTreeMap<String, Option<Log>>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// What messages of one source come to, one after the other, for twins of that source alone.
fn reference<'w>(own: &str, messages: impl Iterator<Item = &'w Waits>) -> Dump {
    let mut twins: Dump =
        ["0", "1", "goes"].iter().map(|it| (format!("{own}-{it}"), None)).collect();
    for message in messages {
        if let Some(twin) = twins.get_mut(&message.twin) {
            apply(twin, message.step(), false);
        }
    }
    twins
}

/// The number of applied messages of each kind of twin that only collects.
fn applied<'d>(dump: &'d Dump, twin: &str) -> &'d [u64] {
    dump[twin].as_ref().map_or(&[], |log| &log.applied)
}

/// C4, and C8 for what was recovered: each twin of one source is what some prefix of that source
/// comes to that holds all that was acknowledged, and all twins of it the same prefix.
pub(crate) fn recovered(outside: &Outside, told: &Told, dump: &Dump) -> Verdict {
    for partition in 0..PARTITIONS {
        let (log, done) = (&outside.log[partition], told.done[partition] as usize);
        prefix(&format!("log-{partition}"), log, done, dump)?;
    }
    let mut met = BTreeSet::new();
    let once: Vec<_> = outside.queued.iter().filter(|it| met.insert(it.n)).cloned().collect();
    let done = once.iter().take_while(|it| told.queue_done.contains(&it.n)).count();
    prefix("queue", &once, done, dump)?;
    let collected: BTreeSet<_> = applied(dump, "all").iter().collect();
    for message in acknowledged(outside, told).filter(|message| message.twin == "all") {
        let n = message.n;
        must(collected.contains(&n), || format!("{n} was acknowledged and is not in \"all\""))?;
    }
    Ok(())
}

fn acknowledged<'o>(outside: &'o Outside, told: &'o Told) -> impl Iterator<Item = &'o Waits> {
    let logs = outside.log.iter().zip(told.done);
    let logs = logs.flat_map(|(log, done)| &log[..done as usize]);
    let queue = outside.queued.iter().filter(|it| told.queue_done.contains(&it.n));
    logs.chain(queue)
}

fn prefix(own: &str, messages: &[Waits], done: usize, dump: &Dump) -> Verdict {
    let is = |count: &usize| {
        let expected = reference(own, messages[..*count].iter());
        expected.iter().all(|(twin, log)| dump[twin] == *log)
    };
    must((done..=messages.len()).any(|count| is(&count)), || {
        let found = dump.iter().filter(|(twin, _)| twin.starts_with(own));
        let expected = reference(own, messages[..done].iter());
        format!(
            "C4: {done} of {own} were acknowledged: {expected:?}; there is {found:?}",
            found = found.collect::<Vec<_>>()
        )
    })
}

/// C7: what a committed read gave is implied by what is recovered.
pub(crate) fn committed_reads(read: &BTreeMap<String, Log>, dump: &Dump) -> Verdict {
    for (twin, before) in read {
        let now = applied(dump, twin);
        must(now.starts_with(&before.applied), || {
            format!("C7: {twin} was read with {:?} and has {now:?}", before.applied)
        })?;
    }
    Ok(())
}

/// C7: no committed read goes back behind an earlier one.
pub(crate) fn read(before: Option<Log>, now: &Log) -> Verdict {
    let before = before.unwrap_or_default().applied;
    must(now.applied.starts_with(&before), || {
        format!("C7: a read gave {:?} after {before:?}", now.applied)
    })
}

/// Replies that were asked for and did not come.
pub(crate) fn missing_replies(outside: &Outside) -> impl Iterator<Item = u64> {
    let came: BTreeSet<u64> = outside.came.iter().map(|came| came.reply.n).collect();
    let asked = outside.log.iter().flatten().chain(&outside.queued);
    let asked = asked.filter(|it| it.step().act == Act::Reply).map(|it| it.n);
    asked.filter(move |n| !came.contains(n)).collect::<Vec<_>>().into_iter()
}

/// The quiet end: everything is applied once and in order, and every reply is true.
pub(crate) fn ended(outside: &Outside, dump: &Dump, letters: usize, lives: usize) -> Verdict {
    must(letters == 0, || format!("{letters} dead letters are left after their replay"))?;
    let mut met = BTreeSet::new();
    let once: Vec<_> = outside.queued.iter().filter(|it| met.insert(it.n)).collect();
    for partition in 0..PARTITIONS {
        let expected = reference(&format!("log-{partition}"), outside.log[partition].iter());
        same(&expected, dump)?;
    }
    same(&reference("queue", once.iter().copied()), dump)?;
    // C1 and C2 for the twins that several sources have; C3 for the one that keeps its order.
    for twin in ["all", "heals"] {
        let all = outside.log.iter().flatten().chain(once.iter().copied());
        let mut expected: Vec<u64> =
            all.filter(|it| it.twin == twin).map(|message| message.n).collect();
        let mut found = applied(dump, twin).to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        must(found == expected, || format!("C1, C2: {twin} has {found:?}, not {expected:?}"))?;
    }
    for messages in outside.log.iter() {
        in_order(messages.iter(), dump)?;
    }
    in_order(once.into_iter(), dump)?;
    feedback(outside, dump, lives)
}

fn same(expected: &Dump, dump: &Dump) -> Verdict {
    for (twin, log) in expected {
        must(dump[twin] == *log, || {
            format!("C8: {twin} is {:?}, the reference has {log:?}", dump[twin])
        })?;
    }
    Ok(())
}

fn in_order<'w>(messages: impl Iterator<Item = &'w Waits>, dump: &Dump) -> Verdict {
    let own: Vec<u64> = messages.filter(|it| it.twin == "all").map(|it| it.n).collect();
    let found: Vec<u64> =
        applied(dump, "all").iter().copied().filter(|n| own.contains(n)).collect();
    must(found == own, || format!("C3: \"all\" has {found:?} in another order than {own:?}"))
}

/// C6: one id for each reply, whose message is where it says; copies no more than sessions.
fn feedback(outside: &Outside, dump: &Dump, lives: usize) -> Verdict {
    let mut ids = BTreeMap::new();
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for came in &outside.came {
        let (n, id) = (came.reply.n, (came.twin.clone(), came.id));
        let known = ids.entry(n).or_insert_with(|| id.clone());
        must(*known == id, || format!("C6: reply {n} has the ids {known:?} and {id:?}"))?;
        let at = applied(dump, &came.twin).get(came.reply.at);
        must(at == Some(&n), || {
            format!("C6: {} said {n} at {}, there is {at:?}", came.twin, came.reply.at)
        })?;
        *copies.entry(n).or_default() += 1;
    }
    let most = outside.sessions() + lives;
    let worst = copies.into_iter().max_by_key(|(_, count)| *count);
    must(worst.is_none_or(|(_, count)| count <= most), || format!("C6: copies: {worst:?}"))
}

/// The message that a source was given.
impl Waits {
    pub(crate) fn step(&self) -> Step {
        serde_json::from_slice(&self.payload).unwrap()
    }
}
