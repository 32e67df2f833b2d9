//! Operations on a node's disk, done by the privileged helper.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ids::NodeName, time::micros};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOp {
    /// What the node writes is throttled at its block device.
    Slow {
        /// Write operations per second.
        write_iops: Option<u64>,
        /// Bytes written per second.
        write_bytes_per_second: Option<u64>,
    },
    /// The throttles are the plan's own again; nothing is done where the node does not run.
    Unslow,
    /// Who writes waits. A process of its own thaws some time after `lasts`, whoever is left.
    Freeze {
        /// How long it is meant to last.
        #[serde(with = "micros")]
        lasts: Duration,
    },
    /// Who waited goes on; nothing is done where nothing is frozen.
    Thaw,
    /// The file system gives up and takes no more writes: ext4 only.
    ReadOnly,
    /// The block device has no more blocks for what was never written before: thin disks only.
    RunDry {
        /// Bytes that it still has.
        leave: u64,
    },
    /// The file system stops as if its power were cut, and the node's process with it.
    CutPower {
        /// The fault: nodes of one fault are cut at one moment.
        fault: String,
        /// All nodes of the fault.
        together: Vec<NodeName>,
        /// What of the unsynced writes survives.
        keep: Keep,
    },
    /// The node runs on a healthy disk: heals what ended its file system. Where the file system is not well, the node
    /// stops, its image is checked and put on a fresh loop device, and the node starts.
    Renew,
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Nothing: the cord is cut.
    #[default]
    Nothing,
    /// Names and sizes that were in the file system's log, not the bytes: files may be empty.
    Metadata,
    /// Everything: only the disk goes away.
    All,
}
