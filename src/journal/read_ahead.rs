//! Reads a journal on a thread of its own, so that parsing and judging share the work of two processors.

use std::{
    io,
    sync::mpsc::{Receiver, sync_channel},
    vec::IntoIter,
};

use super::{event::Entry, reader::ReadError, reader::Reader};

/// Entries handed over at once: a thousand make the hand-over cheap.
const BATCH: usize = 1024;
/// Batches that wait: together a few megabytes at most.
const WAITING: usize = 4;

/// The entries of a [`Reader`], read ahead. Ends where the reader first answers `None`.
pub struct ReadAhead {
    batches: Receiver<Vec<Result<Entry, ReadError>>>,
    batch: IntoIter<Result<Entry, ReadError>>,
}

impl ReadAhead {
    /// Begins to read. The thread ends with the journal, or when this is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(reader: Reader) -> io::Result<Self> {
        let (sender, batches) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("journal-reader".to_owned())
            .spawn(move || {
                let mut reader = reader;
                loop {
                    let batch: Vec<_> = reader.by_ref().take(BATCH).collect();
                    if batch.is_empty() || sender.send(batch).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            batches,
            batch: Vec::new().into_iter(),
        })
    }
}

impl Iterator for ReadAhead {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.batch.next() {
                return Some(entry);
            }
            self.batch = self.batches.recv().ok()?.into_iter();
        }
    }
}
