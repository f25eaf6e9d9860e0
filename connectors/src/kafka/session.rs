//! One session: a thread that drains the consumer into the link and tells the brokers what became
//! of it. It waits in one place, for whatever comes first.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use rdkafka::{config::FromClientConfigAndContext, consumer::BaseConsumer, error::KafkaError};
use tokio::{sync::oneshot, time::Instant};

use super::{
    assign::{Begun, Brokers, Finder},
    feedback::Outlet,
    heard::{Context, Heard},
    offsets::Offsets,
    options,
    partitions::{Marks, Partitions},
    plan::{Plan, misconfigured},
    trouble::{Trouble, Verdict, broken, retryable},
};
use crate::{
    error::ConnectorError,
    link::{Condition, Link, LinkEvent, LinkEvents, LinkIntake, Reporter},
    unacknowledged::Unacknowledged,
};

/// The longest time that the thread does not look at the client's common queue.
const TICK: Duration = Duration::from_millis(100);

/// How long the end of a session waits for its last commit.
const LAST_COMMIT: Duration = Duration::from_secs(1);

/// Between two questions to brokers that do not answer.
const SILENT_LOOK: Duration = Duration::from_secs(1);

/// What one session is made of.
pub(super) struct Session {
    plan: Arc<Plan>,
    consumer: Arc<BaseConsumer<Context>>,
    heard: Arc<Heard>,
    begun: Begun,
    reporter: Reporter,
    partitions: Partitions,
    offsets: Offsets,
    outlet: Outlet,
    trouble: Trouble,
    /// Per delivery how far its partitions went.
    unacknowledged: Unacknowledged<Marks>,
    /// Topics that are not there.
    missing: Vec<String>,
    /// What the client has trouble with at the moment.
    complaint: Option<String>,
    /// Why feedback cannot leave at the moment.
    stuck: Option<String>,
    look_again: Instant,
    /// Since when the brokers have not answered.
    silent: Option<Instant>,
    reading: bool,
}

/// What a turn of delivering came to.
enum Turn {
    Moved,
    Dry,
    NoRoom,
}

/// Runs a session on this thread until it ends, or until `gone` says that nobody waits for it, and
/// tells how. The client is closed after that: with a broker away that can take a minute.
pub(super) fn run(
    plan: Arc<Plan>,
    begun: Begun,
    link: Link,
    gone: oneshot::Receiver<()>,
    tell: oneshot::Sender<Result<(), ConnectorError>>,
) {
    let mut session = None;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let result = match runtime {
        Err(error) => Err(retryable("start the session's thread").because(error)),
        Ok(runtime) => runtime.block_on(async {
            let Link { mut intake, mut events } = link;
            let session = session.insert(Session::new(plan, begun, &events)?);
            session.live(&mut intake, &mut events, gone).await?;
            session.offsets.flush(&session.consumer, &session.partitions);
            session.last_commit();
            Ok(())
        }),
    };
    // Nobody may wait any more; then the result is of no use.
    let _nobody = tell.send(result);
}

/// A client that reads nothing yet.
pub(super) fn consumer(
    plan: &Plan,
    heard: &Arc<Heard>,
) -> Result<BaseConsumer<Context>, ConnectorError> {
    let config = options::consumer(&plan.settings);
    BaseConsumer::from_config_and_context(&config, Context(Arc::clone(heard)))
        .map_err(|error: KafkaError| misconfigured("make a consumer").because(error))
}

impl Session {
    fn new(plan: Arc<Plan>, begun: Begun, events: &LinkEvents) -> Result<Self, ConnectorError> {
        let heard = Arc::new(Heard::default());
        let mut consumer = consumer(&plan, &heard)?;
        let bell = Arc::clone(&heard);
        consumer.set_nonempty_callback(move || bell.bell.notify_one());
        let reporter = events.reporter();
        let brokers = plan.settings.brokers.join(", ");
        reporter.condition(Condition::Connecting(format!("waits for a broker of {brokers}")));
        Ok(Self {
            consumer: Arc::new(consumer),
            begun,
            reporter,
            partitions: Partitions::new(&plan),
            offsets: Offsets::new(&plan),
            outlet: Outlet::new(&plan, events.confirmer(), &heard),
            trouble: Trouble::default(),
            unacknowledged: Unacknowledged::default(),
            missing: Vec::new(),
            complaint: None,
            stuck: None,
            look_again: Instant::now(),
            silent: None,
            reading: true,
            plan,
            heard,
        })
    }

    async fn live(
        &mut self,
        intake: &mut LinkIntake,
        events: &mut LinkEvents,
        mut gone: oneshot::Receiver<()>,
    ) -> Result<(), ConnectorError> {
        if self.connect(intake, events, &mut gone).await?.is_break() {
            return Ok(());
        }
        loop {
            while let Some(event) = events.try_next() {
                if self.tell(event).is_break() {
                    return Ok(());
                }
            }
            self.listen()?;
            self.keep(intake, events)?;
            let turn = if self.reading { self.deliver(intake)? } else { Turn::Dry };
            if matches!(turn, Turn::Moved) {
                continue;
            }
            let heard = Arc::clone(&self.heard);
            tokio::select! {
                biased;
                _ = &mut gone => return Ok(()),
                event = events.next() => {
                    if self.tell(event).is_break() {
                        return Ok(());
                    }
                }
                permit = intake.reserve(), if matches!(turn, Turn::NoRoom) => drop(permit?),
                () = heard.bell.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Waits for the first broker and assigns the partitions. Feedback waits meanwhile.
    async fn connect(
        &mut self,
        intake: &mut LinkIntake,
        events: &mut LinkEvents,
        gone: &mut oneshot::Receiver<()>,
    ) -> Result<ControlFlow<()>, ConnectorError> {
        let limit = Duration::from_millis(self.plan.settings.connect_timeout_ms);
        let deadline = Instant::now() + limit;
        loop {
            self.listen()?;
            match self.look(intake, true) {
                Ok(()) => break,
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => {
                    // What the client says of itself tells more than a question without answer.
                    self.listen()?;
                    if Instant::now() >= deadline && !self.trouble.is_undecided() {
                        let text = crate::error::chain(&error);
                        return Err(self.trouble.unreachable(&self.plan.settings, &text));
                    }
                }
            }
            while let Some(event) = events.try_next() {
                if self.tell(event).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            tokio::select! {
                _ = &mut *gone => return Ok(ControlFlow::Break(())),
                () = tokio::time::sleep(TICK) => {}
            }
        }
        self.show();
        Ok(ControlFlow::Continue(()))
    }

    /// Looks for partitions that we do not read yet.
    fn look(&mut self, intake: &mut LinkIntake, first: bool) -> Result<(), ConnectorError> {
        let finder = Finder {
            brokers: Brokers { plan: &self.plan, consumer: &self.consumer },
            begun: &self.begun,
            reporter: &self.reporter,
            first,
        };
        let partitions = &self.partitions;
        let found = finder.find(intake, &|topic, number| partitions.has(topic, number))?;
        if !found.new.is_empty() {
            let count = found.new.len();
            tracing::info!(connection = intake.connection(), partitions = count, "reads");
            self.offsets.begin(self.partitions.all().len(), &found.new);
            self.partitions.add(&self.consumer, &found.new, &self.heard)?;
        }
        self.missing = found.missing;
        if first {
            // What the client said before that answer is of no more account.
            self.listen()?;
        }
        self.trouble.answered();
        self.complaint = None;
        let interval = Duration::from_millis(self.plan.settings.discovery_interval_ms);
        self.look_again = Instant::now() + interval;
        Ok(())
    }

    /// Gives the last commit a moment to arrive; only monitoring depends on it.
    fn last_commit(&self) {
        let end = Instant::now() + LAST_COMMIT;
        while self.offsets.is_on_its_way(&self.heard) && Instant::now() < end {
            drop(self.consumer.poll(Duration::from_millis(20)));
        }
    }

    /// Serves the client's common queue and judges what it said.
    fn listen(&mut self) -> Result<(), ConnectorError> {
        // Records are in the queues of their partitions; here are errors, figures, log lines.
        let mut served = self.heard.served();
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(KafkaError::MessageConsumptionFatal(_))) => return Err(broken()),
                Some(_) => {}
                None if self.heard.served() == served => break,
                None => served = self.heard.served(),
            }
        }
        for (code, reason) in self.heard.take_errors() {
            match self.trouble.judge(code, &reason, &self.plan.settings) {
                Verdict::GoesOn => {}
                Verdict::Trouble(text) => {
                    self.complaint = Some(text);
                    self.show();
                }
                Verdict::Over(error) => return Err(error),
            }
        }
        if let Some(error) = self.trouble.overdue(&self.plan.settings) {
            return Err(error);
        }
        if let Some(statistics) = self.heard.take_statistics() {
            self.offsets.lag(&statistics, &self.plan, &self.partitions, &self.reporter);
        }
        if let Some(error) = self.heard.take_commit_error() {
            self.offsets.failed(&error);
        }
        Ok(())
    }

    /// What is due beside records: commits, new partitions, the way out.
    fn keep(
        &mut self,
        intake: &mut LinkIntake,
        events: &mut LinkEvents,
    ) -> Result<(), ConnectorError> {
        self.offsets.keep(&self.consumer, &mut self.partitions, intake);
        let (broken, again) = self.outlet.keep();
        let stuck = broken.map(|reason| format!("feedback cannot be delivered: {reason}"));
        let changed = stuck != self.stuck;
        self.stuck = stuck;
        if again {
            events.hand_out_again();
        }
        let look = self.reading && Instant::now() >= self.look_again;
        if look {
            match self.look(intake, false) {
                Ok(()) => self.silent = None,
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => self.is_silent(&error)?,
            }
        }
        if changed || look {
            self.show();
        }
        Ok(())
    }

    /// The brokers do not answer; what was fetched goes on, and after a time the session is over.
    fn is_silent(&mut self, error: &ConnectorError) -> Result<(), ConnectorError> {
        let text = crate::error::chain(error);
        let since = *self.silent.get_or_insert_with(Instant::now);
        let limit = Duration::from_millis(self.plan.settings.connect_timeout_ms);
        if since.elapsed() >= limit && !self.trouble.is_undecided() {
            return Err(self.trouble.unreachable(&self.plan.settings, &text));
        }
        self.look_again = Instant::now() + SILENT_LOOK;
        self.complaint.get_or_insert(text);
        Ok(())
    }

    /// Says where the session is.
    fn show(&self) {
        let complaints = self.complaint.iter().chain(&self.stuck).chain(&self.missing);
        let text = complaints.map(String::as_str).collect::<Vec<_>>().join("; ");
        let connecting = self.partitions.all().is_empty() && self.complaint.is_some();
        let condition = match (text.is_empty(), connecting) {
            (true, _) => Condition::Running,
            (false, true) => Condition::Connecting(text),
            (false, false) => Condition::Degraded(text),
        };
        self.reporter.condition(condition);
    }

    fn deliver(&mut self, intake: &mut LinkIntake) -> Result<Turn, ConnectorError> {
        let Some(mut delivery) = intake.try_reserve()? else { return Ok(Turn::NoRoom) };
        let (marks, dry) = self.partitions.fill(&mut delivery)?;
        let is_empty = delivery.is_empty();
        let receipt = delivery.deliver();
        if is_empty && dry {
            return Ok(Turn::Dry);
        }
        if !is_empty {
            self.unacknowledged.push(receipt, self.offsets.with_first(marks));
        }
        // More may lie ready, and the link says whether it has room.
        Ok(Turn::Moved)
    }

    fn tell(&mut self, event: LinkEvent) -> ControlFlow<()> {
        match event {
            LinkEvent::Acknowledged { up_to, .. } => {
                for (at, next) in self.unacknowledged.up_to(up_to).flat_map(|(_, marks)| marks) {
                    self.offsets.done(&mut self.partitions, at, next);
                }
            }
            LinkEvent::Send(feedback) => {
                self.outlet.send(&feedback);
            }
            LinkEvent::Drain => self.reading = false,
            LinkEvent::Stop => return ControlFlow::Break(()),
            LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
        }
        ControlFlow::Continue(())
    }
}
