//! F23: epochs one after the other, with kills between: memory, descriptors and disk stay bounded.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use crate::target::{Count, Target, engine};

const TWINS: u64 = 100;

/// How much of it.
struct Size {
    /// Processes, each killed.
    lives: u64,
    /// Messages that each applies, one epoch each.
    epochs: u64,
}

/// One connection, kept open.
struct Caller {
    stream: TcpStream,
    address: SocketAddr,
}

impl Caller {
    /// Waits until somebody listens.
    fn new(address: SocketAddr) -> Self {
        for _ in 0..2000 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                return Self { stream, address };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody listens on {address}");
    }

    /// Posts one message; the epoch that applied it, if it was.
    fn post(&mut self, n: u64) -> Option<u64> {
        let body = n.to_string();
        let request = format!(
            "POST /v1/twins/count/t{}/messages HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n\
             {body}",
            n % TWINS,
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(b"}") {
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..count]);
        }
        let answer = String::from_utf8(answer).unwrap();
        if answer.starts_with("HTTP/1.1 503 ") {
            return None;
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let epoch = answer.split("\"epoch\":").nth(1).unwrap();
        epoch.trim_end_matches(['}', '\n']).parse().ok()
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: u64,
    descriptors: usize,
}

fn held(process: u32) -> Held {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory_kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    Held { memory_kib, descriptors }
}

/// Bytes that a directory takes of its disk.
fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(dir).unwrap().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|it| it.blocks() * 512).sum()
}

fn soak(Size { lives, epochs }: Size) {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut sent, mut first, mut last, mut most) = (0, None, 0, 0);
    for life in 0..lives {
        let mut target = Target::start(dir.path(), address);
        let mut caller = Caller::new(address);
        let mut warm = None;
        let mut applied = 0;
        while applied < epochs {
            let Some(epoch) = caller.post(sent) else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            assert!(epoch > last, "epoch {epoch} behind {last}");
            (sent, applied, last) = (sent + 1, applied + 1, epoch);
            first.get_or_insert(epoch);
            if applied == epochs / 2 {
                warm = Some(held(target.id()));
            }
            if applied % 500 == 0 {
                most = most.max(disk(dir.path()));
            }
        }
        let (warm, end) = (warm.unwrap(), held(target.id()));
        println!("life {life}: {warm:?}, {end:?}, {most} bytes of disk at most");
        assert!(end.memory_kib < warm.memory_kib + 4096, "{warm:?}, {end:?}");
        assert!(end.descriptors <= warm.descriptors + 2, "{warm:?}, {end:?}");
        assert!(target.runs(), "it ended by itself");
    }
    // A hundred twins live in a few KiB: all of it is segments of a MiB, and spares.
    assert!(most < 12 << 20, "{most} bytes");
    assert!(last - first.unwrap() + 1 >= sent, "each message was an epoch");
    let engine = engine(dir.path(), 1, "127.0.0.1:0");
    for twin in 0..TWINS {
        let count = engine.twin::<Count>("count", &format!("t{twin}")).unwrap().unwrap();
        let expected = (twin..sent).step_by(TWINS as usize);
        let sum = expected.clone().fold(0_u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        assert_eq!((count.messages, count.hash), (expected.count() as u64, sum), "twin {twin}");
    }
    println!("{sent} messages in {} epochs", last - first.unwrap() + 1);
}

#[test]
fn f23_memory_descriptors_and_disk_stay_bounded_over_epochs_and_kills() {
    soak(Size { lives: 3, epochs: 4000 });
}

#[test]
#[ignore = "cargo xtask faults soak"]
fn full_f23_soak() {
    soak(Size { lives: 6, epochs: 100_000 });
}
