//! The few things the log asks of a disk, so that tests can put a worse one in its place.

use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read; it must exist.
    Read,
    /// To be read and written; it must exist.
    Write,
    /// To be written from nothing; whatever was there is gone. Only for names that no other process
    /// gives.
    Create,
    /// To be written from nothing; `AlreadyExists` if there is one.
    New,
    /// The same, for pieces of whole megabytes that nobody reads soon: past the system's cache,
    /// where the file system can do that.
    CreateUncached,
}

/// Tells a file from every other one that is there or open: its device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub u64, pub u64);

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// What may be written still.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// One directory of files.
pub trait Disk: Send + Sync + 'static {
    /// Its place, for messages.
    fn place(&self) -> String;

    /// Makes the directory, and its parents, durably.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn prepare(&self) -> io::Result<()>;

    /// Takes the directory until the value given back is dropped.
    ///
    /// # Errors
    ///
    /// [`LockError::InUse`], or the operating system's.
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError>;

    /// Names of everything in the directory, in no order.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file, over another one if there is one.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Renames a file unless there is one with the new name: in one step, whoever else tries.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or the operating system's.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;

    /// Which file has this name now, if any. Asked for with each group, so it must be cheap.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn identity(&self, name: &str) -> io::Result<Option<Identity>>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Room on the file system that it is on.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn free(&self) -> io::Result<Free>;

    /// Makes names durable: those created, renamed and removed.
    ///
    /// # Errors
    ///
    /// The operating system's. After one, nothing written before it counts.
    fn sync_names(&self) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn length(&self) -> io::Result<u64>;

    /// Fills `into` from this offset.
    ///
    /// # Errors
    ///
    /// The operating system's; `UnexpectedEof` behind the end.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Appends so many bytes from this offset; by one thread at a time.
    ///
    /// # Errors
    ///
    /// The operating system's; `UnexpectedEof` behind the end.
    fn append_to(&self, into: &mut Vec<u8>, at: u64, count: usize) -> io::Result<()> {
        let start = into.len();
        into.resize(start + count, 0);
        self.read_at(at, &mut into[start..])
    }

    /// Writes all bytes at this offset.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable, and the length with it.
    ///
    /// # Errors
    ///
    /// The operating system's. After one, nothing written before it counts.
    fn sync(&self) -> io::Result<()>;
}

/// Why a directory could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; this one, if it said so.
    InUse(Option<u32>),
    /// The operating system's answer.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Name of the file that is locked while a process has the directory.
pub(super) const LOCK: &str = "LOCK";

/// A directory of the file system: 0700, its files 0600.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Takes the directory to read it, together with others that do, and changes nothing; `None`:
    /// no process has had it where it is now.
    #[cfg(feature = "server")]
    pub(super) fn lock_to_read(&self) -> Result<Option<File>, LockError> {
        let mut file = match File::open(self.path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::Error(error)) => Err(error.into()),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(holder(&mut file))),
        }
    }
}

/// The process that has locked a file, if it said so.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    read.ok().and_then(|_| text.trim().parse().ok())
}

impl Disk for Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn prepare(&self) -> io::Result<()> {
        create(&self.path)
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(self.path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => return Err(LockError::InUse(holder(&mut file))),
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).mode(0o600);
        let creates = matches!(access, Access::Create | Access::CreateUncached);
        options.create(creates).truncate(creates).create_new(access == Access::New);
        let path = self.path.join(name);
        if access == Access::CreateUncached {
            let flag = rustix::fs::OFlags::DIRECT.bits().cast_signed();
            // Some file systems know no such thing; there it is written as anything else.
            if let Ok(file) = options.clone().custom_flags(flag).open(&path) {
                return Ok(Box::new(file));
            }
        }
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(&from, &to),
            done => Ok(done?),
        }
    }

    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        match fs::symlink_metadata(self.path.join(name)) {
            Ok(of) => Ok(Some(Identity(of.dev(), of.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn free(&self) -> io::Result<Free> {
        let of = rustix::fs::statvfs(&self.path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(of.f_frsize);
        Ok(Free { free: bytes(of.f_bavail), total: bytes(of.f_blocks) })
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// The same where the file system knows no such rename (NFS): a new link fails if there is one. A
/// crash in between leaves the old name, too; the next start removes it.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// Creates a directory and the parents that are not there, each durable in its own parent.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        done => done?,
    }
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, at)
    }

    fn append_to(&self, into: &mut Vec<u8>, at: u64, count: usize) -> io::Result<()> {
        // Into memory that nobody has filled with zeros before.
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        into.reserve(count);
        match file.take(count as u64).read_to_end(into)? == count {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_given_once_by_a_rename_and_by_a_link() {
        let root = tempfile::tempdir().unwrap();
        let disk = Directory::new(root.path());
        let put = |name: &str| fs::write(root.path().join(name), name).unwrap();
        let by_link =
            |from: &str, to: &str| link_new(&root.path().join(from), &root.path().join(to));
        for (nth, rename) in [
            &|from: &str, to: &str| disk.rename_new(from, to),
            &by_link as &dyn Fn(&str, &str) -> _,
        ]
        .into_iter()
        .enumerate()
        {
            let to = format!("to-{nth}");
            ["first", "second"].into_iter().for_each(put);
            let first = disk.identity("first").unwrap();
            rename("first", &to).unwrap();
            assert_eq!(
                (disk.identity("first").unwrap(), disk.identity(&to).unwrap()),
                (None, first)
            );
            assert_eq!(rename("second", &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(root.path().join(&to)).unwrap(), b"first");
            assert!(disk.open(&to, Access::New).is_err());
        }
    }
}
