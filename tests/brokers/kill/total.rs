//! The end: every twin is held against everything that was sent, and the result is told.

use std::collections::HashSet;

use super::{
    callers,
    published::{self, MODELS},
    runs::{Counted, Runs},
    stream::{Wrong, name},
};
use crate::{
    clock::{now, say, until},
    program::Program,
};

/// What all of it came to, once everything was applied.
pub(super) struct Total {
    records: u64,
    bad: u64,
    wrong: Wrong,
    letters: u64,
    published: u64,
    published_lost: u64,
    redelivered: u64,
    /// Applied twice without and with ids, and how many of these the broker did not deliver twice.
    repeated: [(u64, u64); 2],
    answered: u64,
    answered_lost: u64,
    answered_twice: u64,
}

/// Lets everything come to its end, and holds every twin against everything that was sent.
pub(super) fn total(runs: &mut Runs) -> Total {
    let started = now();
    let mut program = runs.plant.spawn(2, &[]);
    runs.until_ready(&mut program, started);
    runs.plant.callers.end();
    runs.plant.published.end();
    let plant = &mut runs.plant;
    plant.records.end(&plant.world);
    let ends = plant.world.ends();
    assert!(program.runs());
    assert_eq!(ends, plant.records.written(), "the oracle knows where each record is");
    until(300, "the group's offsets reach the log's end", || plant.world.committed() == ends);
    let published = plant.published.count();
    until(120, "everything that was published is acknowledged", || {
        let told = plant.published.tap.acknowledged(0);
        let all: HashSet<_> = told.iter().map(|told| told.id).collect();
        all.len() as u64 == published
    });
    runs.oracle.advance(&ends);
    let names: Vec<_> = (0..plant.load.twins).map(name).collect();
    let wrong = runs.oracle.judge_all(&program.states("readings", &names));
    let others = |kind: &str| -> Vec<_> {
        (0..plant.load.others).map(|twin| format!("{kind}-{twin}")).collect()
    };
    let delivered = plant.published.tap.delivered();
    let (mut repeated, mut published_lost) = ([(0, 0); 2], 0);
    for (model, name) in MODELS.iter().enumerate() {
        let states = program.states(name, &others("m"));
        published_lost += published::lost(&(0..published).collect::<Vec<_>>(), model, &states);
        repeated[model] = published::twice(&states, &delivered);
    }
    let (answered, states) =
        (plant.callers.answered(0), program.states("orders", &others("order")));
    let total = Total {
        records: runs.oracle.records(),
        bad: runs.oracle.bad,
        wrong,
        letters: letters(&mut program),
        published,
        published_lost,
        redelivered: delivered.values().map(|times| times - 1).sum(),
        repeated,
        answered: answered.len() as u64,
        answered_lost: callers::lost(&answered, &states),
        answered_twice: callers::twice(&states),
    };
    program.stop();
    total
}

/// How many dead letters there are.
fn letters(program: &mut Program) -> u64 {
    let (mut count, mut after) = (0, 0);
    loop {
        let page = program.get(&format!("/v1/dead-letters?limit=1000&after={after}")).unwrap();
        count += page["dead_letters"].as_array().unwrap().len() as u64;
        let Some(next) = page["next"].as_u64() else { return count };
        after = next;
    }
}

pub(super) fn tell(runs: &Runs, total: &Total, seconds: f64) {
    let Counted { aimed, at_any_time, .. } = &runs.counted;
    let aimed_kills = aimed.values().sum::<u64>();
    say(&format!(
        "kill: {} kills ({at_any_time} at any time, {} of them under a supervisor, {aimed_kills} \
         at {} fail points{}), {} power cuts that took {} bytes; 1 to 3 workers, {} twins; ready \
         again within {:.1} s; {} that were acknowledged looked up after the kills, {:?} missing, \
         {} looks stalled; {seconds:.0} s",
        at_any_time + aimed_kills,
        runs.counted.supervised,
        aimed.len(),
        match &runs.counted.not_reached[..] {
            [] => String::new(),
            places => format!(", not reached: {}", places.join(", ")),
        },
        runs.counted.power_cuts,
        runs.counted.gone,
        runs.plant.load.twins,
        runs.counted.ready_most.as_secs_f64(),
        runs.counted.looked_up,
        runs.counted.broken,
        runs.counted.stalled,
    ));
    let (rate, ahead) = runs.plant.records.rate();
    say(&format!(
        "kafka: {} records at {rate:.0}/s, at most {ahead} behind: {} lost, {} applied twice, {} \
         twins out of order; {} of {} bad ones are dead letters",
        total.records,
        total.wrong.lost,
        total.wrong.twice + runs.counted.wrong.twice,
        total.wrong.disordered + runs.counted.wrong.disordered,
        total.letters,
        total.bad,
    ));
    let [(loose, loose_beyond), (once, once_beyond)] = total.repeated;
    say(&format!(
        "mqtt: {} messages, {} lost; {} redelivered, {loose} applied twice ({loose_beyond} not \
         among those), with ids {once} ({once_beyond})",
        total.published, total.published_lost, total.redelivered
    ));
    let (again, unanswered) = runs.plant.callers.again();
    say(&format!(
        "rest: {} answered with 200, {} not in the state, {} effects too many of one key; \
         {again} sent again after their answer, {unanswered} tries without a 200",
        total.answered, total.answered_lost, total.answered_twice
    ));
}

pub(super) fn check(runs: &Runs, total: &Total) {
    let all = [total.records, total.published, total.answered];
    assert!(all.iter().all(|count| *count > 0), "nothing was sent: {all:?}");
    assert_eq!(runs.counted.broken, [0; 3], "acknowledged and not there after a kill");
    assert_eq!(runs.counted.stalled, 0, "an idle process did not answer committed reads");
    assert_eq!((runs.counted.wrong, total.wrong), (Wrong::default(), Wrong::default()));
    assert_eq!(total.letters, total.bad, "each bad record is one dead letter");
    assert_eq!((total.published_lost, total.answered_lost, total.answered_twice), (0, 0, 0));
    let [(_, loose_beyond), (once, _)] = total.repeated;
    assert_eq!((loose_beyond, once), (0, 0), "applied twice");
}
