//! No acknowledgement leaves before its sync has returned, nor after one that failed.
//!
//! The disk of `preload.c` writes down when each sync began and ended. Whatever a sender was told
//! of must have a sync of a segment between when it was sent and when the sender was told.

use std::time::Duration;

use super::{
    disk::Sync,
    plant::{Load, Plant},
    runs::Runs,
};
use crate::{
    clock::{Told, say, until, wall_nanos},
    program::last_words,
};

/// Few enough that a disk of five syncs a second has room.
const LOAD: Load = Load { twins: 800, rate: 1_000, others: 200, pause_ms: 20 };

/// Milliseconds that each sync takes more.
const DELAY_MS: u64 = 200;

/// Who was told without a whole good sync since he sent.
pub(super) fn untrue(told: &[Told], syncs: &[Sync]) -> usize {
    let good: Vec<_> = syncs.iter().filter(|sync| sync.of_segment && !sync.failed).collect();
    let holds = |told: &Told| {
        // They come in the order of their ends; the first that began late enough is the best.
        let from = good.partition_point(|sync| sync.began < told.sent);
        good.get(from).is_some_and(|sync| sync.ended <= told.at)
    };
    told.iter().filter(|told| told.first && !holds(told)).count()
}

/// Looks at the group's offsets, and when it saw which, until there are enough.
fn watch_offsets(plant: &Plant, for_s: u64) -> Vec<Told> {
    let (mut seen, mut told) = (0, Vec::new());
    let until = wall_nanos() + for_s * 1_000_000_000;
    while wall_nanos() < until {
        let offset = plant.world.committed()[0];
        if offset > seen {
            let sent = plant.records.written_at(offset - 1);
            told.push(Told { id: offset - 1, first: true, sent, at: wall_nanos() });
            seen = offset;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    told
}

/// What senders were told with a slow disk, perhaps with a mistake: of records, over MQTT, over
/// REST; and how many of each were told untruly.
fn with_slow_disk(runs: &Runs, mistake: Option<&str>) -> ([usize; 3], [usize; 3]) {
    let plant = &runs.plant;
    let before = (plant.published.tap.acknowledged(0).len(), plant.callers.answered(0).len());
    let mut with = vec![("TWINFLOW_TEST_DELAY", DELAY_MS.to_string())];
    with.extend(mistake.map(|mistake| ("TWINFLOW_FAIL_POINT", format!("{mistake}:1"))));
    let mut program = plant.spawn(2, &with);
    until(60, "the program is ready", || {
        assert!(program.runs(), "it ended: {}", last_words(plant.path()));
        program.is_ready()
    });
    let offsets = watch_offsets(plant, 5);
    program.kill();
    let syncs = plant.disk.syncs();
    let told =
        [offsets, plant.published.tap.acknowledged(before.0), plant.callers.answered(before.1)];
    (told.each_ref().map(Vec::len), told.each_ref().map(|told| untrue(told, &syncs)))
}

#[test]
fn small_no_acknowledgement_leaves_before_its_sync_has_returned() {
    let mut runs = Runs::new(LOAD);
    let (told, untrue) = with_slow_disk(&runs, None);
    say(&format!(
        "kill: with {DELAY_MS} ms more for each sync: {} offsets, {} PUBACKs, {} answers, each \
         after a whole sync: but for {untrue:?}",
        told[0], told[1], told[2]
    ));
    assert!(told.iter().all(|told| *told >= 10), "too few to tell: {told:?}");
    assert_eq!(untrue, [0; 3]);
    runs.look(2);
    assert_eq!(runs.counted.broken, [0; 3]);
}

/// The test above and the power cut see what they are made to see.
#[cfg(feature = "fail-points")]
#[test]
fn small_planted_mistakes_are_seen() {
    let mut runs = Runs::new(LOAD);
    for mistake in ["skip-sync", "ack-first"] {
        let (told, untrue) = with_slow_disk(&runs, Some(mistake));
        say(&format!("kill: {mistake}: of {told:?} acknowledgements {untrue:?} were untrue"));
        // Offsets leave so late after their epoch that a sync may have come between.
        assert!(untrue[1] > 0 && untrue[2] > 0, "{mistake} is not seen: {untrue:?}");
    }
    runs.look(2);
    runs.counted.broken = [0; 3];
    runs.kill_at_any_time(2, 2_000, &[("TWINFLOW_FAIL_POINT", "skip-sync:1".to_owned())]);
    let gone = runs.plant.disk.cut_power();
    let (mut program, mut end) = (runs.plant.spawn_alone(2, &[]), None);
    until(60, "the program is ready, or refuses what is left", || {
        end = program.ended();
        end.is_some() || program.is_ready()
    });
    if let Some(end) = end {
        // A later segment says that there was more.
        let said = last_words(runs.plant.path());
        assert!(end.code() == Some(74) && said.contains("the log is damaged"), "{end}: {said}");
        return say(&format!("kill: skip-sync: a power cut took {gone} bytes, and is refused"));
    }
    program.kill();
    runs.look(2);
    let broken = runs.counted.broken;
    say(&format!("kill: skip-sync: a power cut took {gone} bytes, and {broken:?} acknowledged"));
    assert!(broken.iter().all(|broken| *broken > 0), "skip-sync is not seen: {broken:?}");
}

#[test]
fn small_a_failed_sync_ends_the_process_and_nothing_is_acknowledged_after_it() {
    let mut runs = Runs::new(LOAD);
    let mut ended = 0;
    for nth in 1..=25_u64 {
        let (published, answered) =
            (runs.plant.published.tap.acknowledged(0).len(), runs.plant.callers.answered(0).len());
        let workers = 1 + nth % 3;
        let mut program = runs.plant.spawn(workers, &[("TWINFLOW_TEST_EIO", nth.to_string())]);
        let mut end = None;
        until(30, &format!("the program ends by its sync {nth}"), || {
            end = program.ended();
            end.is_some()
        });
        let code = end.and_then(|end| end.code());
        assert_eq!(code, Some(74), "sync {nth}: {end:?}: {}", last_words(runs.plant.path()));
        ended += 1;
        let syncs = runs.plant.disk.syncs();
        assert!(syncs.iter().any(|sync| sync.failed));
        let told = [
            runs.plant.published.tap.acknowledged(published),
            runs.plant.callers.answered(answered),
        ];
        let untrue = told.each_ref().map(|told| untrue(told, &syncs));
        assert_eq!(untrue, [0; 2], "acknowledged without a sync, at sync {nth}");
        // What was written and not synced may be gone, or not.
        if nth % 2 == 0 {
            runs.plant.disk.cut_power();
        }
        runs.look(1 + nth % 2);
        assert_eq!(runs.counted.broken, [0; 3], "lost, at sync {nth}");
    }
    let looked_up = runs.counted.looked_up;
    say(&format!("kill: {ended} failed syncs ended it with 74; {looked_up} looked up, 0 missing"));
}
