//! The disk that a node gets.

use serde::{Deserialize, Serialize};

/// A node's data disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// Where it is mounted.
    pub path: String,
    /// Its kind.
    pub kind: DiskKind,
    /// Usable bytes.
    pub size: u64,
    /// Inodes, or what the file system chooses.
    pub inodes: Option<u64>,
    /// Write operations per second, on block devices only.
    pub write_iops: Option<u64>,
    /// Bytes written per second, on block devices only.
    pub write_bytes_per_second: Option<u64>,
    /// A block of the device is taken from a backing of its own when it is first written, so that the device can run
    /// dry; on block devices only.
    #[serde(default)]
    pub thin: bool,
    /// Bytes that one block adds to the disk before pruning, as the profile knows or measured it.
    pub bytes_per_block: Option<u64>,
    /// Bytes that an empty node uses.
    pub bytes_at_rest: Option<u64>,
    /// Blocks that are kept, after which the data size is flat; `None` keeps all.
    pub retention: Option<u64>,
}

/// Kinds of constrained disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// The best that is allowed: `ext4` with the helper, else `tmpfs`.
    Auto,
    /// A size-limited tmpfs volume, held by the keeper.
    Tmpfs,
    /// ext4 on a loop device: real block device, real fsync.
    Ext4,
    /// xfs on a loop device.
    Xfs,
    /// A FUSE file system over an ext4 disk, which can be told to fail and to lose what was not synced.
    Faulty,
}

impl DiskKind {
    /// Whether such a disk is, for sure, a file system on a block device of its own.
    #[must_use]
    pub fn is_block(self) -> bool {
        matches!(self, Self::Ext4 | Self::Xfs)
    }
}
