//! A client that sends one message after the other and counts what was answered with 200.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Error, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Twins of one client; message `n` is for twin `n` modulo this.
pub(crate) const TWINS: u64 = 3;

/// Sends `0, 1, 2, ...`, each until it is answered with 200.
pub(crate) struct Client {
    pub(crate) number: usize,
    /// Whether each message has an idempotency key.
    pub(crate) keys: bool,
    /// How many messages were answered with 200.
    pub(crate) answered: Arc<AtomicU64>,
    /// How often a message was sent again.
    pub(crate) repeated: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl Client {
    pub(crate) fn start(number: usize, address: SocketAddr, stop: &Arc<AtomicBool>) -> Self {
        let keys = number.is_multiple_of(2);
        let (answered, repeated) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stop, counts) = (Arc::clone(stop), (Arc::clone(&answered), Arc::clone(&repeated)));
        let running = std::thread::spawn(move || {
            let mut open = None;
            while !stop.load(Ordering::Relaxed) {
                let n = counts.0.load(Ordering::SeqCst);
                match post(&mut open, address, number, keys, n) {
                    Ok(200) => drop(counts.0.fetch_add(1, Ordering::SeqCst)),
                    _ => {
                        open = None;
                        counts.1.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            }
        });
        Self { number, keys, answered, repeated, running }
    }

    pub(crate) fn twin(&self, twin: u64) -> String {
        twin_id(self.number, twin)
    }

    /// How many messages of a twin are answered if `all` are.
    pub(crate) fn of_twin(all: u64, twin: u64) -> u64 {
        (all + TWINS - 1 - twin) / TWINS
    }

    /// Fails unless a twin has all that was answered, in order, and with keys each once; how many
    /// different messages it has.
    pub(crate) fn assert_applied(&self, twin: u64, numbers: &[u64], answered: u64) -> u64 {
        let told = format!("client {}, twin {twin}: {numbers:?}", self.number);
        let mut met = BTreeSet::new();
        let first: Vec<u64> = numbers.iter().copied().filter(|n| met.insert(*n)).collect();
        let count = first.len() as u64;
        let expected = (0..count).map(|nth| nth * TWINS + twin);
        assert!(first.iter().copied().eq(expected), "out of order or missing: {told}");
        let least = Self::of_twin(answered, twin);
        assert!(count >= least, "{least} were answered: {told}");
        assert!(!self.keys || first == numbers, "a key was applied twice: {told}");
        count
    }

    pub(crate) fn end(self) {
        self.running.join().unwrap();
    }
}

fn twin_id(client: usize, twin: u64) -> String {
    format!("pump-{client}-{twin}")
}

/// Posts one message on a connection that stays open; the status.
fn post(
    open: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    client: usize,
    keys: bool,
    n: u64,
) -> Result<u16, Error> {
    let stream = match open {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(15)))?;
            open.insert(BufReader::new(stream))
        }
    };
    let (twin, body) = (twin_id(client, n % TWINS), n.to_string());
    let key = if keys { format!("Idempotency-Key: \"{client}-{n}\"\r\n") } else { String::new() };
    let request = format!(
        "POST /v1/twins/journal/{twin}/messages HTTP/1.1\r\nHost: {address}\r\n{key}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes())?;
    let (status, answer) = answer(stream)?;
    if status == 200 {
        // Also a repeated message gets the reply that belongs to it.
        assert!(answer.contains(&format!("[{n}]")), "message {n} was answered with {answer}");
    }
    Ok(status)
}

fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, String), Error> {
    let line = |stream: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.is_empty() { Err(Error::other("the connection ended")) } else { Ok(line) }
    };
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut length = 0;
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(Error::other)?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(Error::other)?;
    Ok((status.ok_or_else(|| Error::other("no status"))?, body))
}
