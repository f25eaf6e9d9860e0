//! MQTT: a filled session drained by the bare client and through the engine, in turn.
//!
//! Estimate: the broker is one thread and gives 80,000-100,000 messages a second, 10 us each; the
//! bare client with acknowledgements by hand costs 8-10 us of a core, most of it the system call
//! that each acknowledgement is. The engine adds the copy into the row and the hash, 0.1 us, and
//! 0.1-0.2 us on the worker's core. So 0.9-1.0 of the bare rate. Neither sets `TCP_NODELAY`, so
//! that acknowledgements may gather.
//!
//! It needs a Mosquitto whose window is not smaller than `--receive-max` and that queues all:
//! `max_inflight_messages 1000`, `max_queued_messages 0`, `set_tcp_nodelay true`.

use std::process::ExitCode;

use clap::Parser;
use twinflow::connectors::message::Format;
use twinflow_bench::Result;
use twinflow_bench::drain::{self, Drained, MODEL, number};
use twinflow_bench::through::mqtt::{Session, runtime};

/// Drains a session by the bare client and through the engine in turn.
#[derive(Debug, Parser)]
struct Args {
    /// Host of a broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// How many messages
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Bytes of a payload, at least 8
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Messages that may be unacknowledged
    #[arg(long, default_value_t = 1000)]
    receive_max: u16,
    /// Number of twins
    #[arg(long, default_value_t = 1000)]
    twins: u64,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mqtt bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let Args { host, port, messages, bytes, receive_max, twins, runs } = args;
    let session = Session { host: host.clone(), port: *port, receive_max: *receive_max };
    let runtime = runtime()?;
    let fill = || {
        let message = |sent: u64| {
            let mut payload = vec![b'x'; *bytes];
            payload[..8].copy_from_slice(&sent.to_le_bytes());
            (format!("twin-{:04}", sent.wrapping_mul(0x9e37_79b9) % twins), payload)
        };
        runtime.block_on(session.fill((0..*messages).map(message)))
    };
    let bare = || {
        fill()?;
        let mut sum = 0_u64;
        let usage = runtime.block_on(session.bare(*messages, |publish| {
            sum = sum.wrapping_add(number(&publish.payload));
            Ok(())
        }))?;
        Ok(Drained { usage, sum })
    };
    let engine = || {
        fill()?;
        drain::engine(session.connector(MODEL, Format::Bytes)?, *messages)
    };
    drain::in_turn(*runs, *messages, "messages", bare, engine)
}
