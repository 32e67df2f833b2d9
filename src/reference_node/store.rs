//! The durable store: blocks with their certificates, the state, the lock and the view, in one redb file.
//!
//! ```text
//!   node --Write--> [requests] --> store thread --> redb --fsync--> disk
//!   node <--Done-- [results]  <--'      |
//!   rpc, sync --read--> (same queue) ---'
//! ```
//!
//! Invariants: every write is one transaction, and is answered exactly once, in the order asked, only after it is
//! durable. The thread may hang on the disk; nobody waits for it without a deadline. After a failed write the store
//! says so, closes the file and opens it again for the next write (redb refuses to go on after an I/O error), so
//! that the node lives on as soon as there is room. What was acknowledged is in a finished transaction and stays.

mod backend;
mod database;
mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, mpsc};
use std::thread;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc as channel, oneshot};

use super::chain::{ChainState, StateError};
use super::consensus::{CommittedBlock, Recovered, Write, WriteId};
use super::defects::Defects;
use super::types::{DecodeError, Hash, Height, ShardId};

pub use backend::Counters;

/// The store's file in the data directory.
pub const FILE: &str = "reference.redb";

/// Reads that may wait for the thread: beyond it a reader is told to come again.
const READS: usize = 64;

/// What a store is opened for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of the file.
    pub directory: PathBuf,
    /// Names the network; a store of another one is refused.
    pub network: Hash,
    /// The node's shard.
    pub shard: ShardId,
    /// Blocks kept, none: all.
    pub retention: Option<u64>,
    /// Bugs of the store that are switched on.
    pub defects: Defects,
}

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be made.
    #[error("create {path}: {}", words(source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file cannot be opened, read or written. The text has the operating system's words.
    #[error("{operation} {path}: {cause}")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// redb's or the system's words.
        cause: String,
        /// Whether trying again can help: an error of the disk, not of the content.
        transient: bool,
    },
    /// The content is of another network or shard.
    #[error("{path} belongs to another network or shard")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A stored value cannot be read.
    #[error("stored {what} is damaged")]
    Damaged {
        /// Which value.
        what: &'static str,
        /// How.
        #[source]
        source: DecodeError,
    },
    /// The stored state cannot be read.
    #[error("stored state is damaged")]
    State(#[source] StateError),
    /// The stored state is not the one that the stored head commits to.
    #[error("stored state does not belong to block {0}")]
    StateMismatch(Height),
    /// Something that every store holds is not there.
    #[error("stored {0} is missing")]
    Missing(&'static str),
    /// A block that does not follow the stored head.
    #[error("block {height} does not follow the stored head {head}")]
    OutOfOrder {
        /// The block.
        height: Height,
        /// The head on disk.
        head: Height,
    },
    /// No thread for the store.
    #[error("start the store's thread")]
    Thread(#[source] io::Error),
    /// Too many readers, or the store is gone.
    #[error("the store is busy")]
    Busy,
    /// The file is closed after a failure and is not tried again yet.
    #[error("{0}")]
    Closed(String),
}

impl StoreError {
    /// Whether the same start may succeed later: the disk is full or ill, the content is not at fault.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Directory { .. }
                | Self::Database {
                    transient: true,
                    ..
                }
        )
    }
}

/// The operating system's words in the form that logs are searched for: lower case, without the number.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// How a write ended.
#[derive(Debug)]
pub struct Done {
    /// Which write.
    pub id: WriteId,
    /// How it ended; the error in the store's words.
    pub result: Result<(), String>,
}

enum Request {
    Write {
        id: WriteId,
        write: Box<Write>,
    },
    Blocks {
        from: Height,
        count: u32,
        bytes: usize,
        answer: oneshot::Sender<Result<Range, StoreError>>,
    },
}

/// Consecutive blocks from the store.
#[derive(Debug)]
pub struct Range {
    /// The blocks, the first one with the height asked for; empty when that one is not there.
    pub blocks: Vec<CommittedBlock>,
    /// The oldest height that is stored.
    pub oldest: Height,
}

/// The handle on the store's thread. Dropping it ends the thread after what was asked for.
pub struct Store {
    requests: Sender<Request>,
    reads: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Store {
    /// Opens or creates the store and reads what it holds. A new store begins with `genesis`.
    ///
    /// # Errors
    /// When disk or content do not allow it; `is_transient` tells whether to try again.
    pub fn open(
        settings: Settings,
        genesis: impl FnOnce() -> (CommittedBlock, ChainState),
        results: channel::UnboundedSender<Done>,
    ) -> Result<(Self, Recovered), StoreError> {
        let counters = Arc::new(Counters::default());
        let (database, recovered) =
            database::Database::open_and_recover(&settings, &counters, genesis)?;
        // The core asks for few writes before it waits for their results, and reads are limited below: the queue
        // is bounded by its senders.
        let (requests, queue) = mpsc::channel();
        let worker = worker::Worker::new(
            settings,
            Arc::clone(&counters),
            database,
            &recovered,
            results,
        );
        thread::Builder::new()
            .name("store".into())
            .spawn(move || worker.run(&queue))
            .map_err(StoreError::Thread)?;
        Ok((
            Self {
                requests,
                reads: Arc::new(Semaphore::new(READS)),
                counters,
            },
            recovered,
        ))
    }

    /// Asks for a write; never waits. The answer comes through `results`.
    pub fn write(&self, id: WriteId, write: Write) {
        // The thread ends only after this handle: a send cannot fail while it exists, short of a panic there,
        // after which the silence is what the node's log and RPC show.
        let _ = self.requests.send(Request::Write {
            id,
            write: Box::new(write),
        });
    }

    /// Reads consecutive blocks, at most `count` and about `bytes` of them (but at least one).
    ///
    /// # Errors
    /// When the store is busy, closed or damaged. May take as long as the disk does: use a deadline.
    pub async fn blocks(
        &self,
        from: Height,
        count: u32,
        bytes: usize,
    ) -> Result<Range, StoreError> {
        let (answer, result) = oneshot::channel();
        let _permit = self.reads.try_acquire().map_err(|_| StoreError::Busy)?;
        self.requests
            .send(Request::Blocks {
                from,
                count,
                bytes,
                answer,
            })
            .map_err(|_| StoreError::Busy)?;
        result.await.map_err(|_| StoreError::Busy)?
    }

    /// Counters of the file: writes, syncs, failures.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// What a store holds that no node has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Height of the newest block.
    pub height: Height,
    /// Its hash.
    pub hash: Hash,
}

/// Opens the store in `directory` as a node does that starts, whatever its network, with all checks, and closes it. A
/// store that was not closed is repaired by that.
///
/// # Errors
/// What a node that starts would say.
pub fn head(directory: &Path) -> Result<Head, StoreError> {
    let head = database::Database::look(directory)?;
    Ok(Head {
        height: head.block.header.height,
        hash: head.block.hash(),
    })
}

/// The store's file in `directory`.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}
