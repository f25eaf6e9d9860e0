//! The engine as a child of the upstream: one life, from a state directory.
//!
//! Estimate: a record crosses a socket in a batch of its neighbours, 50-100 ns each; an output is
//! one write to a pipe, 2 us for one message in 41.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use twinflow::Engine;
use twinflow::connectors::error::{ConnectorError, ErrorKind};
use twinflow::connectors::link::{Delivery, Link, LinkEvent};
use twinflow::connectors::message::{Message, PartitionRef};
use twinflow::connectors::unacknowledged::Unacknowledged;
use twinflow::connectors::{Connector, ConnectorInfo, Guarantee};
use twinflow::prelude::*;

use crate::Result;
use crate::args::LifeOptions;
use crate::engine::store_in;
use crate::payload::Size;
use crate::record::{Format, Layout};
use crate::rest::MODEL;
use crate::w1;

/// The topic of the upstream's partitions in stored positions.
const TOPIC: &str = "upstream";
/// Bytes that a slot reads ahead of its link.
const AHEAD: usize = 1 << 20;
/// How often the upstream is told how many messages were handled.
const TELL: Duration = Duration::from_millis(1);
/// What a line on standard output begins with that is no output.
pub(super) const HANDLED: &str = "handled ";

/// Lives until standard input ends.
///
/// # Errors
///
/// An engine that does not start or stop.
pub fn live(life: &LifeOptions) -> Result<()> {
    let size = Size::of(life.bytes).ok_or("--bytes is 100 or 500")?;
    let handled = Arc::<AtomicU64>::default();
    let upstream = Upstream {
        path: life.upstream.clone(),
        layout: Format::Json.layout(size),
        slots: life.workers,
        slot: 0,
    };
    let engine = store_in(Engine::builder(), life.durable, &life.state_dir)
        .workers(life.workers)
        .model(MODEL, Writing { handled: Arc::clone(&handled) })
        .connection("upstream", upstream)
        .start()?;
    thread::spawn(move || tell(&handled));
    io::stdin().read_to_end(&mut Vec::new())?;
    engine.stop()?;
    Ok(())
}

/// Tells the upstream how far the twins are.
fn tell(handled: &AtomicU64) {
    let mut told = 0;
    loop {
        thread::sleep(TELL);
        let now = handled.load(Ordering::Acquire);
        if now != told {
            told = now;
            write_line(format!("{HANDLED}{now}\n").as_bytes());
        }
    }
}

/// Writes a whole line at once, so that it is out even if this process is killed right after.
fn write_line(line: &[u8]) {
    // Standard output passes on what ends with a line.
    if let Err(error) = io::stdout().lock().write_all(line) {
        eprintln!("the upstream has gone: {error}");
        std::process::exit(1);
    }
}

/// W1 whose outputs are lines.
struct Writing {
    handled: Arc<AtomicU64>,
}

impl MessageProcessor for Writing {
    type Model = w1::State;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut w1::State,
        readings: Messages<'_, w1::Reading<'_>>,
    ) -> ProcessingResult {
        let mut count = 0;
        for reading in readings {
            if let Some(alert) = twin.apply(reading) {
                let mut line = Vec::with_capacity(160);
                alert.write(cx.twin().as_bytes(), &mut line);
                line.push(b'\n');
                write_line(&line);
            }
            count += 1;
        }
        self.handled.fetch_add(count, Ordering::AcqRel);
        Ok(Outcome::Update)
    }
}

/// A connection to the upstream, a socket for each slot.
///
/// A slot says who it is and which record it wants next, two numbers of 8 bytes; then records come
/// as they fall due, and each number of 8 bytes that goes back is the next record that is not
/// acknowledged.
struct Upstream {
    path: PathBuf,
    layout: Layout,
    slots: usize,
    slot: usize,
}

impl Connector for Upstream {
    fn slots(&self, _workers: usize) -> usize {
        self.slots
    }

    fn for_slot(&mut self, slot: usize) -> Option<Self> {
        (slot < self.slots).then(|| Self { slot, path: self.path.clone(), ..*self })
    }

    fn info(&self) -> ConnectorInfo {
        ConnectorInfo { guarantee: Guarantee::ExactlyOnce, ..ConnectorInfo::default() }
    }

    async fn run(&mut self, link: Link) -> std::result::Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        let number = i32::try_from(self.slot).expect("slots are few");
        let (partition, next) = intake.partition(TOPIC, number);
        let mut next = next.unwrap_or(0);
        let stream = UnixStream::connect(&self.path).await.map_err(broken("connect"))?;
        let (mut records, mut acknowledgements) = stream.into_split();
        for number in [self.slot as u64, next] {
            acknowledgements.write_u64(number).await.map_err(broken("ask"))?;
        }
        let (mut buffer, mut reading) = (BytesMut::with_capacity(2 * AHEAD), true);
        let mut unacknowledged = Unacknowledged::default();
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    LinkEvent::Acknowledged { up_to, .. } => {
                        if let Some((_, done)) = unacknowledged.up_to(up_to).last() {
                            acknowledgements.write_u64(done).await.map_err(broken("acknowledge"))?;
                        }
                    }
                    LinkEvent::Drain => reading = false,
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Send(feedback) => events.sent(feedback.ticket),
                    LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
                },
                permit = intake.reserve(), if reading && buffer.len() >= self.layout.stride() => {
                    let mut delivery = permit?;
                    next = self.fill(&mut delivery, &mut buffer, partition, next);
                    unacknowledged.push(delivery.deliver(), next);
                }
                read = records.read_buf(&mut buffer), if reading && buffer.len() < AHEAD => {
                    if read.map_err(broken("read"))? == 0 {
                        let doing = "read: the upstream has ended";
                        return Err(ConnectorError::new(ErrorKind::Unreachable, doing));
                    }
                }
            }
        }
    }
}

impl Upstream {
    /// Hands over the whole records of `buffer` as far as they fit; gives the next position.
    fn fill(
        &self,
        delivery: &mut Delivery<'_>,
        buffer: &mut BytesMut,
        partition: PartitionRef,
        mut next: u64,
    ) -> u64 {
        let Layout { id, gap, payload, .. } = self.layout;
        while buffer.len() >= self.layout.stride() {
            let position = Some((partition, next));
            let body = &buffer[id + gap..][..payload];
            let fits = match std::str::from_utf8(&buffer[..id]) {
                Ok(twin) => delivery.push(&Message { position, ..Message::new(MODEL, twin, body) }),
                Err(_) => delivery.push_undeliverable(body, "the twin id is not UTF-8", position),
            };
            if !fits {
                break;
            }
            buffer.advance(self.layout.stride());
            next += 1;
        }
        next
    }
}

fn broken(doing: &'static str) -> impl FnOnce(io::Error) -> ConnectorError {
    move |error| ConnectorError::new(ErrorKind::Unreachable, doing).because(error)
}
