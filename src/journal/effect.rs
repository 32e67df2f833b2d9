//! What a fault does to a node, by which detectors reason: never by the name of the fault.

use serde::{Deserialize, Serialize};

/// An effect on one node, in force from the acknowledged start of a fault until its heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Its process does not run.
    Down,
    /// Its process stands still.
    Frozen,
    /// Some or all of its peers cannot be reached.
    CutOff,
    /// Its packets are late, lost, damaged or few.
    Impaired,
    /// Its disk takes no more bytes.
    DiskFull,
    /// Its file system has no more inodes.
    InodesFull,
    /// Its disk is slow.
    DiskSlow,
    /// Its disk does not answer.
    DiskHang,
    /// Its disk answers with errors.
    DiskErrors,
    /// Its file system is read-only.
    DiskReadOnly,
    /// What it had not synced is gone.
    LostWrites,
    /// Its processor time is taken.
    CpuStarved,
    /// Its memory is taken.
    MemoryPressed,
    /// It cannot open more files.
    FilesExhausted,
    /// It cannot start more processes or threads.
    ProcessesExhausted,
    /// Space on its disk is used by files that nobody can see.
    GhostBytes,
    /// Its clock is wrong.
    ClockOff,
    /// It runs another build.
    OtherBuild,
    /// Its disk was emptied or put back to an earlier moment: its head goes back.
    SetBack,
}

/// The kind under which the standstill of a whole network is journalled while a snapshot of its disks is made: excused
/// like a fault, and none.
pub const SNAPSHOT: &str = "snapshot";

/// The kind under which is journalled what the recovery ladder does to nodes: excused like a fault of the same effects, and
/// none that the plan asked for.
pub const RECOVERY: &str = "recovery";
