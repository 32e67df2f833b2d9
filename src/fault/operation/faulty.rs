//! Operations on a node's FUSE disk, taken by the process that serves it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::micros;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultyOp {
    /// Some operations on files fail or wait. It ends by itself when its time is over, whoever is left to ask.
    Misbehave {
        /// The fault.
        fault: String,
        /// Its time.
        #[serde(with = "micros")]
        lasts: Duration,
        /// Which operations, and how.
        rule: FileRule,
    },
    /// The power of the node and its disk fails, if it can be at the moment of a sync: what was not synced is gone, and
    /// the node does not run. The disk has power again when its time is over.
    PowerCut {
        /// The fault.
        fault: String,
        /// Its time.
        #[serde(with = "micros")]
        lasts: Duration,
        /// What is left of the last write.
        torn: Torn,
        /// Only a sync of such a file is waited for: a path from the disk's root with `*` and `?`; any if absent.
        path: Option<String>,
        /// By which it is drawn what is left.
        seed: u64,
    },
    /// The disk behaves and has power.
    Behave {
        /// The fault.
        fault: String,
    },
}

/// Which operations on files, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRule {
    /// Which; at least one.
    pub operations: Vec<FileOperation>,
    /// Only on paths like this, from the disk's root without a leading slash, with `*` and `?`; any if absent.
    pub path: Option<String>,
    /// Only reads and writes that touch bytes from here on.
    pub from: u64,
    /// Only reads and writes that touch bytes before this; no bound if absent.
    pub to: Option<u64>,
    /// How many of a million, drawn by the seed.
    pub millionths: u32,
    /// By which it is drawn.
    pub seed: u64,
    /// Answered only after this time; held for the whole time of the fault if that is shorter.
    #[serde(with = "micros")]
    pub delay: Duration,
    /// With what it fails; done after the delay if absent.
    pub error: Option<FileError>,
}

/// Operations that a FUSE disk can be told to fail.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FileOperation {
    /// A file is opened.
    Open,
    /// Bytes are read. What the kernel still has in its cache is not asked for.
    Read,
    /// Bytes are written.
    Write,
    /// A file or a folder is synced.
    Fsync,
    /// A file, folder, link or pipe is made.
    Create,
    /// A name is moved.
    Rename,
    /// A name is removed.
    Unlink,
    /// A file is cut or made longer.
    Truncate,
    /// Space is reserved.
    Allocate,
    /// A folder is listed.
    List,
}

/// Errors that a FUSE disk can be told to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum FileError {
    /// Input or output error.
    Eio,
    /// No space left.
    Enospc,
    /// Quota exceeded.
    Edquot,
    /// Read-only file system.
    Erofs,
    /// File too large.
    Efbig,
    /// No such device.
    Enodev,
    /// Timed out.
    Etimedout,
}

/// What a power cut leaves of the last write that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Torn {
    /// Nothing, nor of any other write that was not synced.
    Nothing,
    /// Its first part. Earlier writes to the same file are whole.
    Prefix,
    /// Some of its sectors. Earlier writes to the same file are whole.
    Sectors,
}
