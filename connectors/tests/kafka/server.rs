//! Apache Kafka, started by the test that needs it and ended with it, however that ends.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::cut::Proxy;

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-run</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>4.3.1</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

/// The one cluster id that all nodes of a test cluster have.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

const HOW: &str = "the Kafka tests need Java 17, Maven and openssl: \
                   apt-get install openjdk-17-jre-headless maven openssl";

/// The user of the SASL listeners, and the password.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "alice-5ecret-71";

/// One node and the ways to reach it.
pub(crate) struct Node {
    dir: PathBuf,
    /// Ends the broker when it is closed, by us or by the end of this process.
    watched: Option<Child>,
    ports: Ports,
    pub(crate) proxies: Vec<Proxy>,
}

/// Ports of one node.
#[derive(Clone)]
struct Ports {
    direct: u16,
    controller: u16,
    tls: u16,
    sasl: u16,
    behind: Vec<u16>,
}

impl Ports {
    fn new(proxies: usize) -> Self {
        let free: Vec<_> = (0..4 + proxies)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let port = |at: usize| free[at].local_addr().unwrap().port();
        let behind = (4..4 + proxies).map(port).collect();
        Self { direct: port(0), controller: port(1), tls: port(2), sasl: port(3), behind }
    }
}

impl Node {
    /// Where it is reached without a proxy.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.direct)
    }

    /// Where it speaks TLS and wants PLAIN or SCRAM.
    pub(crate) fn sasl_ssl(&self) -> String {
        format!("localhost:{}", self.ports.tls)
    }

    /// Where it wants PLAIN or SCRAM and speaks no TLS.
    pub(crate) fn sasl_plaintext(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sasl)
    }

    /// The authority that its certificate is from.
    pub(crate) fn ca_file(&self) -> String {
        self.dir.join("ca.pem").display().to_string()
    }

    fn start(&mut self) {
        let log = fs::File::create(self.dir.join("broker.log")).unwrap();
        // The pipe closes when this process ends in any way, and the broker with it.
        let script = "\"$@\" </dev/null & pid=$!; cat >/dev/null; kill -9 $pid";
        let java = ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"];
        let watched = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(java)
            .arg(class_path())
            .args(["kafka.Kafka", "server.properties"])
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.watched = Some(watched.expect(HOW));
    }

    fn until_started(&self) {
        let log = self.dir.join("broker.log");
        for _ in 0..600 {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.contains("Kafka Server started") {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("Kafka has not started in a minute; see {}", log.display());
    }

    /// Kills it as a failing machine does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watched) = self.watched.take() {
            drop(watched.stdin.take());
            watched.wait().unwrap();
        }
    }

    /// Starts it again on its data.
    pub(crate) fn restart(&mut self) {
        self.start();
        self.until_started();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        let _cleaned = fs::remove_dir_all(&self.dir);
    }
}

/// Ways to the shared broker; each test that cuts takes one for itself.
const WAYS: usize = 8;

/// The broker that tests share which do not end it.
pub(crate) fn shared() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| start(WAYS))
}

/// A way to the shared broker that no other test has.
pub(crate) fn way() -> Proxy {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let at = TAKEN.fetch_add(1, Ordering::Relaxed);
    shared().proxies.get(at).expect("a way for each test: see WAYS").clone()
}

/// One broker with everything, and `proxies` ways to it that can be cut.
pub(crate) fn start(proxies: usize) -> Node {
    let mut nodes = start_all(1, proxies);
    nodes.remove(0)
}

/// A cluster of three, without proxies.
pub(crate) fn start_three() -> Vec<Node> {
    start_all(3, 0)
}

fn start_all(count: usize, proxies: usize) -> Vec<Node> {
    let all: Vec<_> = (0..count).map(|_| Ports::new(proxies)).collect();
    let mut nodes = Vec::new();
    for (at, ports) in all.iter().enumerate() {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}", ports.direct));
        let _left_by_an_earlier_run = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let behind = ports.behind.iter();
        let ways: Vec<_> = behind.map(|port| Proxy::start(format!("127.0.0.1:{port}"))).collect();
        certify(&dir);
        let properties = properties(at + 1, &all, &ways);
        fs::write(dir.join("server.properties"), properties).unwrap();
        let scram = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"];
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-cp"]).arg(class_path()).args(format);
        java.args(["server.properties", "--add-scram", &scram]).current_dir(&dir);
        run(&mut java);
        let ports = ports.clone();
        nodes.push(Node { dir, watched: None, ports, proxies: ways });
    }
    nodes.iter_mut().for_each(Node::start);
    nodes.iter().for_each(Node::until_started);
    nodes
}

fn properties(id: usize, all: &[Ports], ways: &[Proxy]) -> String {
    let Ports { direct, controller, tls, sasl, behind } = &all[id - 1];
    let voters = all.iter().enumerate().map(|(at, ports)| (at + 1, ports.controller));
    let voters: Vec<_> = voters.map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let mut listeners =
        format!("DIRECT://127.0.0.1:{direct},TLS://localhost:{tls},SASL://127.0.0.1:{sasl}");
    let mut advertised = listeners.clone();
    let mut map =
        "CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,TLS:SASL_SSL,SASL:SASL_PLAINTEXT".to_owned();
    for (at, (port, way)) in behind.iter().zip(ways).enumerate() {
        listeners.push_str(&format!(",WAY{at}://127.0.0.1:{port}"));
        advertised.push_str(&format!(",WAY{at}://{}", way.address()));
        map.push_str(&format!(",WAY{at}:PLAINTEXT"));
    }
    let (replicas, in_sync) = (all.len(), all.len().div_ceil(2));
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={id}\n\
         controller.quorum.voters={}\ncontroller.listener.names=CONTROLLER\n\
         listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={advertised}\nlistener.security.protocol.map={map}\n\
         inter.broker.listener.name=DIRECT\nlog.dirs=data\n\
         default.replication.factor={replicas}\nmin.insync.replicas={in_sync}\n\
         offsets.topic.num.partitions=4\noffsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\ngroup.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\nlog.retention.check.interval.ms=500\n\
         ssl.keystore.type=PEM\nssl.keystore.location=server.pem\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n",
        voters.join(",")
    );
    for listener in ["tls", "sasl"] {
        let name = format!("listener.name.{listener}");
        text.push_str(&format!(
            "{name}.plain.sasl.jaas.config={plain} user_{USER}=\"{PASSWORD}\";\n\
             {name}.scram-sha-512.sasl.jaas.config={scram}\n"
        ));
    }
    text
}

/// A certificate authority and a certificate for `localhost`.
fn certify(dir: &Path) {
    let script = r#"
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=test ca" -keyout ca.key \
            -out ca.pem -addext basicConstraints=critical,CA:TRUE \
            -addext keyUsage=critical,keyCertSign,cRLSign
        openssl req -newkey rsa:2048 -nodes -subj "/CN=server" -keyout server.key -out server.csr
        echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
            -out server.crt -extfile server.ext
        cat server.key server.crt >server.pem"#;
    run(Command::new("sh").args(["-e", "-c", script]).current_dir(dir));
}

fn class_path() -> &'static str {
    static LIB: OnceLock<String> = OnceLock::new();
    LIB.get_or_init(|| {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
        let lib = target.join("kafka-4.3.1-slf4j-simple");
        if !lib.is_dir() {
            let fresh = target.join(format!("kafka-{}", std::process::id()));
            fs::create_dir_all(&fresh).unwrap();
            fs::write(fresh.join("pom.xml"), POM).unwrap();
            let copy = ["-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib"];
            run(Command::new("mvn").args(copy).arg("-DincludeScope=runtime").current_dir(&fresh));
            // Who comes second finds it there and loses nothing but time.
            if fs::rename(fresh.join("lib"), &lib).is_err() {
                assert!(lib.is_dir(), "{} is not there", lib.display());
            }
            fs::remove_dir_all(&fresh).unwrap();
        }
        format!("{}/*", lib.canonicalize().unwrap().display())
    })
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect(HOW);
    let (out, err) = (&output.stdout, &output.stderr);
    let text = String::from_utf8_lossy(out) + String::from_utf8_lossy(err);
    assert!(output.status.success(), "{command:?}: {text}");
}
