//! The process that is killed: this very test program, started once more.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};
use twinflow::{Commit, Engine, StoreChoice, connectors::rest::Rest, prelude::*};

const DIR: &str = "TWINFLOW_TEST_DIR";
const ADDRESS: &str = "TWINFLOW_TEST_ADDRESS";

/// Every number that the twin was told, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) numbers: Vec<u64>,
}

impl TwinModel for Journal {
    type Message<'m> = u64;
}

/// Notes each number and answers it.
struct Writer;

impl MessageProcessor for Writer {
    type Model = Journal;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        journal: &mut Journal,
        numbers: Messages<'_, u64>,
    ) -> ProcessingResult {
        for number in numbers {
            journal.numbers.push(*number);
            cx.send_to_data_source(number)?;
        }
        Ok(Outcome::Update)
    }
}

/// How many messages, and which ones, in a few bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) messages: u64,
    pub(crate) hash: u64,
}

impl TwinModel for Count {
    type Message<'m> = u64;
}

struct Counter;

impl MessageProcessor for Counter {
    type Model = Count;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        count: &mut Count,
        numbers: Messages<'_, u64>,
    ) -> ProcessingResult {
        for number in numbers {
            count.messages += 1;
            count.hash = count.hash.wrapping_mul(31).wrapping_add(*number);
        }
        Ok(Outcome::Update)
    }
}

/// An engine over the directory, which answers at the address; segments of the log are small.
pub(crate) fn engine(dir: &Path, workers: usize, address: &str) -> Engine {
    let (dir, segment_bytes) = (dir.to_owned(), Some(1 << 20));
    let store = StoreChoice::Log { dir, segment_bytes, commit: Commit::EveryEpoch };
    let builder = Engine::builder().workers(workers).store(store);
    let builder = builder.model("journal", Writer).model("count", Counter);
    builder.connection("web", Rest::listen(address)).start().unwrap()
}

/// Killed when it is dropped.
pub(crate) struct Target(Child);

impl Target {
    pub(crate) fn start(dir: &Path, address: SocketAddr) -> Self {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--ignored", "--exact", "target::serves_until_it_is_killed"]);
        again.env(DIR, dir).env(ADDRESS, address.to_string());
        Self(again.stdout(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs; nothing but the kill may end it.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "the process that the other tests start"]
fn serves_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let address = std::env::var_os(ADDRESS).unwrap().into_string().unwrap();
    let _engine = engine(&dir, 2, &address);
    loop {
        std::thread::park();
    }
}
