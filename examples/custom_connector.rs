//! A small connector: one message a line over TCP, `twin payload`, answered `ok` when durable.
//!
//! Run it: `cargo run --example custom_connector`, then in another terminal
//! `telnet 127.0.0.1 7702` and type `room-1 21.5`. Each line is answered by its
//! number once its effect is on disk.

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use twinflow::{
    connectors::{
        Connector,
        error::{ConnectorError, ErrorKind},
        link::{Link, LinkEvent},
        message::Message,
        unacknowledged::Unacknowledged,
    },
    prelude::*,
};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Room {
    warmest: f64,
}

impl TwinModel for Room {
    type Message<'m> = f64;
}

struct Warmest;

impl MessageProcessor for Warmest {
    type Model = Room;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        room: &mut Room,
        readings: Messages<'_, f64>,
    ) -> ProcessingResult {
        room.warmest = readings.iter().copied().fold(room.warmest, f64::max);
        Ok(Outcome::Update)
    }
}

/// One device at a time; a session is one TCP connection.
struct LineTcp {
    address: &'static str,
}

fn broken(doing: &str) -> impl FnOnce(std::io::Error) -> ConnectorError {
    move |error| ConnectorError::new(ErrorKind::Unreachable, doing.to_owned()).because(error)
}

impl LineTcp {
    async fn accept(
        &self,
    ) -> Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf), ConnectorError> {
        let listener = TcpListener::bind(self.address).await.map_err(broken("listen"))?;
        let (socket, _) = listener.accept().await.map_err(broken("accept"))?;
        let (read, write) = socket.into_split();
        Ok((BufReader::new(read).lines(), write))
    }
}

impl Connector for LineTcp {
    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        let (mut lines, mut write) = tokio::select! {
            accepted = self.accept() => accepted?,
            _stop = events.next() => return Ok(()),
        };
        let mut waiting: Option<String> = None;
        let mut unacknowledged = Unacknowledged::default();
        let (mut number, mut reading, mut ended) = (0_u64, true, false);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    LinkEvent::Acknowledged { up_to, .. } => {
                        let done: Vec<u64> = unacknowledged.up_to(up_to).map(|(_, n)| n).collect();
                        for number in done {
                            let answer = format!("ok {number}\n");
                            write.write_all(answer.as_bytes()).await.map_err(broken("answer"))?;
                        }
                    }
                    LinkEvent::Send(feedback) => {
                        write.write_all(&feedback.payload).await.map_err(broken("send"))?;
                        events.sent(feedback.ticket);
                    }
                    LinkEvent::Drain => reading = false,
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
                },
                room = intake.reserve(), if waiting.is_some() => {
                    let (mut delivery, line) = (room?, waiting.take().unwrap_or_default());
                    match line.split_once(' ') {
                        Some((twin, payload)) => {
                            delivery.push(&Message::new("room", twin, payload.as_bytes()))
                        }
                        None => delivery.push_undeliverable(line.as_bytes(), "no space", None),
                    };
                    number += 1;
                    unacknowledged.push(delivery.deliver(), number);
                }
                line = lines.next_line(), if reading && waiting.is_none() => {
                    match line.map_err(broken("read"))? {
                        Some(line) => waiting = Some(line),
                        None => (reading, ended) = (false, true),
                    }
                }
                // The device has gone and all it sent is answered: a new session for the next one.
                () = std::future::ready(()), if ended && unacknowledged.is_empty() => {
                    return Err(ConnectorError::new(ErrorKind::Unreachable, "read: it ended"));
                }
            }
        }
    }
}

fn main() -> twinflow::Result<()> {
    Engine::builder()
        .model("room", Warmest)
        .connection("lines", LineTcp { address: "127.0.0.1:7702" })
        .state_dir("state")
        .run()
}
