//! From what the operating system says to what the engine is told.

use std::io::{self, ErrorKind};

use twinflow_operators::store::StoreError;

/// An error of a running log: a full disk is told from everything else.
pub(super) fn disk_error(doing: impl Into<String>, cause: io::Error) -> StoreError {
    let doing = doing.into();
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { doing },
        _ => StoreError::Io { doing, cause },
    }
}

/// An error of a log that is being opened: a directory that is not ours to write has a remedy.
pub(super) fn open_error(place: &str, doing: &str, cause: io::Error) -> StoreError {
    match cause.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Refused {
            why: format!(
                "state directory \"{place}\" cannot be used ({doing} it: {cause}); give the \
                 user that runs twinflow write access to it, or choose another directory"
            ),
        },
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => StoreError::Refused {
            why: format!(
                "state directory \"{place}\" is not a directory; choose a new or empty directory"
            ),
        },
        _ => disk_error(format!("{doing} state directory \"{place}\""), cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_directory_are_told_from_the_rest() {
        let full = disk_error("append", ErrorKind::StorageFull.into());
        assert!(matches!(full, StoreError::Full { doing } if doing == "append"));
        let other = disk_error("append", ErrorKind::Other.into());
        assert!(matches!(other, StoreError::Io { .. }));
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let refused = open_error("state", "lock", kind.into()).to_string();
            assert!(refused.contains("\"state\" cannot be used (lock it: "), "{refused}");
            assert!(refused.contains("write access"), "{refused}");
        }
    }
}
