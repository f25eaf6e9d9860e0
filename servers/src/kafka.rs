//! Apache Kafka: one node, or a cluster of three.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    certificates,
    error::ServerError,
    jars,
    place::{self, Folder, Place},
    process::{self, Process},
    proxy::Proxy,
};

const VERSION: &str = "4.3.1";

/// The one id that all nodes of a cluster are formatted with.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// Name and password for PLAIN and SCRAM-SHA-512.
pub const ALICE: (&str, &str) = ("alice", "alice-secret");

/// Name and password for PLAIN, as a service that looks like Kafka wants them.
pub const CONNECTION_STRING: (&str, &str) = (
    "$ConnectionString",
    "Endpoint=sb://hub.example/;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0;\
     EntityPath=hub",
);

/// Kafka on loopback: no topics are made by themselves, and committed offsets are in four
/// partitions. With three nodes everything has three copies, of which two must be in sync.
#[derive(Debug)]
pub struct Kafka {
    // Before the folder: ended before their files go.
    nodes: Vec<Node>,
    folder: Folder,
    class_path: String,
}

#[derive(Debug)]
struct Node {
    process: Option<Process>,
    ports: Ports,
    folder: PathBuf,
    ways: Vec<Behind>,
}

/// A listener that says that it is where a proxy is.
#[derive(Debug)]
struct Behind {
    port: u16,
    proxy: Proxy,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    plain: u16,
    controller: u16,
    sasl_ssl: u16,
    sasl: u16,
}

impl Kafka {
    /// One node.
    ///
    /// # Errors
    ///
    /// When Java, Maven or openssl is missing, and when the node does not come up.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_cluster(1)
    }

    /// So many nodes, 1 to 9; they are numbered from 0.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`].
    pub fn start_cluster(count: u16) -> Result<Self, ServerError> {
        place::with_free_ports(|| Self::start_at(&Place::Own, count))
    }

    /// One node with so many [ways](Kafka::way) to it.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`], and when a proxy cannot be started.
    pub fn start_with_ways(ways: usize) -> Result<Self, ServerError> {
        place::with_free_ports(|| Self::start_all(&Place::Own, 1, ways))
    }

    /// At a place. The fixed ports are 19092, 19094 (SASL_SSL) and 19095 (SASL_PLAINTEXT) for one
    /// node; with more the third digit is the number of the node, from 1.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`].
    pub fn start_at(place: &Place, count: u16) -> Result<Self, ServerError> {
        Self::start_all(place, count, 0)
    }

    fn start_all(place: &Place, count: u16, ways: usize) -> Result<Self, ServerError> {
        let artifacts = [
            ("org.apache.kafka", "kafka_2.13", VERSION),
            ("org.apache.kafka", "kafka-tools", VERSION),
            ("org.slf4j", "slf4j-simple", "1.7.36"),
        ];
        let class_path = jars::class_path(&format!("kafka-{VERSION}"), &artifacts)?;
        let folder = Folder::of(place)?;
        certificates::make(folder.path())?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            let ports = match place {
                Place::Own => {
                    let [plain, controller, sasl_ssl, sasl] = place::free_ports()?;
                    Ports { plain, controller, sasl_ssl, sasl }
                }
                Place::Fixed(_) => Ports::fixed(if count == 1 { 0 } else { number }),
            };
            let folder = folder.path().join(format!("n{number}"));
            let ways = (0..ways).map(|_| Behind::start()).collect::<Result<_, _>>()?;
            nodes.push(Node { process: None, ports, folder, ways });
        }
        let mut kafka = Self { nodes, folder, class_path };
        for at in 0..kafka.nodes.len() {
            kafka.format(at)?;
        }
        for at in 0..kafka.nodes.len() {
            kafka.spawn(at)?;
        }
        for node in &mut kafka.nodes {
            node.until_up()?;
        }
        Ok(kafka)
    }

    /// Addresses without encryption, `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.addresses(|ports| ports.plain)
    }

    /// Addresses with TLS and log-in: PLAIN as [`CONNECTION_STRING`] or [`ALICE`], SCRAM-SHA-512 as
    /// [`ALICE`].
    #[must_use]
    pub fn sasl_bootstrap(&self) -> String {
        self.addresses(|ports| ports.sasl_ssl)
    }

    /// Addresses with the same log-in and no encryption.
    #[must_use]
    pub fn sasl_plaintext_bootstrap(&self) -> String {
        self.addresses(|ports| ports.sasl)
    }

    /// A way to the first node that fails on demand. To a client that takes it, the node is there
    /// and nowhere else.
    #[must_use]
    pub fn way(&self, number: usize) -> Option<&Proxy> {
        Some(&self.nodes.first()?.ways.get(number)?.proxy)
    }

    /// PEM file of the authority that the nodes' certificates are from.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Class path of Kafka's own tools.
    #[must_use]
    pub fn class_path(&self) -> &str {
        &self.class_path
    }

    /// SIGKILL for a node.
    ///
    /// # Errors
    ///
    /// When there is no such node, or it does not go.
    pub fn kill(&mut self, node: usize) -> Result<(), ServerError> {
        self.end(node, Process::kill)
    }

    /// SIGTERM for a node, and waits for its end.
    ///
    /// # Errors
    ///
    /// When there is no such node, or it does not go.
    pub fn stop(&mut self, node: usize) -> Result<(), ServerError> {
        self.end(node, Process::stop)
    }

    /// Starts a node that was ended, on its old data and ports, and waits until it is up.
    ///
    /// # Errors
    ///
    /// When there is no such node, it still runs, or it does not come up.
    pub fn start_node(&mut self, node: usize) -> Result<(), ServerError> {
        if self.node(node)?.process.is_some() {
            return Err(ServerError::new(format!("node {node} runs")));
        }
        self.spawn(node)?;
        self.node(node)?.until_up()
    }

    fn end(
        &mut self,
        node: usize,
        way: fn(&mut Process) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        self.node(node)?.process.take().map_or(Ok(()), |mut process| way(&mut process))
    }

    fn node(&mut self, node: usize) -> Result<&mut Node, ServerError> {
        let none = || ServerError::new(format!("there is no node {node}"));
        self.nodes.get_mut(node).ok_or_else(none)
    }

    fn addresses(&self, port: impl Fn(&Ports) -> u16) -> String {
        let all = self.nodes.iter().map(|node| format!("127.0.0.1:{}", port(&node.ports)));
        all.collect::<Vec<_>>().join(",")
    }

    fn format(&self, at: usize) -> Result<(), ServerError> {
        let folder = &self.nodes[at].folder;
        fs::create_dir_all(folder).map_err(|error| ServerError::io("make", folder, &error))?;
        let file = folder.join("server.properties");
        let text = self.properties(at);
        fs::write(&file, text).map_err(|error| ServerError::io("write", &file, &error))?;
        let scram = format!("SCRAM-SHA-512=[name={},password={}]", ALICE.0, ALICE.1);
        let java = ["java", "-XX:TieredStopAtLevel=1", "-cp", &self.class_path];
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER];
        let rest = ["-c", "server.properties", "--add-scram", &scram];
        process::complete(&[&java[..], &format, &rest].concat(), folder, jars::JAVA)
    }

    fn spawn(&mut self, at: usize) -> Result<(), ServerError> {
        let java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"];
        let main = [self.class_path.as_str(), "kafka.Kafka", "server.properties"];
        let command = [&java[..], &main].concat();
        let node = &mut self.nodes[at];
        node.process = Some(match &self.folder {
            Folder::Own(whole) => Process::start(&command, &node.folder, whole.path(), jars::JAVA),
            Folder::Fixed(_) => Process::start_and_leave(&command, &node.folder, jars::JAVA),
        }?);
        Ok(())
    }

    fn properties(&self, at: usize) -> String {
        let Ports { plain, controller, sasl_ssl, sasl } = self.nodes[at].ports;
        let voters = self.nodes.iter().zip(1..);
        let voters = voters.map(|(node, id)| format!("{id}@127.0.0.1:{}", node.ports.controller));
        let (copies, in_sync) = (self.nodes.len().min(3), self.nodes.len().min(2));
        let mut listeners = format!(
            "PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl_ssl},\
             SASL_PLAINTEXT://127.0.0.1:{sasl}"
        );
        let (mut advertised, mut protocols) = (listeners.clone(), String::new());
        for (number, Behind { port, proxy }) in self.nodes[at].ways.iter().enumerate() {
            listeners.push_str(&format!(",WAY{number}://127.0.0.1:{port}"));
            advertised.push_str(&format!(",WAY{number}://{}", proxy.address()));
            protocols.push_str(&format!(",WAY{number}:PLAINTEXT"));
        }
        format!(
            "process.roles=broker,controller\nnode.id={id}\n\
             controller.quorum.voters={voters}\ncontroller.listener.names=CONTROLLER\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={advertised}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,\
             SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT{protocols}\n\
             inter.broker.listener.name=PLAINTEXT\nlog.dirs=data\n\
             default.replication.factor={copies}\nmin.insync.replicas={in_sync}\n\
             offsets.topic.num.partitions=4\noffsets.topic.replication.factor={copies}\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={in_sync}\ngroup.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\nlog.retention.check.interval.ms=500\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={pem}\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
             {logins}",
            id = at + 1,
            voters = voters.collect::<Vec<_>>().join(","),
            pem = self.folder.path().join("server.pem").display(),
            logins = ["sasl_ssl", "sasl_plaintext"].map(logins).concat(),
        )
    }
}

/// Whom a listener lets in.
fn logins(listener: &str) -> String {
    let modules = "org.apache.kafka.common.security";
    let users = [ALICE, CONNECTION_STRING];
    let users = users.map(|(user, password)| format!(" user_{user}=\"{password}\"")).concat();
    format!(
        "listener.name.{listener}.plain.sasl.jaas.config=\
         {modules}.plain.PlainLoginModule required{users};\n\
         listener.name.{listener}.scram-sha-512.sasl.jaas.config=\
         {modules}.scram.ScramLoginModule required;\n"
    )
}

impl Behind {
    fn start() -> Result<Self, ServerError> {
        let [port] = place::free_ports()?;
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port)))?;
        Ok(Self { port, proxy })
    }
}

impl Ports {
    fn fixed(number: u16) -> Self {
        let base = 19_090 + 100 * number;
        Self { plain: base + 2, controller: base + 3, sasl_ssl: base + 4, sasl: base + 5 }
    }
}

impl Node {
    fn until_up(&mut self) -> Result<(), ServerError> {
        let name = format!("Kafka in '{}'", Path::new(&self.folder).display());
        let process = self.process.as_mut();
        process.map_or(Ok(()), |it| it.until_up(&name, |log| log.contains("Kafka Server started")))
    }
}
