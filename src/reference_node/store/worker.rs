//! The thread that owns the file.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::backend::Counters;
use super::database::Database;
use super::{Done, Range, Request, Settings, StoreError};
use crate::reference_node::consensus::{Recovered, Write};
use crate::reference_node::types::Height;

/// After a failure the file is tried again at the next write, but not sooner than this.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The pause doubles up to this: well within the recovery budget of the fastest chain after room was made.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// The file, or what is known about why there is none.
enum File {
    Open(Database),
    Closed {
        why: String,
        pause: Duration,
        retry_at: Instant,
    },
}

pub(super) struct Worker {
    settings: Settings,
    counters: Arc<Counters>,
    file: File,
    /// Height of the newest acknowledged block.
    acknowledged: Height,
    results: UnboundedSender<Done>,
}

impl Worker {
    pub(super) fn new(
        settings: Settings,
        counters: Arc<Counters>,
        database: Database,
        recovered: &Recovered,
        results: UnboundedSender<Done>,
    ) -> Self {
        Self {
            settings,
            counters,
            file: File::Open(database),
            acknowledged: recovered.head.block.header.height,
            results,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        while let Ok(request) = queue.recv() {
            match request {
                Request::Write { id, write } => {
                    let result = self.write(&write).map_err(|error| describe(&error));
                    if self.results.send(Done { id, result }).is_err() {
                        return;
                    }
                }
                Request::Blocks {
                    from,
                    count,
                    bytes,
                    answer,
                } => {
                    // Nobody waits any more when the asker's deadline passed.
                    if !answer.is_closed() {
                        let _ = answer.send(self.blocks(from, count, bytes));
                    }
                }
            }
        }
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| self.apply(write));
        if let Err(error) = &result {
            Counters::add(&self.counters.failures, 1);
            self.close_after(error);
        }
        result
    }

    fn apply(&mut self, write: &Write) -> Result<(), StoreError> {
        let File::Open(database) = &mut self.file else {
            return Err(StoreError::Busy);
        };
        match write {
            Write::Lock(lock) => database.put_lock(lock),
            Write::View(view) => database.put_view(view),
            Write::Block {
                committed,
                previous,
                state,
            } => {
                database.put_block(committed, &state.changes_since(previous))?;
                self.acknowledged = committed.block.header.height;
                Ok(())
            }
            Write::Snapshot { head, state } => {
                database.put_snapshot(head, state)?;
                self.acknowledged = head.block.header.height;
                Ok(())
            }
        }
    }

    /// Makes sure that the file is open, or says why it cannot be.
    fn open(&mut self) -> Result<(), StoreError> {
        let pause = match &self.file {
            File::Open(_) => return Ok(()),
            File::Closed { why, retry_at, .. } if Instant::now() < *retry_at => {
                return Err(StoreError::Closed(why.clone()));
            }
            File::Closed { pause, .. } => *pause,
        };
        match self.reopen() {
            Ok(database) => {
                self.counters.reopened.fetch_add(1, Ordering::Relaxed);
                self.file = File::Open(database);
                Ok(())
            }
            Err(error) => {
                self.file = closed(&error, (pause * 2).min(LONGEST_PAUSE));
                Err(error)
            }
        }
    }

    /// Invariant: what was acknowledged is there. A file that lost it is not written to again.
    fn reopen(&self) -> Result<Database, StoreError> {
        let database = Database::reopen(&self.settings, &self.counters)?;
        if database.head < self.acknowledged {
            return Err(StoreError::Missing("head that was acknowledged"));
        }
        Ok(database)
    }

    /// An error of the disk closes the file; one of order or content leaves it open.
    fn close_after(&mut self, error: &StoreError) {
        if let File::Open(_) = self.file
            && error.is_transient()
        {
            // The old handle must be gone before the file is opened again.
            self.file = closed(error, FIRST_PAUSE);
        }
    }

    fn blocks(&self, from: Height, count: u32, bytes: usize) -> Result<Range, StoreError> {
        match &self.file {
            File::Open(database) => database.blocks(from, count, bytes),
            File::Closed { why, .. } => Err(StoreError::Closed(why.clone())),
        }
    }
}

fn closed(error: &StoreError, pause: Duration) -> File {
    File::Closed {
        why: describe(error),
        pause,
        retry_at: Instant::now() + pause,
    }
}

/// The error and its causes in one line.
fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
