//! Certificates that servers and clients show, from an authority of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{error::ServerError, process};

const OPENSSL: &str = "openssl is not there: apt-get install --no-install-recommends openssl";

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

const SCRIPT: &str = r#"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=test ca" \
  -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE \
  -addext keyUsage=critical,keyCertSign,cRLSign
echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >server.ext
echo "keyUsage=digitalSignature" >client.ext
for name in server client; do
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
    -out $name.crt -extfile $name.ext
  cat $name.key $name.crt >$name.pem
done"#;

/// Writes `ca.pem`, and `{server,client}.{key,crt,pem}` into `folder`; `.pem` has key and
/// certificate. The server's name is `localhost` or `127.0.0.1`.
pub(crate) fn make(folder: &Path) -> Result<(), ServerError> {
    if !process::exists("openssl") {
        return Err(ServerError::new(OPENSSL));
    }
    fs::create_dir_all(folder).map_err(|error| ServerError::io("make", folder, &error))?;
    process::complete(&["sh", "-e", "-c", SCRIPT], folder, OPENSSL)
}

/// An authority for the tests of TLS, and what it signs; small keys of elliptic curves.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

impl Authority {
    /// Writes `NAME.pem` and `NAME.key` into a folder.
    ///
    /// # Errors
    ///
    /// openssl is not there, or the folder cannot be written.
    pub fn new(folder: &Path, name: &str) -> Result<Self, ServerError> {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        authority.openssl(&format!(
            "openssl req -x509 {NEW_KEY} -days 2 -subj /CN={name} -keyout {name}.key \
             -out {name}.pem"
        ))?;
        Ok(authority)
    }

    /// Writes `NAME.pem` and `NAME.key` with an extension such as `subjectAltName=IP:127.0.0.1`;
    /// `days` may be negative: it ran out before.
    ///
    /// # Errors
    ///
    /// As [`Authority::new`].
    pub fn sign(&self, name: &str, extension: &str, days: i32) -> Result<(), ServerError> {
        let authority = &self.name;
        self.openssl(&format!(
            "openssl req {NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr\n\
             echo {extension} >{name}.ext\n\
             openssl x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key \
             -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem"
        ))
    }

    fn openssl(&self, script: &str) -> Result<(), ServerError> {
        if !process::exists("openssl") {
            return Err(ServerError::new(OPENSSL));
        }
        process::complete(&["sh", "-e", "-c", script], &self.folder, OPENSSL)
    }
}
