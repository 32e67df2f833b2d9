//! Operations by the toolbox inside a node, as the node's own user, within the node's own limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::micros;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InsideOp {
    /// An antagonist starts. It ends itself when its time is over and takes back what it did, whoever is left to ask.
    Start {
        /// The fault: marks the process and its files.
        fault: String,
        /// Its time.
        #[serde(with = "micros")]
        lasts: Duration,
        /// What it does.
        antagonist: Antagonist,
    },
    /// The antagonist of this fault ends and its files are gone, also where the node does not run any more.
    End {
        /// The fault.
        fault: String,
    },
}

/// What is done inside a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Antagonist {
    /// A ballast file.
    DiskFill {
        /// Bytes that stay free.
        leave: u64,
        /// Takes what becomes free meanwhile.
        keep: bool,
        /// Bytes a second.
        rate: Option<u64>,
    },
    /// Empty files.
    InodeExhaustion {
        /// Inodes that stay free.
        leave: u64,
    },
    /// A lower limit of open files for process 1.
    FileLimit {
        /// Files that it can still open.
        leave: u64,
    },
    /// Sleeping threads.
    PidExhaustion {
        /// How many can still be started.
        leave: u64,
    },
    /// Busy threads.
    CpuHog {
        /// How many.
        threads: u32,
    },
    /// Memory.
    MemoryHog {
        /// Bytes below the limit that stay free.
        leave: u64,
    },
    /// A wrong clock.
    ClockSkew {
        /// Microseconds ahead of the machine's; negative behind.
        ahead: i64,
    },
    /// The incident's own.
    LogScraper {
        /// Share of one core, in percent.
        cpu_percent: u32,
        /// How often the history is unpacked over again.
        amplify: u64,
        /// Bytes of the disk that stay free.
        leave: u64,
        /// Memory that it grows to.
        memory: u64,
        /// Bytes a second that it unpacks; 0 as fast as it can.
        rate: u64,
    },
}
