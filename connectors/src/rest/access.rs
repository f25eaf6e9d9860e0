//! Who may do what: API keys, their roles, and the routes that ask for them.
//!
//! A server that has an [`Access`] passes every request through it. A request without a known key
//! gets 401; one whose key lacks the role of the route, or is bound to other models or twins, gets
//! 403. What no table of routes names is refused to everybody who has no key.

mod failures;
mod file;
#[cfg(feature = "testing")]
mod fuzz;
mod guard;
mod key;
mod rate;
mod ring;
mod role;

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::http::{HeaderMap, header};

#[cfg(feature = "testing")]
pub(super) use self::fuzz::TARGETS;
pub use self::{
    file::{KEY_MODE, edit, read},
    guard::{Audited, Protect, protect},
    key::{Caller, KeyEntry, new_key},
    role::{Names, Need, Role, Route},
};

pub(super) use self::guard::not_for;

use self::{failures::Failures, ring::KeyRing};
use crate::error::ConnectorError;

/// A login that failed, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFailed {
    /// Where it came from.
    pub from: Option<SocketAddr>,
    /// Method and path of the request, without its query.
    pub what: String,
    /// Why, in words; never the key.
    pub why: &'static str,
}

/// Hears of failed logins.
pub type OnLoginFailed = Arc<dyn Fn(LoginFailed) + Send + Sync>;

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// 401, 403 or 429.
    pub status: u16,
    /// Last part of the problem's `type`.
    pub kind: &'static str,
    /// A sentence for the caller.
    pub detail: String,
    /// Seconds after which it may try again.
    pub retry_after_secs: Option<u64>,
}

/// The keys of a server, and how often each may be used.
pub struct Access {
    ring: KeyRing,
    failures: Failures,
    on_failed: OnLoginFailed,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads a file of keys. It is read again within a second of its change; while what is there
    /// cannot be used, the last good keys count and the log says so.
    ///
    /// `requests_per_sec` is the most that one key may ask for; twice as many at once.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](crate::error::ErrorKind::Misconfigured): the file is missing, is open to
    /// other users of the machine, or is no file of keys.
    pub fn open(
        file: &Path,
        requests_per_sec: u32,
        on_failed: OnLoginFailed,
    ) -> Result<Self, ConnectorError> {
        let ring = KeyRing::open(file, requests_per_sec)?;
        Ok(Self { ring, failures: Failures::default(), on_failed })
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.ring.len()
    }

    /// Logins that failed since the start.
    pub fn failed(&self) -> u64 {
        self.failures.count()
    }

    /// Finds out who asks.
    fn caller(&self, request: &Request<'_>) -> Result<Caller, Denied> {
        match self.look_up(request.headers) {
            Ok(caller) => match caller.take_turn() {
                Ok(()) => Ok(caller),
                Err(secs) => Err(Denied {
                    status: 429,
                    kind: "key-rate",
                    detail: "this key asks more often than one key may".into(),
                    retry_after_secs: Some(secs),
                }),
            },
            Err(why) => Err(self.fail(request, why)),
        }
    }

    fn look_up(&self, headers: &HeaderMap) -> Result<Caller, &'static str> {
        let key = presented(headers)?;
        self.ring.find(key).ok_or("this key is not known here")
    }

    fn fail(&self, request: &Request<'_>, why: &'static str) -> Denied {
        if let Err(secs) = self.failures.note(request.from) {
            return Denied {
                status: 429,
                kind: "logins",
                detail: "too many logins from this address have failed".into(),
                retry_after_secs: Some(secs),
            };
        }
        let what = format!("{} {}", request.method, request.path);
        (self.on_failed)(LoginFailed { from: request.from, what, why });
        Denied { status: 401, kind: "key", detail: why.into(), retry_after_secs: None }
    }
}

/// What is looked at of a request.
struct Request<'r> {
    method: &'r str,
    path: &'r str,
    headers: &'r HeaderMap,
    from: Option<SocketAddr>,
}

const NO_KEY: &str = "send a key as Authorization: Bearer KEY or X-Api-Key: KEY";

/// The key that a request shows.
fn presented(headers: &HeaderMap) -> Result<&str, &'static str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().map_err(|_| "this key is not known here");
    }
    let authorization = headers.get(header::AUTHORIZATION).ok_or(NO_KEY)?;
    let text = authorization.to_str().map_err(|_| NO_KEY)?;
    let (scheme, key) = text.split_once(' ').ok_or(NO_KEY)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(NO_KEY) }
}
