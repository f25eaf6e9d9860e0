//! An ActiveMQ Artemis of one's own: it gives new packet ids to what it sends again, and no DUP
//! flag, where Mosquitto keeps both. One for all tests of this program, each with its own topics.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

const HOW: &str = "Artemis comes from Maven Central: apt-get install maven openjdk-17-jre-headless";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>artemis-run</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.activemq</groupId><artifactId>artemis-server</artifactId>
      <version>2.40.0</version></dependency>
    <dependency><groupId>org.apache.activemq</groupId>
      <artifactId>artemis-mqtt-protocol</artifactId><version>2.40.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>2.0.17</version></dependency>
  </dependencies>
</project>
"#;

pub(crate) struct Artemis {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

/// The jars, fetched once for a target directory.
fn jars() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("artemis-2.40.0");
    let jars = folder.join("jars");
    if !folder.join("done").exists() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("pom.xml"), POM).unwrap();
        let fetched = Command::new("mvn")
            .args(["-B", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .expect(HOW);
        assert!(fetched.status.success(), "{HOW}: {}", String::from_utf8_lossy(&fetched.stdout));
        fs::write(folder.join("done"), "").unwrap();
    }
    jars
}

impl Artemis {
    pub(crate) fn start() -> Self {
        let jars = jars();
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let etc = folder.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let text = format!(
            "<configuration xmlns=\"urn:activemq\"><core xmlns=\"urn:activemq:core\">\
             <name>test</name><persistence-enabled>false</persistence-enabled>\
             <security-enabled>false</security-enabled><acceptors>\
             <acceptor name=\"mqtt\">tcp://127.0.0.1:{port}?protocols=MQTT</acceptor></acceptors>\
             <address-settings><address-setting match=\"#\">\
             <max-delivery-attempts>-1</max-delivery-attempts></address-setting>\
             </address-settings></core></configuration>"
        );
        fs::write(etc.join("broker.xml"), text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new("java")
            .args(["-Xmx256m", "-cp"])
            .arg(jars.join("*"))
            .arg("org.apache.activemq.artemis.core.server.embedded.Main")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect(HOW);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return Self { child, address, folder };
            }
            sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!(
            "Artemis does not listen: {}",
            fs::read_to_string(folder.path().join("log")).unwrap()
        );
    }
}

impl Drop for Artemis {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log"));
            eprintln!("Artemis said: {}", log.unwrap_or_default());
        }
    }
}
