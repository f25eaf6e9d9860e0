//! Everything around the program that is killed: brokers, devices, callers, and its directory.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tempfile::TempDir;
use twinflow_servers::{Kafka, Mosquitto, MqttBroker, Options};

use super::{
    callers::Callers,
    disk::WorseDisk,
    published::{MODELS, Published},
    stream::{PARTITIONS, Stream},
};
use crate::{
    clock::{now, until, wall_nanos},
    kafka::{GROUP, World},
    program::{Program, Start, free_port},
};

const TOPIC: &str = "readings";

/// So many records may be written and not applied; behind that the writer waits.
const AHEAD_MAX: u64 = 1_500_000;

/// How many twins there are, and how much is sent to them.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Twins that Kafka's records are for, a multiple of its partitions.
    pub(crate) twins: u64,
    /// Records a second.
    pub(crate) rate: u64,
    /// Twins of each of the other models.
    pub(crate) others: u64,
    /// Milliseconds that a caller waits between two messages.
    pub(crate) pause_ms: u64,
}

/// The servers, who talks to the program, and its directory.
pub(crate) struct Plant {
    pub(crate) callers: Callers,
    pub(crate) published: Published,
    pub(crate) records: Records,
    pub(crate) world: Arc<World>,
    pub(crate) disk: WorseDisk,
    pub(crate) load: Load,
    pub(crate) port: u16,
    looked_at: u16,
    /// Whether the next program syncs every second.
    pub(crate) every_second: bool,
    bootstrap: String,
    _kafka: Kafka,
    _mosquitto: MqttBroker,
    pub(crate) dir: TempDir,
}

impl Plant {
    pub(crate) fn start(load: Load) -> Self {
        Self::start_in(load, |_| {})
    }

    /// In a directory that was made ready first.
    pub(crate) fn start_in(load: Load, prepare: impl FnOnce(&Path)) -> Self {
        let (kafka, dir, port) =
            (Kafka::start().unwrap(), tempfile::tempdir().unwrap(), free_port());
        prepare(dir.path());
        let options = Options { autosave: false, ..Options::default() };
        let mosquitto = Mosquitto::start(options).unwrap();
        let bootstrap = kafka.bootstrap();
        let world = Arc::new(World::new(&bootstrap, TOPIC, PARTITIONS));
        let stream = Stream { twins: load.twins };
        let mut plant = Self {
            callers: Callers::start(port, load.others, Duration::from_millis(load.pause_ms)),
            published: Published::new(mosquitto.address(), load.others),
            records: Records::start(&world, stream, load.rate),
            world,
            disk: WorseDisk::new(dir.path()),
            load,
            port,
            looked_at: free_port(),
            every_second: false,
            bootstrap,
            _kafka: kafka,
            _mosquitto: mosquitto,
            dir,
        };
        let mut program = plant.spawn(1, &[]);
        until(60, "the sessions at Mosquitto are made", || {
            MODELS.iter().all(|model| program.connection(model).0 == "running")
        });
        plant.published.start();
        program.kill();
        plant
    }

    pub(crate) fn stream(&self) -> Stream {
        Stream { twins: self.load.twins }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the program at its work, with more variables in its environment.
    pub(crate) fn spawn(&self, workers: u64, more: &[(&'static str, String)]) -> Program {
        self.spawn_at((self.port, true, false), workers, more)
    }

    /// The same with a supervisor, which starts what is killed again.
    pub(crate) fn spawn_supervised(&self, workers: u64) -> Program {
        self.spawn_at((self.port, true, true), workers, &[])
    }

    /// Starts the program where nothing reaches it: what it has is what was durable.
    pub(crate) fn spawn_alone(&self, workers: u64, more: &[(&'static str, String)]) -> Program {
        self.spawn_at((self.looked_at, false, false), workers, more)
    }

    fn spawn_at(
        &self,
        (port, enabled, supervised): (u16, bool, bool),
        workers: u64,
        more: &[(&'static str, String)],
    ) -> Program {
        let mut with = self.disk.variables();
        with.extend_from_slice(more);
        // A look reads twin after twin, and each read of a group waits for its end.
        let every_second = self.every_second && enabled;
        let commit = if every_second { "every-second" } else { "every-epoch" };
        let state = format!("segment_bytes = 4194304\ncommit = \"{commit}\"\n");
        let (dir, file) = (self.path(), self.file(enabled));
        let (state, file, with) = (&*state, &*file, &*with);
        Program::spawn(Start { dir, port, workers, supervised, state, file, with })
    }

    fn file(&self, enabled: bool) -> String {
        let (bootstrap, proxy) = (&self.bootstrap, self.published.proxy.address());
        let mqtt = |model: &str, dedupe: &str| {
            format!(
                "[models.{model}]\ntype = \"journal\"\nkeep = 100000\n\
                 [connections.{model}]\ntype = \"mqtt\"\nenabled = {enabled}\n\
                 url = \"mqtt://{proxy}\"\nclient_id = \"{model}\"\nreceive_max = 100\n{dedupe}\
                 topics = [{{ topic = \"plant/{model}/{{twin}}/up\", model = \"{model}\" }}]\n"
            )
        };
        let (loose, once) = (mqtt("loose", ""), mqtt("once", "dedupe = { json = \"/id\" }\n"));
        format!(
            "[models.readings]\ntype = \"journal\"\nkeep = 4\n\
             [connections.readings]\ntype = \"kafka\"\nenabled = {enabled}\nconnections = 2\n\
             brokers = [\"{bootstrap}\"]\ngroup = \"{GROUP}\"\ncommit_interval_ms = 50\n\
             topics = [{{ topic = \"{TOPIC}\", model = \"readings\" }}]\n{loose}{once}\
             [models.orders]\ntype = \"journal\"\nkeep = 100000\n\
             [connections.web]\ntype = \"rest\"\nenabled = {enabled}\nmodels = [\"orders\"]\n"
        )
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        // While there are brokers still.
        self.callers.end();
        self.published.end();
        self.records.end(&self.world);
    }
}

/// Writes to Kafka at a steady rate until it is ended.
pub(crate) struct Records {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    written: [AtomicU64; PARTITIONS as usize],
    waited_ms: AtomicU64,
    wrote_ms: AtomicU64,
    ahead_most: AtomicU64,
    /// Offsets, and when they were written: some of them.
    times: Mutex<Vec<(u64, u64)>>,
}

impl Records {
    fn start(world: &Arc<World>, stream: Stream, rate: u64) -> Self {
        let (shared, world) = (Arc::<Shared>::default(), Arc::clone(world));
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || own.write(&world, stream, rate));
        Self { shared, thread: Some(thread) }
    }

    /// Records of each partition that were written, or are about to be.
    pub(crate) fn written(&self) -> Vec<u64> {
        self.shared.written.iter().map(|it| it.load(Ordering::SeqCst)).collect()
    }

    /// When this record of the first partition was written, by
    /// [`wall_nanos`](crate::clock::wall_nanos), or somewhat earlier.
    pub(crate) fn written_at(&self, offset: u64) -> u64 {
        let times = self.shared.times.lock().unwrap();
        times[times.partition_point(|(first, _)| *first <= offset) - 1].1
    }

    /// Records a second while it wrote, and the most that were written and not yet committed.
    pub(crate) fn rate(&self) -> (f64, u64) {
        let count = |it: &AtomicU64| it.load(Ordering::SeqCst);
        let seconds = (count(&self.shared.wrote_ms) - count(&self.shared.waited_ms)) as f64 / 1e3;
        let written: u64 = self.written().iter().sum();
        (written as f64 / seconds, count(&self.shared.ahead_most))
    }

    /// Ends it, and waits until the broker has everything.
    pub(crate) fn end(&mut self, world: &World) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
        world.flush();
    }
}

impl Shared {
    fn write(&self, world: &World, stream: Stream, rate: u64) {
        let began = now();
        self.write_on(world, stream, rate);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.wrote_ms.store(ms, Ordering::SeqCst);
    }

    fn write_on(&self, world: &World, stream: Stream, rate: u64) {
        let (mut started, mut since, mut looked) = (now(), 0_u64, now());
        for offset in 0.. {
            if offset % 16 == 0 {
                self.times.lock().unwrap().push((offset, wall_nanos()));
            }
            for partition in 0..PARTITIONS {
                self.written[partition as usize].store(offset + 1, Ordering::SeqCst);
                let (key, payload) = stream.record(partition, offset);
                world.send(partition, &key, &payload);
                since += 1;
            }
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            while since as f64 > started.elapsed().as_secs_f64() * rate as f64 {
                std::thread::sleep(Duration::from_millis(2));
            }
            if looked.elapsed() > Duration::from_secs(1) {
                // Whatever it could not write within a second is not made up for.
                (started, since, looked) = (now(), 0, now());
                let written = (offset + 1) * PARTITIONS;
                let ahead = || {
                    let ahead = written - world.committed().iter().sum::<u64>();
                    self.ahead_most.fetch_max(ahead, Ordering::SeqCst);
                    ahead
                };
                while ahead() > AHEAD_MAX && !self.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(100));
                    self.waited_ms.fetch_add(100, Ordering::SeqCst);
                    (started, looked) = (now(), now());
                }
            }
        }
    }
}
