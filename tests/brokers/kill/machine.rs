//! The machine under the program: a disk without room, one that turns read-only, a process that is
//! stopped and goes on, a wall clock that jumps.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    plant::{Load, Plant},
    runs::Runs,
    syncs::untrue,
    total,
};
use crate::{
    clock::{say, until},
    program::{Program, last_words},
};

const LOAD: Load = Load { twins: 8_000, rate: 3_000, others: 200, pause_ms: 20 };

/// A file system of its own, in a file.
struct Small {
    file: PathBuf,
    at: PathBuf,
}

impl Small {
    /// Makes one, and mounts it at the state directory.
    fn make(dir: &Path, mib: u64) -> Self {
        let small = Self { file: dir.join("disk"), at: dir.join("state") };
        File::create(&small.file).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(&small.at).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", &small.file.display().to_string()]);
        small.mount();
        std::fs::remove_dir(small.at.join("lost+found")).unwrap();
        small
    }

    fn mount(&self) {
        let [file, at] = [&self.file, &self.at].map(|path| path.display().to_string());
        run("mount", &["-o", "loop", &file, &at]);
    }

    /// As when the kernel has met an error: open files cannot be written from now on.
    fn abort(&self) {
        run("mount", &["-o", "remount,abort", &self.at.display().to_string()]);
    }

    fn unmount(&self) {
        run("umount", &[&self.at.display().to_string()]);
    }

    /// Nobody may write at all.
    fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro", &self.at.display().to_string()]);
    }

    /// Takes room until so many bytes are left. A start needs a few KiB: in the end the pieces are
    /// as small as the blocks.
    fn fill(&self, left: u64) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for piece in [64 << 10, 1 << 10] {
            let bytes = vec![1; piece];
            while self.free() > left && ballast.write_all(&bytes).is_ok() {}
            drop(ballast.sync_all());
        }
    }

    fn free(&self) -> u64 {
        let of = rustix::fs::statvfs(&self.at).unwrap();
        of.f_bavail * of.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.at).output());
    }
}

/// Runs a tool of the system, which must succeed; what it said.
fn run(tool: &str, arguments: &[&str]) -> String {
    let done = Command::new(tool).args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("{tool}: {error}; this test needs e2fsprogs"));
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.success(),
        "`{tool} {}` failed: {error}; this test mounts a small disk: run it as root, where there \
         are loop devices",
        arguments.join(" ")
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn ready(runs: &Runs, program: &mut Program) {
    until(60, "the program is ready", || {
        assert!(program.runs(), "it ended: {}", last_words(runs.plant.path()));
        program.is_ready()
    });
}

/// Waits until records are committed that were not.
fn moves(runs: &Runs) {
    let before = runs.committed();
    until(60, "something is committed", || runs.committed() > before);
}

/// Waits for an end with this code, and gives what was said last.
fn ends(runs: &Runs, program: &mut Program, code: i32) -> String {
    let mut end = None;
    until(60, &format!("the program ends with {code}"), || {
        end = program.ended();
        end.is_some()
    });
    let said = last_words(runs.plant.path());
    assert_eq!(end.and_then(|end| end.code()), Some(code), "{said}");
    said
}

/// How the system says that nothing can be written.
fn is_read_only(said: &str) -> bool {
    ["ead-only file system", "Input/output error"].iter().any(|words| said.contains(words))
}

#[test]
fn small_a_full_disk_stops_intake_and_loses_nothing() {
    let mut small = None;
    let mut runs = Runs::of(Plant::start_in(LOAD, |dir| small = Some(Small::make(dir, 64))));
    let small = small.unwrap();
    let mut program = runs.plant.spawn(2, &[]);
    ready(&runs, &mut program);
    moves(&runs);
    small.fill(6 << 20);
    until(30, "it says that the disk is full", || !program.is_ready());
    assert!(program.runs(), "a reserve is there so that it does not end");
    let full_at = runs.committed();
    std::thread::sleep(Duration::from_secs(1));
    std::fs::remove_file(small.ballast()).unwrap();
    ready(&runs, &mut program);
    moves(&runs);
    program.kill();
    // Not even the tail can be secured now.
    small.fill(0);
    let mut program = runs.plant.spawn(2, &[]);
    let said = ends(&runs, &mut program, 74);
    assert!(said.contains("no space left on the disk"), "{said}");
    std::fs::remove_file(small.ballast()).unwrap();
    runs.look(3);
    let mut program = runs.plant.spawn(1, &[]);
    ready(&runs, &mut program);
    moves(&runs);
    program.kill();
    runs.look(1);
    assert_eq!(runs.counted.broken, [0; 3]);
    say(&format!(
        "kill: a full disk stopped intake at {full_at} records, and a start with 74; {} looked up, \
         0 missing",
        runs.counted.looked_up
    ));
}

#[test]
fn small_a_disk_that_turns_read_only_ends_the_process_and_loses_nothing() {
    let mut small = None;
    let mut runs = Runs::of(Plant::start_in(LOAD, |dir| small = Some(Small::make(dir, 64))));
    let small = small.unwrap();
    let mut program = runs.plant.spawn(2, &[]);
    ready(&runs, &mut program);
    moves(&runs);
    // The kernel lets a sync that is under way at that moment succeed, and loses its bytes: so it
    // is not under way.
    let pid = program.pid().to_string();
    run("kill", &["-s", "STOP", &pid]);
    std::thread::sleep(Duration::from_millis(500));
    small.abort();
    run("kill", &["-s", "CONT", &pid]);
    let said = ends(&runs, &mut program, 74);
    let told = [runs.plant.published.tap.acknowledged(0), runs.plant.callers.answered(0)];
    let syncs = runs.plant.disk.syncs();
    let untrue = told.each_ref().map(|told| untrue(told, &syncs));
    assert_eq!(untrue, [0; 2], "acknowledged without a sync");
    let of_log = said.contains("segment-") || said.contains("dead-letters-");
    assert!(of_log && is_read_only(&said), "{said}");
    small.unmount();
    small.mount();
    small.make_read_only();
    let mut program = runs.plant.spawn(2, &[]);
    let said = ends(&runs, &mut program, 78);
    assert!(is_read_only(&said), "{said}");
    small.unmount();
    small.mount();
    assert_eq!(runs.plant.disk.missing(), 0, "bytes that the disk itself lost after their sync");
    runs.look(3);
    assert_eq!(runs.counted.broken, [0; 3]);
    say(&format!(
        "kill: a disk that turned read-only ended it with 74, one that was with 78; {} looked up, \
         0 missing",
        runs.counted.looked_up
    ));
}

#[test]
fn small_a_stopped_process_keeps_its_directory_and_goes_on() {
    let mut runs = Runs::new(LOAD);
    let mut program = runs.plant.spawn(2, &[]);
    ready(&runs, &mut program);
    moves(&runs);
    let pid = program.pid().to_string();
    run("kill", &["-s", "STOP", &pid]);
    let mut second = runs.plant.spawn_alone(1, &[]);
    let said = ends(&runs, &mut second, 78);
    assert!(said.contains(&pid), "it says who has the directory: {said}");
    std::thread::sleep(Duration::from_secs(10));
    run("kill", &["-s", "CONT", &pid]);
    moves(&runs);
    let answered = runs.plant.callers.answered(0).len();
    until(30, "callers are answered again", || {
        assert!(program.runs(), "it ended: {}", last_words(runs.plant.path()));
        runs.plant.callers.answered(0).len() > answered
    });
    program.kill();
    let total = total::total(&mut runs);
    total::tell(&runs, &total, 0.0);
    total::check(&runs, &total);
}

#[test]
fn small_a_wall_clock_that_jumps_loses_nothing() {
    let mut runs = Runs::new(LOAD);
    for workers in 1..=3 {
        // An hour on and back, and beyond 2038, each a second long.
        let with = [("TWINFLOW_TEST_JUMPS", "1".to_owned())];
        runs.kill_at_any_time(workers, 4_500, &with);
        runs.look(workers);
        assert_eq!(runs.counted.broken, [0; 3]);
    }
    let looked_up = runs.counted.looked_up;
    say(&format!("kill: three times with jumps of the clock: {looked_up} looked up, 0 missing"));
}
