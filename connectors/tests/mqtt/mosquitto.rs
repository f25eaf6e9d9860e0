//! A Mosquitto of one's own, on a free port, with a folder of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// The only user.
pub(crate) const USER: &str = "plant";
pub(crate) const PASSWORD: &str = "canary-password-77";

pub(crate) struct Mosquitto {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

const HOW: &str = "Mosquitto is needed: apt-get install --no-install-recommends mosquitto";

impl Mosquitto {
    /// A broker whose window is `window` messages, for [`USER`] alone.
    pub(crate) fn start(window: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&users)
            .args([USER, PASSWORD])
            .stdin(Stdio::null())
            .output()
            .expect(HOW);
        assert!(made.status.success(), "{made:?}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\n\
             max_inflight_messages {window}\nmax_queued_messages 0\npersistence false\n\
             set_tcp_nodelay true\n",
            users = users.display(),
        );
        fs::write(folder.path().join("m.conf"), text).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = spawn(&folder.path().join("m.conf"), address);
        Self { child, folder, address }
    }

    /// A broker that wants a client's certificate on a second port, with what is in `folder`.
    pub(crate) fn start_tls(certificates: &Path) -> (Self, u16) {
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (plain, tls) = (free(), free());
        let [plain, tls] = [plain, tls].map(|free| free.local_addr().unwrap().port());
        let at = certificates.display();
        let text = format!(
            "user root\nper_listener_settings true\nlistener {plain} 127.0.0.1\n\
             allow_anonymous true\nlistener {tls} 127.0.0.1\ncafile {at}/ca.pem\n\
             certfile {at}/server.pem\nkeyfile {at}/server.key\nrequire_certificate true\n\
             use_identity_as_username true\n"
        );
        fs::write(folder.path().join("m.conf"), text).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], plain));
        let child = spawn(&folder.path().join("m.conf"), address);
        (Self { child, folder, address }, tls)
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        let path = self.folder.path().join("password");
        fs::write(&path, format!("{PASSWORD}\n")).unwrap();
        path
    }
}

fn spawn(settings: &Path, address: SocketAddr) -> Child {
    let log = fs::File::create(settings.with_extension("log")).unwrap();
    let mut child = Command::new("mosquitto")
        .arg("-c")
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect(HOW);
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return child;
        }
        sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("Mosquitto does not listen on {address}");
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
