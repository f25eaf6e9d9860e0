//! A server's process: started, killed, stopped, and never left behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::error::ServerError;

/// What a server that stays leaves in its folder.
pub(crate) const PID_FILE: &str = "pid";

/// Runs the rest of its arguments and says their pid. The pipe at its input closes when the process
/// that holds the other end goes, however it goes, and the server with it, and the folder that is
/// named first.
const WATCHED: &str = r#"exec 3<&0
folder=$1; shift
"$@" </dev/null >&2 3<&- & pid=$!
echo $pid
{ cat <&3; trap "" TERM; kill -9 $pid; rm -rf -- "$folder"; } >/dev/null 2>&1 & watcher=$!
exec 3<&- >/dev/null
wait $pid
kill $watcher 2>/dev/null
wait $watcher"#;

/// Runs the rest of its arguments for good, out of reach of the terminal's signals.
const LEFT: &str = r#"setsid "$@" </dev/null >&2 & echo $!"#;

/// A server's process.
#[derive(Debug)]
pub(crate) struct Process {
    /// The shell that watches; `None` for one that stays.
    shell: Option<Child>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `folder`; what it says goes into `log` there. When it is dropped, or
    /// this process is gone, so is `whole`, which is `folder` or around it.
    pub(crate) fn start(
        command: &[&str],
        folder: &Path,
        whole: &Path,
        needs: &'static str,
    ) -> Result<Self, ServerError> {
        let whole = whole.display().to_string();
        let (shell, pid, log) = run(&[WATCHED, "sh", &whole], command, folder, needs)?;
        Ok(Self { shell: Some(shell), pid, log })
    }

    /// The same, but it stays when this process ends; its pid is in the folder.
    pub(crate) fn start_and_leave(
        command: &[&str],
        folder: &Path,
        needs: &'static str,
    ) -> Result<Self, ServerError> {
        let (mut shell, pid, log) = run(&[LEFT, "sh"], command, folder, needs)?;
        drop(shell.wait());
        let file = folder.join(PID_FILE);
        fs::write(&file, format!("{pid}\n"))
            .map_err(|error| ServerError::io("write", &file, &error))?;
        Ok(Self { shell: None, pid, log })
    }

    /// What it said last, for errors.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until `is_up`, at most a minute.
    pub(crate) fn until_up(
        &mut self,
        name: &str,
        mut is_up: impl FnMut(&str) -> bool,
    ) -> Result<(), ServerError> {
        let mut runs = true;
        let up = wait_until(Duration::from_secs(60), || {
            runs = self.runs();
            let text = fs::read(&self.log).unwrap_or_default();
            !runs || is_up(&String::from_utf8_lossy(&text))
        });
        if up && runs {
            return Ok(());
        }
        let what = if runs { "is not up after a minute" } else { "ended at its start" };
        Err(ServerError::new(format!("{name} {what}; it said:\n{}", self.last_words())))
    }

    /// Whether it is there.
    pub(crate) fn runs(&mut self) -> bool {
        match &mut self.shell {
            Some(shell) => matches!(shell.try_wait(), Ok(None)),
            None => Path::new(&format!("/proc/{}", self.pid)).exists(),
        }
    }

    /// SIGKILL, as when the machine fails.
    pub(crate) fn kill(&mut self) -> Result<(), ServerError> {
        self.end("KILL")
    }

    /// SIGTERM: it may write down what it has.
    pub(crate) fn stop(&mut self) -> Result<(), ServerError> {
        self.end("TERM")
    }

    fn end(&mut self, name: &str) -> Result<(), ServerError> {
        if self.runs() {
            signal(self.pid, name)?;
        }
        if !wait_until(Duration::from_secs(60), || !self.runs()) {
            let text = format!("process {} is there a minute after SIG{name}", self.pid);
            return Err(ServerError::new(text));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.shell {
            // The shell's watcher kills the server when this pipe closes; the shell ends after it.
            drop(shell.stdin.take());
            drop(shell.wait());
        }
    }
}

fn run(
    script: &[&str],
    command: &[&str],
    folder: &Path,
    needs: &'static str,
) -> Result<(Child, u32, PathBuf), ServerError> {
    let program = command.first().copied().unwrap_or_default();
    if !exists(program) {
        return Err(ServerError::new(needs));
    }
    let log = folder.join("log");
    let file = fs::File::create(&log).map_err(|error| ServerError::io("write", &log, &error))?;
    let failed = |error| ServerError::new(format!("start '{program}': {error}"));
    let mut shell = Command::new("sh")
        .arg("-c")
        .args(script)
        .args(command)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(stdout) = shell.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    let pid = line.trim().parse();
    let pid = pid.map_err(|_| ServerError::new(format!("'{program}' has no pid: \"{line}\"")))?;
    Ok((shell, pid, log))
}

/// Whether a program is on the path, or is there if it is a path itself.
pub(crate) fn exists(program: &str) -> bool {
    let looked = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output();
    looked.is_ok_and(|output| output.status.success())
}

/// Runs a program to its end.
///
/// `needs` is the error when the program is missing.
pub(crate) fn complete(
    command: &[&str],
    folder: &Path,
    needs: &'static str,
) -> Result<(), ServerError> {
    let (program, arguments) = command.split_first().unwrap_or((&"", &[]));
    if !exists(program) {
        return Err(ServerError::new(needs));
    }
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| ServerError::new(format!("start '{program}': {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(ServerError::new(format!("'{}' ended with {}: {said}", command.join(" "), output.status)))
}

/// Sends a signal by its name.
pub(crate) fn signal(pid: u32, name: &str) -> Result<(), ServerError> {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).output();
    // That it has just ended is no error; whoever waits for its end sees it.
    sent.map(drop).map_err(|error| ServerError::new(format!("start 'kill': {error}")))
}

/// Looks every 10 ms; whether it came true in time.
pub(crate) fn wait_until(most: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    for _look in 0..most.as_millis() / 10 {
        if is_true() {
            return true;
        }
        sleep(Duration::from_millis(10));
    }
    is_true()
}
