//! One session with the broker: messages in, acknowledgements back, commands out.
//!
//! One task owns everything and waits for whatever comes first. It never waits for the clients'
//! request queues, which have room for whatever may be asked of them (law F5).

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{
    client::{Client, ClientEvent, Packet, Publication},
    commands::Commands,
    inbox::{Acknowledgements, Inbox},
    plan::Plan,
    rows::{self, Found, Row},
    session_lost,
    settings::MqttRetained,
    trouble::Trouble,
};
use crate::{
    error::ConnectorError,
    link::{Condition, Delivery, Link, LinkEvent, LinkEvents, Reporter},
};

/// Messages that are worth a delivery of their own while more are coming.
const DELIVERY_ROWS_MIN: usize = 64;

/// How long a goodbye may take; the broker notices without it too.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// Why a session ended.
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// Its connection did.
    Trouble(Trouble),
    /// Its link did.
    Link(ConnectorError),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What a session knows.
pub(super) struct Session<'p, C> {
    plan: &'p Plan,
    client: C,
    commands: Option<Commands<'p, C>>,
    inbox: Inbox,
    acknowledgements: Acknowledgements,
    /// Committed, and not asked of the client yet: it takes no more requests at the moment. Only a
    /// broker that sends more than the window ever gets so far.
    owed: VecDeque<Packet>,
    found: Found,
    reporter: Reporter,
    reading: bool,
    /// When the broker took us in.
    pub(super) since: Option<Instant>,
    /// When the last session that was up ended.
    last: Option<Instant>,
    /// Ticks since the broker was last heard.
    silent: u32,
    told_dropped: u64,
}

impl<'p, C: Client> Session<'p, C> {
    pub(super) fn new(
        plan: &'p Plan,
        client: C,
        commands: Option<Commands<'p, C>>,
        reporter: Reporter,
        last: Option<Instant>,
    ) -> Self {
        Self {
            plan,
            client,
            commands,
            inbox: Inbox::default(),
            acknowledgements: Acknowledgements::default(),
            owed: VecDeque::new(),
            found: Found::default(),
            reporter,
            reading: true,
            since: None,
            last,
            silent: 0,
            told_dropped: 0,
        }
    }

    /// Runs until it is told to stop or something breaks.
    pub(super) async fn run(&mut self, link: Link) -> End {
        match self.turn(link).await {
            Ok(()) => {
                self.goodbye().await;
                End::Stopped
            }
            Err(end) => end,
        }
    }

    async fn turn(&mut self, link: Link) -> Result<(), End> {
        let Link { mut intake, mut events } = link;
        let (mut came, mut confirmed) = (Vec::new(), Vec::new());
        // Twice in the time that the broker gives us, so that a dead connection is found by then.
        let pace = Duration::from_secs(self.plan.keep_alive_secs.into());
        let mut ticks = interval_at(Instant::now() + pace, pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What is answered before it comes again stands first; what comes by itself stands
                // behind it; and a small delivery is made only when nothing else is there to do.
                biased;
                event = events.next() => {
                    if self.tell(event, &mut events)? {
                        return Ok(());
                    }
                }
                result = next_of(&mut self.commands, &mut confirmed) => {
                    result?;
                    if let Some(commands) = &mut self.commands {
                        for event in confirmed.drain(..) {
                            commands.heard(event)?;
                        }
                    }
                }
                _ = ticks.tick() => self.tick()?,
                result = self.client.next(&mut came), if !self.inbox.is_full() => {
                    result?;
                    for event in came.drain(..) {
                        self.heard(event)?;
                    }
                    self.pay();
                    while self.reading && self.inbox.len() >= DELIVERY_ROWS_MIN {
                        let permit = intake.try_reserve().map_err(End::Link)?;
                        let Some(delivery) = permit else { break };
                        self.deliver(delivery);
                    }
                }
                permit = intake.reserve(), if self.reading && !self.inbox.is_empty() => {
                    self.deliver(permit.map_err(End::Link)?);
                }
            }
            // A link and a network that always have something would starve the other tasks.
            tokio::task::consume_budget().await;
        }
    }

    /// What the engine says; `true` to stop.
    fn tell(&mut self, first: LinkEvent, events: &mut LinkEvents) -> Result<bool, End> {
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                LinkEvent::Acknowledged { up_to, .. } => {
                    self.owed.extend(self.acknowledgements.up_to(up_to));
                    self.pay();
                }
                LinkEvent::Send(feedback) => match &mut self.commands {
                    Some(commands) => commands.take(feedback)?,
                    None => events
                        .confirmer()
                        .give_up(feedback.ticket, "its connection has no `feedback`"),
                },
                LinkEvent::Drain => self.reading = false,
                LinkEvent::Stop => return Ok(true),
                LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
            }
            next = events.try_next();
        }
        Ok(false)
    }

    /// What the broker says.
    fn heard(&mut self, event: ClientEvent) -> Result<(), Trouble> {
        self.silent = 0;
        match event {
            ClientEvent::Arrived(message) => self.inbox.push(message),
            ClientEvent::Connected { session_present, .. } => {
                self.since = Some(Instant::now());
                if !session_present {
                    session_lost(&self.reporter, &self.plan.client_id, self.last);
                }
                let retained = self.plan.retained == MqttRetained::Deliver;
                self.client.subscribe(&self.plan.filters(), retained)?;
                if let Some(status) = &self.plan.last_will {
                    self.client.publish(Publication::status(&status.topic, &status.online))?;
                }
            }
            ClientEvent::Subscribed(answers) => self.subscribed(&answers)?,
            ClientEvent::Sent(_)
            | ClientEvent::Confirmed(..)
            | ClientEvent::Closed
            | ClientEvent::Alive => {}
        }
        Ok(())
    }

    fn subscribed(&mut self, answers: &[Result<u8, String>]) -> Result<(), Trouble> {
        for (topic, answer) in self.plan.topics.iter().zip(answers) {
            let filter = topic.template.filter();
            match answer {
                Err(reason) => {
                    return Err(Trouble::Refused(format!(
                        "the broker refuses the subscription to \"{filter}\": {reason}; the \
                         user needs the right to read it"
                    )));
                }
                Ok(granted) if *granted < topic.qos => {
                    return Err(Trouble::Refused(format!(
                        "the broker grants \"{filter}\" only quality of service {granted}: it \
                         would not wait for acknowledgements; set `qos = {granted}` to accept that"
                    )));
                }
                Ok(_) => {}
            }
        }
        self.reporter.condition(Condition::Running);
        Ok(())
    }

    fn deliver(&mut self, mut delivery: Delivery<'_>) {
        let mut count = 0;
        while let Some(message) = self.inbox.first() {
            if rows::push(self.plan, &mut self.found, message, &mut delivery) == Row::Full {
                break;
            }
            if let Some(packet) = self.inbox.pop() {
                count += usize::from(packet.qos > 0);
                self.acknowledgements.note(packet);
            }
        }
        if delivery.is_empty() {
            self.owed.extend(self.acknowledgements.nothing_delivered(count));
            self.pay();
        } else {
            self.acknowledgements.delivered(delivery.deliver(), count);
        }
    }

    /// Asks for acknowledgements, in order, as far as there is room for them.
    fn pay(&mut self) {
        while let Some(packet) = self.owed.front()
            && self.client.ack(*packet)
        {
            self.owed.pop_front();
        }
    }

    /// Looks for a connection that is dead and does not know it.
    fn tick(&mut self) -> Result<(), Trouble> {
        self.silent += 1;
        if self.silent > 2 && !self.inbox.is_full() {
            return Err(Trouble::Lost("nothing was heard of it for two keep-alives".into()));
        }
        let dropped = self.inbox.dropped - self.told_dropped;
        if dropped > 0 {
            self.told_dropped = self.inbox.dropped;
            self.reporter.lost(
                dropped,
                "messages of quality of service 0 found no room and were dropped".into(),
            );
            tracing::warn!(dropped, "messages of quality of service 0 found no room");
        }
        Ok(())
    }

    /// Lets what was acknowledged leave, and says goodbye. The broker keeps our session.
    async fn goodbye(&mut self) {
        let Self { client, commands, plan, .. } = self;
        let asked = plan.last_will.as_ref().map_or(Ok(()), |status| {
            client.publish(Publication::status(&status.topic, &status.offline))
        });
        let commands = async {
            if let Some(commands) = commands
                && commands.close().is_ok()
            {
                let mut events = Vec::new();
                while commands.next(&mut events).await.is_ok() && !closed(&mut events) {}
            }
        };
        let intake = async {
            if asked.and_then(|()| client.close()).is_ok() {
                let mut events = Vec::new();
                while client.next(&mut events).await.is_ok() && !closed(&mut events) {}
            }
        };
        let both = async { tokio::join!(intake, commands) };
        if timeout(GOODBYE, both).await.is_err() {
            tracing::debug!("the broker does not take our goodbye");
        }
    }
}

pub(super) fn closed(events: &mut Vec<ClientEvent>) -> bool {
    events.drain(..).any(|event| matches!(event, ClientEvent::Closed))
}

/// Events of the commands' connection, if there is one.
async fn next_of<C: Client>(
    commands: &mut Option<Commands<'_, C>>,
    events: &mut Vec<ClientEvent>,
) -> Result<(), Trouble> {
    match commands {
        Some(commands) => commands.next(events).await,
        None => std::future::pending().await,
    }
}
