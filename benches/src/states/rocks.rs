//! RocksDB with the same states: one batch for each burst, written with a sync.
//!
//! Estimate: 1-2 us a state for the batch, its copy into the log and the table in memory; merging
//! of tables writes each byte 2-4 times and takes the second core.
//!
//! The C interface of the system's library is called as it is: a crate for it would bring 17 others
//! and a C parser into the lock file of everybody, for one line of a table. A state is given as
//! bytes that are there already; no decoding, no call, no twin.

#![expect(unsafe_code, reason = "RocksDB has a C interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::ptr;

use super::Measured;
use super::cell::Cell;
use crate::Result;
use crate::record::Records;

#[link(name = "rocksdb")]
unsafe extern "C" {
    fn rocksdb_options_create() -> *mut c_void;
    fn rocksdb_options_destroy(options: *mut c_void);
    fn rocksdb_options_increase_parallelism(options: *mut c_void, threads: c_int);
    fn rocksdb_options_set_create_if_missing(options: *mut c_void, yes: c_uchar);
    fn rocksdb_open(
        options: *const c_void,
        path: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn rocksdb_close(db: *mut c_void);
    fn rocksdb_writeoptions_create() -> *mut c_void;
    fn rocksdb_writeoptions_destroy(options: *mut c_void);
    fn rocksdb_writeoptions_set_sync(options: *mut c_void, yes: c_uchar);
    fn rocksdb_writebatch_create() -> *mut c_void;
    fn rocksdb_writebatch_destroy(batch: *mut c_void);
    fn rocksdb_writebatch_clear(batch: *mut c_void);
    fn rocksdb_writebatch_put(
        batch: *mut c_void,
        key: *const c_char,
        key_len: usize,
        value: *const c_char,
        value_len: usize,
    );
    fn rocksdb_write(
        db: *mut c_void,
        options: *const c_void,
        batch: *mut c_void,
        error: *mut *mut c_char,
    );
    fn rocksdb_readoptions_create() -> *mut c_void;
    fn rocksdb_readoptions_destroy(options: *mut c_void);
    fn rocksdb_get(
        db: *mut c_void,
        options: *const c_void,
        key: *const c_char,
        key_len: usize,
        value_len: *mut usize,
        error: *mut *mut c_char,
    ) -> *mut c_char;
    fn rocksdb_free(pointer: *mut c_void);
}

/// Measures it, opens it once more and reads every state.
pub(super) fn measure(cell: &Cell<'_>) -> Result<Measured> {
    let dir = cell.directory()?;
    let path = CString::new(dir.path().join("rocks").to_string_lossy().as_bytes())?;
    let mut value = vec![b'x'; usize::try_from(cell.state_bytes)?];
    let db = Db::open(&path)?;
    let mut measured = cell.repeat(|changes| {
        for number in changes {
            value[..8].copy_from_slice(&number.to_le_bytes());
            db.put(&Records::id(number % cell.twins), &value);
        }
        db.commit()
    })?;
    drop(db);
    let db = Db::open(&path)?;
    let end = measured.states + cell.changed;
    for number in end.saturating_sub(cell.twins)..end {
        let stored = db.get(&Records::id(number % cell.twins))?;
        measured.right &= stored.is_some_and(|stored| stored.starts_with(&number.to_le_bytes()));
    }
    Ok(measured)
}

/// An open database, a batch, and options: pointers that RocksDB has given and gets back once.
struct Db {
    options: *mut c_void,
    db: *mut c_void,
    synced: *mut c_void,
    reading: *mut c_void,
    batch: *mut c_void,
}

impl Db {
    fn open(path: &CStr) -> Result<Self> {
        let mut error = ptr::null_mut();
        // SAFETY: the pointers are RocksDB's own, used on this thread and given back in `drop`;
        // `path` ends with a nought, and `error` is a place for an error's text.
        let db = unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_increase_parallelism(options, 2);
            rocksdb_options_set_create_if_missing(options, 1);
            let synced = rocksdb_writeoptions_create();
            rocksdb_writeoptions_set_sync(synced, 1);
            let (reading, batch) = (rocksdb_readoptions_create(), rocksdb_writebatch_create());
            let db = rocksdb_open(options, path.as_ptr(), &raw mut error);
            Self { options, db, synced, reading, batch }
        };
        told(error)?;
        Ok(db)
    }

    /// Adds a state to the batch.
    fn put(&self, key: &[u8], value: &[u8]) {
        // SAFETY: RocksDB copies as many bytes as it is told, which are those of the slices.
        unsafe {
            rocksdb_writebatch_put(
                self.batch,
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
            );
        }
    }

    /// Writes the batch, synced.
    fn commit(&self) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: all pointers are open, see `open`.
        unsafe {
            rocksdb_write(self.db, self.synced, self.batch, &raw mut error);
            rocksdb_writebatch_clear(self.batch);
        }
        told(error)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (mut len, mut error) = (0, ptr::null_mut());
        let (pointer, key_len) = (key.as_ptr().cast(), key.len());
        // SAFETY: as above; what is given is null or `len` bytes, ours until they are freed.
        let (value, copy) = unsafe {
            let value =
                rocksdb_get(self.db, self.reading, pointer, key_len, &raw mut len, &raw mut error);
            let copy = (!value.is_null())
                .then(|| std::slice::from_raw_parts(value.cast::<u8>(), len).to_vec());
            (value, copy)
        };
        // SAFETY: `value` is RocksDB's or null, which it takes as well.
        unsafe { rocksdb_free(value.cast()) };
        told(error)?;
        Ok(copy)
    }
}

/// An error's text, if there is one.
fn told(error: *mut c_char) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: RocksDB's errors end with a nought, and are ours until they are freed.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: nothing refers to it any more.
    unsafe { rocksdb_free(error.cast()) };
    Err(format!("RocksDB: {text}").into())
}

impl Drop for Db {
    fn drop(&mut self) {
        // SAFETY: each pointer is given back once, the database before its options.
        unsafe {
            rocksdb_writebatch_destroy(self.batch);
            rocksdb_readoptions_destroy(self.reading);
            rocksdb_writeoptions_destroy(self.synced);
            if !self.db.is_null() {
                rocksdb_close(self.db);
            }
            rocksdb_options_destroy(self.options);
        }
    }
}
