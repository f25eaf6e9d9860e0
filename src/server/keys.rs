//! The keys of a server: read at the start, made and taken back by the command line.

use std::{path::Path, sync::Arc};

use twinflow_connectors::{
    error::ConnectorError,
    rest::access::{Access, KeyEntry, Role, edit, new_key, read},
};

use super::audit::Audit;
use crate::{
    config::ServerSettings,
    error::{Error, ErrorKind, Result},
};

/// The keys that the file names; `None` when it names none, and everybody is let in.
pub(super) fn open(server: &ServerSettings, audit: &Arc<Audit>) -> Result<Option<Arc<Access>>> {
    let Some(file) = &server.keys_file else { return Ok(None) };
    let audit = Arc::clone(audit);
    let on_failed = Arc::new(move |failed| audit.login_failed(&failed));
    let access = Access::open(file, server.key_requests_per_sec, on_failed).map_err(unusable)?;
    if access.keys() == 0 {
        let file = file.display();
        tracing::warn!(%file, "there is no key: nobody is let in; twinflow keys create makes one");
    }
    Ok(Some(Arc::new(access)))
}

/// Makes a key; gives its text, which is kept nowhere.
pub(super) fn create(
    file: &Path,
    role: Role,
    models: Vec<String>,
    (twins, client_id): (String, Option<String>),
    audit: impl FnOnce(&KeyEntry) -> Result<()>,
) -> Result<String> {
    let mut random = [0; 37];
    getrandom::fill(&mut random).map_err(|error| {
        let what = "the operating system has no random bytes";
        Error::new(ErrorKind::Unavailable, what).because(error.to_string())
    })?;
    let (key, entry) = new_key(random, role, models, twins);
    let entry = KeyEntry { client_id, ..entry };
    let twins = entry.twins_of_client();
    twins.map_err(|problem| Error::new(ErrorKind::Usage, problem))?;
    let kept = entry.clone();
    edit(file, |keys| {
        keys.push(entry);
        Ok(())
    })
    .map_err(unusable)?;
    audit(&kept)?;
    Ok(key)
}

/// Takes a key back.
pub(super) fn revoke(
    file: &Path,
    prefix: &str,
    audit: impl FnOnce(&KeyEntry) -> Result<()>,
) -> Result<()> {
    let gone = edit(file, |keys| {
        let place = keys.iter().position(|key| key.prefix == prefix);
        Ok(place.map(|place| keys.remove(place)))
    });
    let Some(gone) = gone.map_err(unusable)? else {
        let what = format!("{} has no key with the prefix \"{prefix}\"", file.display());
        return Err(Error::new(ErrorKind::Refused, what));
    };
    audit(&gone)
}

/// All keys, as far as they are kept.
pub(super) fn list(file: &Path) -> Result<Vec<KeyEntry>> {
    read(file).map_err(unusable)
}

fn unusable(error: ConnectorError) -> Error {
    Error::misconfigured("server.keys_file").because(error)
}
