//! The file below redb: counted, and with the last words of the operating system kept for the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use rustix::fs::{Advice, fadvise};

use super::words;

/// Counters of the file since the start, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Calls that make writes durable.
    pub syncs: AtomicU64,
    /// Microseconds spent in them.
    pub sync_microseconds: AtomicU64,
    /// Transactions that are durable.
    pub commits: AtomicU64,
    /// Microseconds spent in them, syncs included.
    pub commit_microseconds: AtomicU64,
    /// Writes that failed.
    pub failures: AtomicU64,
    /// Times that the file was opened again after a failure.
    pub reopened: AtomicU64,
    /// The oldest height stored.
    pub oldest: AtomicU64,
    /// The system's last complaint; empty if there was none since the file was opened.
    pub(super) complaint: Mutex<String>,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn complaint(&self) -> String {
        self.complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn forget_complaint(&self) {
        self.complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn note(&self, error: &io::Error) {
        *self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = words(error);
    }
}

/// Drops what memory holds of the file, so that the disk is read. A page that could not be written is kept by the kernel
/// as if it had been: who reads it builds on what is not on the disk, and learns so only after the next mount.
fn forget_cached(file: &File) -> io::Result<()> {
    // What waits to be written cannot be dropped: it is written first, or opening fails and is tried again.
    file.sync_all()?;
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// `FileBackend`, counted.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    counters: Arc<Counters>,
}

impl Backend {
    pub(super) fn open(path: &Path, counters: &Arc<Counters>) -> io::Result<Self> {
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        forget_cached(&file)?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self {
            file,
            counters: Arc::clone(counters),
        })
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.counters.note(error))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noted(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let started = Instant::now();
        let result = self.noted(self.file.sync_data());
        Counters::add(&self.counters.syncs, 1);
        let spent = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Counters::add(&self.counters.sync_microseconds, spent);
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        Counters::add(&self.counters.written_bytes, data.len() as u64);
        self.noted(self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
