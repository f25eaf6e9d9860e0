//! The devices: they publish straight to the broker, and listen for commands.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rumqttc::v5::{
    Client, Connection, Event, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, Publish},
    },
};

/// Twin and id of a command.
pub(crate) type Command = (String, String);

/// Clients of the broker that no fault touches.
pub(crate) struct Devices {
    publishing: Client,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    confirmed: Mutex<u64>,
    more: Condvar,
    subscribed: AtomicBool,
    commands: Mutex<BTreeMap<Command, u64>>,
}

impl Devices {
    pub(crate) fn connect(broker: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let options = |id: &str| {
            let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
            options.set_keep_alive(Duration::from_secs(30));
            options.set_outgoing_inflight_upper_limit(500);
            options
        };
        let (listening, commands) = Client::new(options("listener"), 100);
        listening.subscribe("plant/+/+/command", QoS::AtLeastOnce).unwrap();
        let (publishing, confirmations) = Client::new(options("devices"), 1_000);
        let threads = [(commands, Some(listening)), (confirmations, None)].map(|(own, client)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || listen(own, &shared, client))
        });
        let devices = Self { publishing, shared, threads: threads.into() };
        crate::clock::until(20, "the devices listen for commands", || {
            devices.shared.subscribed.load(Ordering::SeqCst)
        });
        devices
    }

    /// Publishes and waits until the broker has everything.
    pub(crate) fn publish(&mut self, messages: impl Iterator<Item = (String, String)>) {
        let mut due = *self.shared.confirmed.lock().unwrap();
        for (topic, payload) in messages {
            self.publishing.publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
            due += 1;
        }
        let confirmed = self.shared.confirmed.lock().unwrap();
        let patience = Duration::from_secs(300);
        let less = |confirmed: &mut u64| *confirmed < due;
        let ended = self.shared.more.wait_timeout_while(confirmed, patience, less).unwrap();
        assert!(!ended.1.timed_out(), "the broker has {} of {due} messages", ended.0);
    }

    /// The commands that arrived, and how often.
    pub(crate) fn commands(&mut self) -> BTreeMap<Command, u64> {
        assert!(!self.threads.iter().any(JoinHandle::is_finished), "the broker was lost");
        self.shared.commands.lock().unwrap().clone()
    }
}

/// Ends with its connection; a client that is kept lives so long.
fn listen(mut connection: Connection, shared: &Shared, _kept: Option<Client>) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                *shared.confirmed.lock().unwrap() += 1;
                shared.more.notify_all();
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                shared.subscribed.store(true, Ordering::SeqCst);
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let command = command(&publish);
                *shared.commands.lock().unwrap().entry(command).or_default() += 1;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// The twin that its topic names, and its one id.
fn command(publish: &Publish) -> Command {
    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
    let twin = topic.split('/').nth(2).unwrap().to_owned();
    let properties = &publish.properties.as_ref().unwrap().user_properties;
    let mut ids = properties.iter().filter(|(name, _)| name == "twinflow-id");
    let (Some((_, id)), None) = (ids.next(), ids.next()) else {
        panic!("a command of {twin} has not one id: {properties:?}")
    };
    (twin, id.clone())
}
