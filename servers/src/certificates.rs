//! Certificates that servers and clients show, from an authority of their own.

use std::{fs, path::Path};

use crate::{error::ServerError, process};

const OPENSSL: &str = "openssl is not there: apt-get install --no-install-recommends openssl";

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
