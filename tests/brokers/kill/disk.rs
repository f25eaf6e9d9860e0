//! The worse disk of `preload.c` under a program's state directory, and what a power cut leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A state directory whose synced bytes are kept apart.
pub(crate) struct WorseDisk {
    dir: PathBuf,
}

/// One sync, as the library wrote it down.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    /// Nanoseconds since 1970.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) failed: bool,
    /// Whether it was one of a file that is a segment now.
    pub(crate) of_segment: bool,
}

impl WorseDisk {
    /// For the program that runs in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir(dir.join("image")).unwrap();
        Self { dir: dir.canonicalize().unwrap() }
    }

    /// The environment that loads it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.dir.join(name).display().to_string();
        vec![
            ("LD_PRELOAD", library().display().to_string()),
            ("TWINFLOW_TEST_DIR", at("state")),
            ("TWINFLOW_TEST_IMAGE", at("image")),
            ("TWINFLOW_TEST_TRACE", at("trace")),
        ]
    }

    /// The power is cut: the directory has only what was synced. No process may run. Says how many
    /// bytes are gone, of files that are there still.
    pub(crate) fn cut_power(&self) -> u64 {
        let [state, image, left] = ["state", "image", "left"].map(|name| self.dir.join(name));
        fs::create_dir(&left).unwrap();
        let mut gone = 0;
        for line in fs::read_to_string(image.join("names")).unwrap_or_default().lines() {
            let (name, number) = line.rsplit_once(' ').unwrap();
            let (synced, to) = (image.join(number), left.join(name));
            if synced.exists() {
                fs::copy(&synced, &to).unwrap();
            } else {
                // It was never synced: it has a name and nothing in it.
                fs::write(&to, "").unwrap();
            }
            gone += differing(&state.join(name), &to);
        }
        for old in [&state, &image] {
            fs::remove_dir_all(old).unwrap();
        }
        fs::rename(&left, &state).unwrap();
        fs::create_dir(&image).unwrap();
        gone
    }

    /// Bytes that a sync took and that are not in the directory: the disk below has lied.
    pub(crate) fn missing(&self) -> u64 {
        let [state, image] = ["state", "image"].map(|name| self.dir.join(name));
        let names = fs::read_to_string(image.join("names")).unwrap();
        let of = |line: &str| {
            let (name, number) = line.rsplit_once(' ').unwrap();
            let segment = name.starts_with("segment-");
            if segment { differing(&image.join(number), &state.join(name)) } else { 0 }
        };
        names.lines().map(of).sum()
    }

    /// All syncs so far.
    pub(crate) fn syncs(&self) -> Vec<Sync> {
        let text = fs::read_to_string(self.dir.join("trace")).unwrap_or_default();
        text.lines().map(Sync::read).collect()
    }
}

impl Sync {
    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [began, ended, result, name] = words[..] else { panic!("\"{line}\" is no sync") };
        Self {
            began: began.parse().unwrap(),
            ended: ended.parse().unwrap(),
            failed: result == "failed",
            of_segment: name.starts_with("segment-"),
        }
    }
}

/// Bytes that two files do not share.
fn differing(one: &Path, other: &Path) -> u64 {
    let [one, other] = [one, other].map(|path| fs::read(path).unwrap_or_default());
    let pairs = one.iter().zip(&other).filter(|(one, other)| one != other).count();
    (pairs + one.len().abs_diff(other.len())) as u64
}

/// The library, compiled once for a run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/brokers/kill/preload.c");
        let process = std::process::id();
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("preload-{process}.so"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        let done = compiler.arg(&into).arg(source).output();
        let done = done.expect("a C compiler as `cc`: apt-get install gcc libc6-dev");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        into
    })
}
