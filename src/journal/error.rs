//! Why a journal cannot be written.

use std::{io, path::PathBuf};

use super::reader::ReadError;

/// Why the journal cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The folder cannot be made or listed.
    #[error("cannot prepare the journal folder {path}")]
    Prepare {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a journal already.
    #[error("{path} already holds a journal")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A segment cannot be opened.
    #[error("cannot open journal segment {path}")]
    Open {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A segment cannot be written or synced.
    #[error("cannot write journal segment {path}")]
    Write {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full, the reserve is used up, and as much as is allowed waits in memory.
    #[error("no room for the journal in {path}: the reserve is used up")]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// The journal that is to be continued cannot be read.
    #[error("cannot read the journal that is to be continued")]
    Resume(#[source] ReadError),
    /// An entry is longer than what a reader accepts.
    #[error(
        "an entry of the journal takes {bytes} bytes, and {limit} can be read again; the first one holds the plan: plan fewer faults"
    )]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// What is accepted in its place, in bytes.
        limit: usize,
    },
    /// An entry cannot be encoded.
    #[error("cannot encode a journal entry")]
    Encode(#[source] serde_json::Error),
    /// The compressing thread cannot be started.
    #[error("cannot start the thread that compresses journal segments")]
    Thread(#[source] io::Error),
}
