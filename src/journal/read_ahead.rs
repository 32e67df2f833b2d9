//! Reads a journal on a thread of its own, so that parsing and judging share the work of two processors.

use std::{
    collections::VecDeque,
    io,
    sync::mpsc::{Receiver, sync_channel},
};

use super::{event::Entry, reader::ReadError, reader::Reader};

/// Entries handed over at once: a thousand make the hand-over cheap.
const BATCH: usize = 1024;
/// Batches that wait: together a few megabytes at most.
const WAITING: usize = 4;

/// Entries read at once where there is no other processor: so many stay in a core's nearest cache until they are judged.
const HERE: usize = 64;

/// The entries of a [`Reader`], read ahead. Ends where the reader first answers `None`.
pub struct ReadAhead {
    source: Source,
    batch: Batch,
}

type Batch = VecDeque<Result<Entry, ReadError>>;

enum Source {
    Thread(Receiver<Batch>),
    /// On the thread of who asks. `None`: it has ended.
    Here(Option<Box<Reader>>),
}

impl ReadAhead {
    /// Begins to read: on a thread of its own, where there is a processor for it. The thread ends with the journal, or
    /// when this is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(reader: Reader) -> io::Result<Self> {
        if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
            return Ok(Self::here(reader));
        }
        let (sender, batches) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("journal-reader".to_owned())
            .spawn(move || {
                let mut reader = reader;
                loop {
                    let mut batch = Batch::with_capacity(BATCH);
                    batch.extend(reader.by_ref().take(BATCH));
                    let ends = batch.len() < BATCH;
                    if sender.send(batch).is_err() || ends {
                        return;
                    }
                }
            })?;
        Ok(Self {
            source: Source::Thread(batches),
            batch: Batch::new(),
        })
    }

    /// Reads on the thread of who asks, some hundred entries at a time: parser and judge take turns less often, and find
    /// what they need in the caches.
    #[must_use]
    pub fn here(reader: Reader) -> Self {
        Self {
            source: Source::Here(Some(Box::new(reader))),
            batch: Batch::with_capacity(HERE),
        }
    }
}

impl Iterator for ReadAhead {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.batch.pop_front() {
                return Some(entry);
            }
            match &mut self.source {
                Source::Thread(batches) => self.batch = batches.recv().ok()?,
                Source::Here(reader) => {
                    self.batch.extend(reader.as_mut()?.take(HERE));
                    // The reader has answered `None`, and might go on with a journal that grows.
                    if self.batch.len() < HERE {
                        *reader = None;
                    }
                }
            }
        }
    }
}
