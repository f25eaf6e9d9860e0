//! Kafka: killed whenever, every record is applied once and in order, and the group's offsets are
//! never ahead of what is durable.

mod cases;
mod gap;
mod killed;
mod reset;
mod tools;
mod world;

use std::{path::Path, time::Duration};

use twinflow_servers::Kafka;

use crate::{
    clock::{now, say, until},
    program::{Program, free_port, last_words},
};
pub(crate) use world::{GROUP, World};

const PARTITIONS: u64 = 8;
const TOPIC: &str = "readings";
/// Bytes of a payload.
const BYTES: usize = 200;
/// How many of the newest records below a committed offset are looked up after a kill.
const LOOKED_AT: u64 = 250;

/// How much, and how often it is killed.
struct Size {
    records: u64,
    twins: u64,
    kills: u64,
}

impl Size {
    /// Record `n` is for twin `n % twins` in partition `n % 8` at offset `n / 8`.
    fn twin(&self, n: u64) -> String {
        format!("twin-{}", n % self.twins)
    }

    /// The ids that a twin gets, in order.
    fn expected(&self, twin: u64) -> Vec<String> {
        (twin..self.records).step_by(self.twins as usize).map(|n| n.to_string()).collect()
    }

    fn end(&self) -> u64 {
        self.records / PARTITIONS
    }
}

/// Writes records over half a second at least, and waits until the broker has them.
fn write(world: &World, size: &Size, numbers: std::ops::Range<u64>) {
    let pause_every = (numbers.end - numbers.start).div_ceil(100);
    for n in numbers {
        if n % pause_every == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (key, mut payload) = (size.twin(n), format!("{{\"id\":{n},\"pad\":\""));
        payload.extend(std::iter::repeat_n('x', BYTES - 2 - payload.len()));
        payload.push_str("\"}");
        world.send(n % PARTITIONS, &key, &payload);
    }
    world.flush();
}

fn settings(bootstrap: &str, enabled: bool) -> String {
    format!(
        "[models.audit]\ntype = \"journal\"\n[connections.readings]\ntype = \"kafka\"\n\
         enabled = {enabled}\nbrokers = [\"{bootstrap}\"]\ngroup = \"faults\"\n\
         commit_interval_ms = 50\ntopics = [{{ topic = \"{TOPIC}\", model = \"audit\" }}]\n"
    )
}

/// Starts the dead program on its directory without its connection: what it has is what was
/// durable. Everything below the committed offsets must be there; gives how many were looked up.
fn never_ahead(dir: &Path, port: u16, size: &Size, bootstrap: &str, committed: &[u64]) -> usize {
    let mut program = Program::start(dir, port, &settings(bootstrap, false));
    let newest = committed.iter().zip(0..).flat_map(|(offset, partition)| {
        let least = offset.saturating_sub(LOOKED_AT);
        (least..*offset).map(move |offset| offset * PARTITIONS + partition)
    });
    let numbers: Vec<u64> = newest.collect();
    let mut twins: Vec<_> = numbers.iter().map(|n| size.twin(*n)).collect();
    twins.sort();
    twins.dedup();
    let journals = program.journals(&twins);
    for n in &numbers {
        let twin = size.twin(*n);
        let has = journals.get(&twin).is_some_and(|ids| ids.contains(&n.to_string()));
        let (partition, offset) = (n % PARTITIONS, n / PARTITIONS);
        assert!(
            has,
            "{partition}/{offset} is below the committed offset {} and was not durable",
            committed[partition as usize]
        );
    }
    program.kill();
    numbers.len()
}

/// Every id once and in order, of all twins.
fn check(program: &Program, size: &Size) {
    let twins: Vec<_> = (0..size.twins).map(|twin| size.twin(twin)).collect();
    let journals = program.journals(&twins);
    let mut applied = 0;
    for (number, twin) in (0..).zip(&twins) {
        let ids = journals.get(twin).map_or(&[][..], Vec::as_slice);
        assert_eq!(ids, size.expected(number), "{twin}");
        applied += ids.len() as u64;
    }
    assert_eq!(applied, size.records);
}

fn run(size: &Size) {
    let start = now();
    let kafka = Kafka::start().unwrap();
    let (bootstrap, dir, port) = (kafka.bootstrap(), tempfile::tempdir().unwrap(), free_port());
    let world = World::new(&bootstrap, TOPIC, PARTITIONS);
    let rounds = size.kills + 1;
    let (mut looked_up, mut before) = (0, 0);
    for kill in 0..size.kills {
        let mut program = Program::start(dir.path(), port, &settings(&bootstrap, true));
        std::thread::scope(|scope| {
            let (from, to) = (kill * size.records / rounds, (kill + 1) * size.records / rounds);
            let world = &world;
            scope.spawn(move || write(world, size, from..to));
            // In the middle of the work, at another place each time.
            let at = from + (to - from) * (3 + kill * 7 % 5) / 10;
            until(180, &format!("the group's offsets reach {at} before kill {kill}"), || {
                assert!(program.runs(), "it ended by itself: {}", last_words(dir.path()));
                world.committed().iter().sum::<u64>() >= at
            });
            program.kill();
        });
        let committed = world.committed();
        let sum = committed.iter().sum::<u64>();
        assert!(sum > before, "nothing was committed before kill {kill}");
        before = sum;
        looked_up += never_ahead(dir.path(), port, size, &bootstrap, &committed);
        say(&format!("kafka: kill {} at {sum} committed, all of it durable", kill + 1));
    }
    let program = Program::start(dir.path(), port, &settings(&bootstrap, true));
    write(&world, size, size.kills * size.records / rounds..size.records);
    let ends = vec![size.end(); PARTITIONS as usize];
    assert_eq!(world.ends(), ends, "the oracle knows where each record is");
    until(300, "the group's offsets reach the log's end", || world.committed() == ends);
    check(&program, size);
    program.stop();
    assert_eq!(world.committed(), ends);
    say(&format!(
        "kafka: {} records of {BYTES} B on {PARTITIONS} partitions, {} twins, {} kills: every id \
         applied once and in order; committed offsets end at {ends:?}, {looked_up} records below \
         them looked up after the kills, all durable; {:.1} s",
        size.records,
        size.twins,
        size.kills,
        start.elapsed().as_secs_f64()
    ));
}

#[test]
fn small_twenty_kills_and_every_record_is_applied_once_and_in_order() {
    run(&Size { records: 21_000, twins: 200, kills: 20 });
}

#[test]
#[ignore = "full size: cargo xtask faults kafka"]
fn full_a_million_records_and_five_kills() {
    run(&Size { records: 1_000_000, twins: 100_000, kills: 5 });
}
