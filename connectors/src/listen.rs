//! What listeners of all kinds are told: their TLS, and whom they may be open to.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `tls` of a listener: PEM files, which are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// The certificate, then those of the authorities between it and a known one. Since 0.1.0.
    pub cert_file: PathBuf,
    /// The private key of the certificate. Since 0.1.0.
    pub key_file: PathBuf,
    /// Authorities of clients: who has no certificate of one is not let in. Absent: clients need
    /// no certificate. Since 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Whether a socket that is bound to `bound` is the one that `wanted` asks for; port 0 takes any.
pub fn fits(wanted: SocketAddr, bound: SocketAddr) -> bool {
    wanted.ip() == bound.ip() && (wanted.port() == 0 || wanted.port() == bound.port())
}

/// Why nothing may listen on an address: other machines could reach it, and without both TLS and
/// keys they could read along, or do everything. `None`: it may.
pub fn exposed(address: SocketAddr, tls: bool, keys: bool) -> Option<String> {
    let lacks = match (tls, keys) {
        _ if address.ip().is_loopback() => return None,
        (true, true) => return None,
        (false, true) => "no TLS (tls = { cert_file, key_file })",
        (true, false) => "no keys (keys_file below [server])",
        (false, false) => {
            "neither TLS nor keys (tls = { cert_file, key_file }, keys_file below [server])"
        }
    };
    Some(format!(
        "listen on {address}: other machines could reach it, and it has {lacks}; add what it \
         lacks, or use a loopback address like 127.0.0.1:{}",
        address.port()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_only_both_open_an_address_to_others() {
        let loopback = ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"];
        let beyond = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1", "8.8.8.8:1"];
        for (tls, keys) in [(false, false), (false, true), (true, false), (true, true)] {
            for address in loopback {
                assert_eq!(exposed(address.parse().unwrap(), tls, keys), None, "{address}");
            }
            for address in beyond {
                let why = exposed(address.parse().unwrap(), tls, keys);
                assert_eq!(why.is_none(), tls && keys, "{address} {tls} {keys}");
                let why = why.unwrap_or_default();
                assert_eq!(why.contains("TLS"), !tls && !why.is_empty(), "{why}");
                assert_eq!(why.contains("keys"), !keys && !why.is_empty(), "{why}");
            }
        }
    }
}
