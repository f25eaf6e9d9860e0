//! F15: a broker that is killed under load, and one that has removed what was not read: what is
//! there is applied once and in order, and what is not is said with its offsets.

use super::{PARTITIONS, Size, TOPIC, World, write};
use crate::{
    clock::until,
    program::{Program, free_port},
};
use twinflow_servers::Kafka;

const SIZE: Size = Size { records: 1600, twins: PARTITIONS, kills: 0 };

/// The partition that loses the offsets from 100 to here.
const LOSES: u64 = 2;
const LOST_TO: u64 = 150;

fn settings(bootstrap: &str) -> String {
    format!(
        "[models.audit]\ntype = \"journal\"\nkeep = 10000\n[connections.readings]\n\
         type = \"kafka\"\nbrokers = [\"{bootstrap}\"]\nconnect_timeout_ms = 1000\n\
         reconnect_backoff_max_ms = 500\n\
         topics = [{{ topic = \"{TOPIC}\", model = \"audit\" }}]\n"
    )
}

/// The numbers that each twin has applied; twin `t` is partition `t`.
fn applied(program: &Program) -> Vec<Vec<u64>> {
    let twins: Vec<_> = (0..SIZE.twins).map(|twin| SIZE.twin(twin)).collect();
    let journals = program.journals(&twins);
    let numbers = |ids: &Vec<String>| ids.iter().map(|id| id.parse().unwrap()).collect();
    twins.iter().map(|twin| journals.get(twin).map(numbers).unwrap_or_default()).collect()
}

fn own(numbers: std::ops::Range<u64>, partition: u64) -> impl Iterator<Item = u64> {
    numbers.filter(move |n| n % PARTITIONS == partition)
}

#[test]
fn f15_a_killed_broker_changes_nothing_and_a_gap_is_said_with_its_offsets() {
    let mut kafka = Kafka::start().unwrap();
    let (bootstrap, dir, port) = (kafka.bootstrap(), tempfile::tempdir().unwrap(), free_port());
    let world = World::new(&bootstrap, TOPIC, PARTITIONS);
    let counted = |program: &Program| applied(program).iter().map(Vec::len).sum::<usize>();
    let program = Program::start(dir.path(), port, &settings(&bootstrap));
    write(&world, &SIZE, 0..400);
    kafka.kill(0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| write(&world, &SIZE, 400..800));
        kafka.start_node(0).unwrap();
    });
    until(60, "all came", || counted(&program) >= 800);
    let all: Vec<Vec<u64>> = (0..PARTITIONS).map(|it| own(0..800, it).collect()).collect();
    assert_eq!(applied(&program), all);
    program.stop();

    write(&world, &SIZE, 800..1600);
    world.remove_before(LOSES, LOST_TO);
    let mut program = Program::start(dir.path(), port, &settings(&bootstrap));
    let left = 1600 - (LOST_TO - 100);
    until(60, "all that is left came", || counted(&program) as u64 >= left);
    let rest = |partition| match partition {
        LOSES => LOST_TO * PARTITIONS..1600,
        _ => 800..1600,
    };
    let expected: Vec<Vec<u64>> =
        (0..PARTITIONS).map(|it| own(0..800, it).chain(own(rest(it), it)).collect()).collect();
    assert_eq!(applied(&program), expected);
    let status = program.get("/v1/connections/readings").unwrap();
    assert_eq!(status["lost_messages"], LOST_TO - 100, "{status}");
    let note = status["note"].as_str().unwrap();
    assert!(note.contains("has lost offsets 100 to 149"), "{note}");
    program.stop();
}
