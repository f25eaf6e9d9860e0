//! What is said again and again until somebody does something: a certificate that runs out, a
//! listener that everybody on the network may use.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::runtime::Runtime;
use twinflow_connectors::rest::ServerTls;

use crate::clock::system_clock;

/// How often it is said.
const EVERY: Duration = Duration::from_secs(3600);

const DAY: u64 = 86_400;

/// So long before a certificate runs out it is said.
const AHEAD: Duration = Duration::from_secs(14 * DAY);

/// Listeners by name: `api`, or the name of a connection.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    pub(super) certificates: Vec<(String, Arc<ServerTls>)>,
    pub(super) exposed: Vec<(String, SocketAddr)>,
}

impl Alerts {
    /// Says it now and every hour.
    pub(super) fn start(self, runtime: &Runtime) {
        if self.certificates.is_empty() && self.exposed.is_empty() {
            return;
        }
        let clock = system_clock();
        self.tell(Duration::from_micros(clock().0));
        drop(runtime.spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                self.tell(Duration::from_micros(clock().0));
            }
        }));
    }

    fn tell(&self, now: Duration) {
        for (listener, tls) in &self.certificates {
            match left(tls.expires(), now) {
                Some(0) => tracing::error!(listener, "its certificate has run out"),
                Some(days) => tracing::warn!(listener, days, "its certificate runs out soon"),
                None => {}
            }
        }
        for (listener, address) in &self.exposed {
            tracing::warn!(
                listener,
                %address,
                "INSECURE: everybody who reaches this address may do everything or read along"
            );
        }
    }
}

/// Days that a certificate has left, rounded up, if they are few; 0 when it has run out.
fn left(expires: Duration, now: Duration) -> Option<u64> {
    let left = expires.saturating_sub(now);
    (left <= AHEAD).then(|| left.as_secs().div_ceil(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_fourteen_days_ahead_it_is_said() {
        let days = |days: u64| Duration::from_secs(days * DAY);
        let second = Duration::from_secs(1);
        assert_eq!(left(days(100), days(86) - second), None);
        assert_eq!(left(days(100), days(86)), Some(14));
        assert_eq!(left(days(100), days(100) - second), Some(1));
        assert_eq!(left(days(100), days(100)), Some(0));
        assert_eq!(left(days(100), days(200)), Some(0));
    }
}
