//! All keys by their prefix, read again when their file changes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    file::{self, wrong},
    key::{Caller, Key, KeyEntry, digest_of, prefix},
    rate::Bucket,
};
use crate::{error::ConnectorError, rest::reload::Reloaded};

type Keys = HashMap<String, Arc<Key>>;

#[derive(Debug)]
pub(super) struct KeyRing {
    path: PathBuf,
    requests_per_sec: u32,
    keys: Reloaded<Keys>,
}

impl KeyRing {
    pub(super) fn open(path: &Path, requests_per_sec: u32) -> Result<Self, ConnectorError> {
        let read = || load(path, requests_per_sec, &Keys::new());
        let keys = Reloaded::new(vec![path.to_owned()], read)?;
        Ok(Self { path: path.to_owned(), requests_per_sec, keys })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.last().len()
    }

    /// Whose key it is.
    pub(super) fn find(&self, presented: &str) -> Option<Caller> {
        let keys = self.keys.get(|old| load(&self.path, self.requests_per_sec, old));
        // Calculated whether or not the prefix is known, so that no time tells which are.
        let digest = digest_of(presented);
        let key = keys.get(prefix(presented)?)?;
        key.is(&digest).then(|| Caller(Arc::clone(key)))
    }
}

fn load(path: &Path, requests_per_sec: u32, old: &Keys) -> Result<Keys, ConnectorError> {
    let mut keys = Keys::new();
    for entry in file::read(path)? {
        let KeyEntry { prefix, .. } = &entry;
        let prefix = prefix.clone();
        let turns = old.get(&prefix).map_or_else(
            || Arc::new(Bucket::new(requests_per_sec)),
            |known| Arc::clone(known.turns()),
        );
        let key = Key::new(entry, turns).map_err(|why| wrong(path, why))?;
        if keys.insert(prefix.clone(), Arc::new(key)).is_some() {
            return Err(wrong(path, format!("two keys have the prefix {prefix}")));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use super::{
        super::{file::edit, key::new_key, role::Role},
        *,
    };

    fn change(path: &Path, change: impl FnOnce(&mut Vec<KeyEntry>)) {
        edit(path, |keys| {
            change(keys);
            Ok(())
        })
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_counts_and_a_revoked_one_does_not_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (first, first_entry) = new_key([1; 37], Role::Read, vec!["*".into()], "*".into());
        let (second, second_entry) = new_key([2; 37], Role::Read, vec!["*".into()], "*".into());
        change(&path, |keys| keys.push(first_entry));
        let ring = KeyRing::open(&path, 10).unwrap();
        assert_eq!(ring.find(&first).unwrap().prefix(), "0101010101");
        let taken = ring.find(&first).unwrap().take_turn();
        assert_eq!(taken, Ok(()));
        change(&path, |keys| keys.push(second_entry));
        assert!(ring.find(&second).is_none(), "not looked at yet");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.find(&second).is_some() && ring.find(&first).is_some());
        change(&path, |keys| keys.retain(|key| key.prefix != "0101010101"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.find(&second).is_some() && ring.find(&first).is_none());
        for bad in ["", "tf_", "tf_0202020202_", "tf_0202020202_00", "0202020202", "tf__"] {
            assert!(ring.find(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_used_leaves_the_last_good_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (key, entry) = new_key([1; 37], Role::Read, vec!["*".into()], "*".into());
        change(&path, |keys| keys.push(entry));
        let ring = KeyRing::open(&path, 10).unwrap();
        let wide = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, wide).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.find(&key).is_some());
        assert!(KeyRing::open(&path, 10).is_err(), "and no new start begins with it");
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.find(&key).is_some());
        edit(&path, |_| Ok(())).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ring.find(&key).is_none(), "an empty file of keys is one");
    }
}
