//! What the user writes under `type = "rest"`, and what was checked of it.

use std::{net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::serve::ServeLimits;
use crate::{
    error::{ConnectorError, ErrorKind},
    listen::ListenTls,
    message::model_name_error,
};

/// Settings of a REST connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestSettings {
    /// Address of an own listener, for example `127.0.0.1:7701`; one that other machines reach
    /// needs `tls` and `[server] keys_file`. Absent: the program's own server has the paths.
    /// Since 0.1.0.
    pub listen: Option<String>,
    /// `cert_file`, `key_file`, and `ca_file` for the authorities of clients, all PEM: the own
    /// listener speaks TLS. Since 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenTls>,
    /// Names of the models that this connection takes messages for; `*` is every model.
    /// Default `["*"]`. Since 0.1.0.
    pub models: Vec<String>,
    /// Milliseconds that a request waits for its commit before it gets 504. Default 10000.
    /// Since 0.1.0.
    pub wait_ms: u64,
    /// Bytes of a request's body; above it 413. Default 16777216. Since 0.1.0.
    pub body_bytes_max: usize,
    /// Bytes of one line of an NDJSON body; above it 413. Default 1048576. Since 0.1.0.
    pub line_bytes_max: usize,
    /// Lines of an NDJSON body, and elements of an array; above it 413. Default 10000.
    /// Since 0.1.0.
    pub lines_max: usize,
    /// Objects and lists that a message may have within each other, 1 to 127; above it 400.
    /// Default 64. Since 0.1.0.
    pub depth_max: usize,
    /// Connections of the own listener at the same time; more wait to be accepted. Default 10000.
    /// Since 0.1.0.
    pub connections_max: usize,
    /// Connections of one address at the same time; more are closed. Default 256; on loopback,
    /// where all callers have one address, `connections_max`. Since 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address_max: Option<usize>,
    /// Seconds for the header of a request, from its first byte. Default 10. Since 0.1.0.
    pub header_timeout_secs: u64,
    /// Seconds that a connection may be open without a request. Default 60. Since 0.1.0.
    pub idle_timeout_secs: u64,
    /// Seconds for the body of a request to arrive, and one more for each KiB that came.
    /// Default 30. Since 0.1.0.
    pub body_timeout_secs: u64,
    /// Seconds, the largest value of `Retry-After`. Default 30. Since 0.1.0.
    pub retry_after_max_secs: u64,
    /// Seconds that an `Idempotency-Key` or the `id` of a message is remembered. Default 86400.
    /// Since 0.1.0.
    pub idempotency_keep_secs: u64,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            listen: None,
            tls: None,
            models: vec!["*".into()],
            wait_ms: 10_000,
            body_bytes_max: 16 << 20,
            line_bytes_max: 1 << 20,
            lines_max: 10_000,
            depth_max: 64,
            connections_max: 10_000,
            connections_per_address_max: None,
            header_timeout_secs: 10,
            idle_timeout_secs: 60,
            body_timeout_secs: 30,
            retry_after_max_secs: 30,
            idempotency_keep_secs: 86_400,
        }
    }
}

impl RestSettings {
    /// Checks everything but the address, which a builder gives later.
    pub(super) fn check(&self) -> Result<(), ConnectorError> {
        let positive = [
            ("wait_ms", self.wait_ms),
            ("body_bytes_max", self.body_bytes_max as u64),
            ("line_bytes_max", self.line_bytes_max as u64),
            ("lines_max", self.lines_max as u64),
            ("depth_max", self.depth_max as u64),
            ("connections_max", self.connections_max as u64),
            ("header_timeout_secs", self.header_timeout_secs),
            ("connections_per_address_max", self.connections_per_address_max.unwrap_or(1) as u64),
            ("idle_timeout_secs", self.idle_timeout_secs),
            ("body_timeout_secs", self.body_timeout_secs),
            ("retry_after_max_secs", self.retry_after_max_secs),
            ("idempotency_keep_secs", self.idempotency_keep_secs),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(misconfigured(format!("use `{key} = 0`: it must be at least 1")));
        }
        // Beyond these a number is a slip, and some could not be counted or added to a clock.
        let most = [
            ("connections_max", self.connections_max as u64, 1_000_000),
            ("lines_max", self.lines_max as u64, 1_000_000),
            // Deeper messages are read by no model: the parser stops there.
            ("depth_max", self.depth_max as u64, 127),
            ("body_bytes_max", self.body_bytes_max as u64, BODIES_BYTES_MAX as u64),
            ("wait_ms", self.wait_ms, 3_600_000),
            ("header_timeout_secs", self.header_timeout_secs, 86_400),
            ("idle_timeout_secs", self.idle_timeout_secs, 86_400),
            ("body_timeout_secs", self.body_timeout_secs, 86_400),
            ("retry_after_max_secs", self.retry_after_max_secs, 86_400),
        ];
        if let Some((key, value, most)) = most.iter().find(|(_, value, most)| value > most) {
            let text = format!("use `{key} = {value}`: the largest value is {most}");
            return Err(misconfigured(text));
        }
        if self.tls.is_some() && self.listen.is_none() {
            let text = "use `tls`: without `listen` the program's own server has the paths, and \
                        `tls` stands below [server]";
            return Err(misconfigured(text.into()));
        }
        if self.models.is_empty() {
            return Err(misconfigured("use `models = []`: name a model, or \"*\" for all".into()));
        }
        let wrong = self.models.iter().filter(|name| *name != "*");
        if let Some(reason) = wrong.filter_map(|name| model_name_error(name)).next() {
            return Err(misconfigured(format!("use `models`: {reason}")));
        }
        Ok(())
    }

    /// The address to listen on; `None` when the program's server has the paths.
    pub(super) fn address(&self) -> Result<Option<SocketAddr>, ConnectorError> {
        let Some(listen) = &self.listen else { return Ok(None) };
        let numeric = match listen.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => listen.clone(),
        };
        let address: SocketAddr = numeric.parse().map_err(|_| {
            misconfigured(format!(
                "listen on \"{listen}\": it is not an address and a port like 127.0.0.1:7701"
            ))
        })?;
        Ok(Some(address))
    }

    /// Whether this connection takes messages for a model.
    pub(super) fn takes(&self, model: &str) -> bool {
        self.models.iter().any(|name| name == "*" || name == model)
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    pub(super) fn serve_limits(&self, address: SocketAddr) -> ServeLimits {
        let limits = ServeLimits {
            connections_max: self.connections_max,
            header_timeout: Duration::from_secs(self.header_timeout_secs),
            idle_timeout: Duration::from_secs(self.idle_timeout_secs),
            ..ServeLimits::default()
        };
        let mut limits = limits.listening_on(address);
        let per_address = self.connections_per_address_max;
        limits.connections_per_address_max =
            per_address.unwrap_or(limits.connections_per_address_max);
        limits
    }
}

/// Bytes of all bodies that a connection reads at the same time; above it 429.
pub(super) const BODIES_BYTES_MAX: usize = 256 << 20;

fn misconfigured(doing: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Misconfigured, doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &str) -> Result<Option<SocketAddr>, ConnectorError> {
        RestSettings { listen: Some(listen.into()), ..RestSettings::default() }.address()
    }

    #[test]
    fn addresses_are_read_and_what_is_none_is_named() {
        for good in ["127.0.0.1:7701", "[::1]:7701", "localhost:7701", "0.0.0.0:0", "[::]:7701"] {
            assert!(listening(good).unwrap().is_some(), "{good}");
        }
        for bad in ["plant:7701", "192.168.1.4", "7701", ""] {
            let error = listening(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{bad}");
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let wrong = [
            ("wait_ms", r#"{"wait_ms":0}"#),
            ("models", r#"{"models":[]}"#),
            ("a b", r#"{"models":["a b"]}"#),
            ("connections_max", r#"{"connections_max":99999999999}"#),
            ("wait_ms", r#"{"wait_ms":18446744073709551615}"#),
            ("body_bytes_max", r#"{"body_bytes_max":99999999999}"#),
            ("depth_max", r#"{"depth_max":128}"#),
            ("depth_max", r#"{"depth_max":0}"#),
        ];
        for (named, json) in wrong {
            let settings: RestSettings = serde_json::from_str(json).unwrap();
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(serde_json::from_str::<RestSettings>(r#"{"wait":1}"#).is_err());
        RestSettings::default().check().unwrap();
    }
}
