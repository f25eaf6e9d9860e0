//! A package in a folder of its own, and a program that runs until it is told to stop.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The folder of this checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `cargo` in the package, without a network and with one target folder for all such packages.
pub(crate) fn cargo(package: &Path, arguments: &[&str]) -> Command {
    // The versions of this checkout, so that nothing has to be fetched.
    if !package.join("Cargo.lock").exists() {
        std::fs::copy(checkout().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(package).args(arguments).arg("--offline");
    cargo.env("CARGO_TARGET_DIR", target()).env_remove("RUSTFLAGS");
    cargo
}

/// Where such packages are built.
pub(crate) fn target() -> PathBuf {
    checkout().join("target").join("outside")
}

/// Runs to the end; its output is shown when it fails.
pub(crate) fn succeed(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
}

/// The programs listen on the same port, as their texts say: one at a time.
static PORT: Mutex<()> = Mutex::new(());

/// A program that is killed when the test ends early.
pub(crate) struct Running(Child, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Running {
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
        Self(command.spawn().unwrap(), port)
    }

    /// SIGTERM, as an init system does it.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill().is_err();
    }
}

/// One POST over a connection of its own; waits up to ten seconds until somebody listens.
pub(crate) fn post(address: &str, path: &str, body: &str) -> String {
    let mut socket = (0..500)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(address).ok()
        })
        .expect("nobody listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let len = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\nconnection: close\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}
