//! The file of keys, and what callers present, as targets.

use std::sync::Arc;

use super::{
    file::parse,
    key::{Caller, Key, digest_of, prefix},
    rate::Bucket,
};
use crate::fuzz::{Target, two_texts};

pub(in crate::rest) const TARGETS: [Target; 2] = [
    Target {
        name: "keys_file",
        files: &["connectors/src/rest/access/file.rs", "connectors/src/rest/access/key.rs"],
        run: keys_file,
        seeds: || vec![FILE.into()],
    },
    // A pattern in the first line, an id behind it.
    Target {
        name: "key_pattern",
        files: &["connectors/src/rest/access/key.rs"],
        run: key_pattern,
        seeds: || vec![b"site-1/*/*7\nsite-1/a/77".to_vec(), b"**a**\n".to_vec()],
    },
];

const FILE: &str = "# keys\n[[keys]]\nprefix = \"0909090909\"\nrole = \"ingest\"\n\
    sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
    models = [\"m\"]\ntwins = \"a/*\"\n\
    [[keys]]\nprefix = \"1\"\nrole = \"admin\"\nsha256 = \"00\"\n";

fn keys_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for entry in parse(&text).unwrap_or_default() {
        if let Ok(key) = Key::new(entry, Arc::new(Bucket::new(1))) {
            let presented = prefix(&text).unwrap_or(&text);
            let known = key.is(&digest_of(presented));
            assert!(!known, "nobody has found such a key");
        }
    }
}

fn key_pattern(bytes: &[u8]) {
    let Some((pattern, id)) = two_texts(bytes) else { return };
    let entry = super::new_key([1; 37], super::Role::Read, vec!["*".into()], pattern.into()).1;
    let Ok(key) = Key::new(entry, Arc::new(Bucket::new(1))) else { return };
    let caller = Caller(Arc::new(key));
    let fixed = pattern.split('*').map(str::len).sum::<usize>();
    assert!(!caller.is_for("m", id) || id.len() >= fixed, "{pattern:?} {id:?}");
}
