//! The file that makes a directory ours: `twinflow-state`, with the version, the log's id, and how
//! far the log surely goes.

use std::any::Any;

use twinflow_operators::store::StoreError;

use super::disk::{Access, Disk, LOCK, LockError};
use super::error::{disk_error, open_error};
use super::format::VERSION;

/// Its name.
pub(super) const MARKER: &str = "twinflow-state";

/// Its name while an import goes on: nothing counts until it has the other one.
pub(super) const MARKER_IMPORT: &str = "twinflow-state.import";

/// Its name until it is whole.
const MARKER_NEW: &str = "twinflow-state.new";

/// What a new directory may hold already: leftovers of a start that was cut off, the audit log of
/// keys that were made before it, and what a file system puts at its root.
const HARMLESS: [&str; 4] = [LOCK, MARKER_NEW, "audit.log", "lost+found"];

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The log's id.
    pub(super) log_id: u64,
    /// The sequence of a frame that was durable once: a log that ends before it has lost its end.
    pub(super) proven: u64,
}

/// Takes the directory, makes it ours if it is new, and gives what is known of its log.
pub(super) fn take(
    disk: &dyn Disk,
    new_id: u64,
) -> Result<(Box<dyn Any + Send + Sync>, Known), StoreError> {
    let place = disk.place();
    let io = |doing: &'static str| {
        let place = place.clone();
        move |cause| open_error(&place, doing, cause)
    };
    disk.prepare().map_err(io("create"))?;
    refuse_foreign(&place, &disk.list().map_err(io("list"))?)?;
    let lock = disk.lock().map_err(|error| lock_error(&place, error))?;
    let names = disk.list().map_err(io("list"))?;
    if names.iter().any(|name| name == MARKER) {
        let bytes = read(disk).map_err(io("read the marker of"))?;
        return Ok((lock, check(&place, parse(&bytes))?));
    }
    let known = Known { log_id: new_id, proven: 0 };
    write(disk, known).map_err(io("write the marker of"))?;
    Ok((lock, known))
}

fn write(disk: &dyn Disk, known: Known) -> std::io::Result<()> {
    let file = disk.open(MARKER_NEW, Access::Create)?;
    file.write_at(0, text(known).as_bytes())?;
    file.sync()?;
    disk.rename(MARKER_NEW, MARKER)?;
    disk.sync_names()
}

/// Says how far the log surely goes.
pub(super) fn prove(disk: &dyn Disk, known: Known) -> Result<(), StoreError> {
    write(disk, known).map_err(|cause| disk_error(format!("write \"{MARKER}\""), cause))
}

/// The same as a new directory has it, for tests in which nothing is known.
#[cfg(test)]
pub(super) fn forget(disk: &dyn Disk) {
    let Marker::Ours(known) = parse(&read(disk).unwrap()) else { panic!("it is ours") };
    write(disk, Known { proven: 0, ..known }).unwrap();
}

/// What the marker of a directory that is ours says; changes nothing.
#[cfg(feature = "server")]
pub(super) fn of(disk: &dyn Disk) -> Result<Known, StoreError> {
    let place = disk.place();
    let names = disk.list().map_err(|cause| open_error(&place, "list", cause))?;
    refuse_foreign(&place, &names)?;
    if !names.iter().any(|name| name == MARKER) {
        let why = format!("directory \"{place}\" is no state directory: it has no \"{MARKER}\"");
        return Err(StoreError::Refused { why });
    }
    let bytes = read(disk).map_err(|cause| open_error(&place, "read the marker of", cause))?;
    check(&place, parse(&bytes))
}

/// Refuses a directory that holds anything but what a new one may hold.
#[cfg(feature = "server")]
pub(super) fn refuse_used(place: &str, names: &[String]) -> Result<(), StoreError> {
    refuse_foreign(place, names)?;
    if names.iter().any(|name| name == MARKER) {
        let why =
            format!("directory \"{place}\" holds a state already; choose a new or empty directory");
        return Err(StoreError::Refused { why });
    }
    Ok(())
}

fn read(disk: &dyn Disk) -> std::io::Result<Vec<u8>> {
    let file = disk.open(MARKER, Access::Read)?;
    let mut bytes = vec![0; file.length()?.min(4096) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn lock_error(place: &str, error: LockError) -> StoreError {
    match error {
        LockError::Io(cause) => open_error(place, "lock", cause),
        LockError::InUse(holder) => {
            let holder = holder.map_or(String::new(), |pid| format!(" (process {pid})"));
            StoreError::Refused {
                why: format!(
                    "state directory \"{place}\" is in use by another twinflow{holder}; stop it \
                     first, or choose another directory"
                ),
            }
        }
    }
}

/// Refuses a directory that holds something and is not marked as ours.
fn refuse_foreign(place: &str, names: &[String]) -> Result<(), StoreError> {
    if names.iter().any(|name| name == MARKER) {
        return Ok(());
    }
    if names.iter().any(|name| name == MARKER_IMPORT) {
        let why = format!(
            "an import into directory \"{place}\" was cut off, and nothing in it counts; remove \
             the directory and import again"
        );
        return Err(StoreError::Refused { why });
    }
    match names.iter().filter(|name| !HARMLESS.contains(&name.as_str())).min() {
        None => Ok(()),
        Some(found) => Err(StoreError::Refused {
            why: format!(
                "directory \"{place}\" is no state directory: it holds \"{found}\" and no \
                 \"{MARKER}\"; choose a new or empty directory"
            ),
        }),
    }
}

fn text(Known { log_id, proven }: Known) -> String {
    let mut text = format!("twinflow state {VERSION}\nlog {log_id:016x}\n");
    if proven > 0 {
        text.push_str(&format!("proven {proven}\n"));
    }
    format!("{text}check {:08x}\n", crc32fast::hash(text.as_bytes()))
}

#[derive(Debug, PartialEq, Eq)]
enum Marker {
    Ours(Known),
    Newer(u32),
    Damaged,
}

fn parse(bytes: &[u8]) -> Marker {
    let read = || {
        let text = std::str::from_utf8(bytes).ok()?;
        let version = text.strip_prefix("twinflow state ")?.lines().next()?.parse().ok()?;
        if version > VERSION {
            return Some(Marker::Newer(version));
        }
        let id = text.lines().nth(1)?.strip_prefix("log ")?;
        let proven = text.lines().nth(2).and_then(|line| line.strip_prefix("proven "));
        let proven = proven.map_or(Some(0), |proven| proven.parse().ok())?;
        Some(Marker::Ours(Known { log_id: u64::from_str_radix(id, 16).ok()?, proven }))
    };
    match read() {
        Some(Marker::Ours(known)) if text(known).as_bytes() != bytes => Marker::Damaged,
        Some(marker) => marker,
        None => Marker::Damaged,
    }
}

fn check(place: &str, marker: Marker) -> Result<Known, StoreError> {
    match marker {
        Marker::Ours(known) => Ok(known),
        Marker::Newer(version) => Err(newer(place, version)),
        Marker::Damaged => Err(StoreError::Corrupt {
            at: format!("\"{place}/{MARKER}\""),
            what: "it is not what was written; restore the directory from a copy".into(),
            last_good_epoch: 0,
        }),
    }
}

/// The refusal of a newer format.
pub(super) fn newer(place: &str, version: u32) -> StoreError {
    StoreError::Refused {
        why: format!(
            "state directory \"{place}\" has format {version} and this twinflow reads format \
             {VERSION}; use the newer twinflow that wrote it, or choose another directory"
        ),
    }
}

#[cfg(feature = "testing")]
pub(super) fn parse_any(bytes: &[u8]) {
    if let Marker::Ours(known) = parse(bytes) {
        assert_eq!(text(known).as_bytes(), bytes, "it is what was written and nothing else");
    }
}

#[cfg(feature = "testing")]
pub(super) fn example(proven: u64) -> String {
    text(Known { log_id: 0x1234, proven })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_and_no_flip_of_it_passes() {
        for proven in [0, 1, 987] {
            let known = Known { log_id: 0xABC, proven };
            let marker = text(known).into_bytes();
            assert_eq!(parse(&marker), Marker::Ours(known));
            for bit in 0..marker.len() * 8 {
                let mut flipped = marker.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!matches!(parse(&flipped), Marker::Ours(_)), "{proven}, bit {bit}");
            }
        }
        assert_eq!(parse(b"twinflow state 2\nwhatever comes then"), Marker::Newer(2));
    }

    #[test]
    fn only_what_a_start_leaves_behind_is_not_foreign() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(
            refuse_foreign("d", &names(&["LOCK", "twinflow-state.new", "audit.log", "lost+found"]))
                .is_ok()
        );
        assert!(refuse_foreign("d", &names(&["twinflow-state", "notes.txt"])).is_ok());
        let refused = refuse_foreign("d", &names(&["notes.txt", "LOCK"])).unwrap_err().to_string();
        assert!(refused.contains("it holds \"notes.txt\""), "{refused}");
    }
}
