//! The disk that a node gets.

use serde::{Deserialize, Serialize};

use super::{PlanError, resolve::Sources, values::human_size};
use crate::profile::manifest::DiskAge;

/// Block size of all file systems that disks are made with.
const DISK_BLOCK: u64 = 4096;
/// Fullest disk that a node is given, as a share: it is to start on it.
const FULLEST: f64 = 0.95;

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
    /// It is filled before its node starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<AgePlan>,
    /// Bytes that one block adds to the disk before pruning, as the profile knows or measured it.
    pub bytes_per_block: Option<u64>,
    /// Bytes that an empty node uses.
    pub bytes_at_rest: Option<u64>,
    /// Blocks that are kept, after which the data size is flat; `None` keeps all.
    pub retention: Option<u64>,
}

/// How old a disk is when its node meets it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgePlan {
    /// Share of the file system that is used, in millionths.
    pub fill: u32,
    /// What is free is in pieces of about so many bytes; in one as far as it goes for `None`.
    pub fragments: Option<u64>,
}

impl AgePlan {
    /// Bytes of a disk of this size that are taken.
    #[must_use]
    pub fn takes(&self, size: u64) -> u64 {
        let takes = u128::from(size) * u128::from(self.fill) / 1_000_000;
        u64::try_from(takes).unwrap_or(size)
    }
}

/// The file beside a node's data that takes the room of an old disk: no snapshot holds it.
pub const AGE_FILE: &str = ".canarynet-age";

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

/// How old disks are.
///
/// # Errors
/// A level or a size that no disk has, and pieces of a disk in memory.
pub(super) fn aged(
    sources: &Sources,
    typed: &DiskAge,
    kind: DiskKind,
    size: u64,
) -> Result<AgePlan, PlanError> {
    let bad =
        |key: &str, message: &str| Err(sources.bad(&format!("profile.disk.age{key}"), message));
    let Some(fill) = typed.fill.map(|share| share.0) else {
        return bad(
            "",
            "needs `fill`, the share of the disk that is used when its node starts, like `70 %`",
        );
    };
    if !(fill > 0.0 && fill <= FULLEST) {
        return bad(".fill", "above 0 % and at most 95 %");
    }
    let age = AgePlan {
        fill: (fill * 1e6).round() as u32,
        fragments: typed.fragments.map(|size| size.0),
    };
    let Some(piece) = age.fragments else {
        return Ok(age);
    };
    if kind == DiskKind::Tmpfs {
        return bad(
            ".fragments",
            "a disk in memory (tmpfs) has no pieces: leave it out, or write `kind = \"ext4\"` (or xfs, faulty)",
        );
    }
    if piece == 0 || piece % DISK_BLOCK != 0 {
        return bad(".fragments", "whole blocks of 4 KiB, like `64 KiB`");
    }
    let free = size - age.takes(size);
    if piece > free / 4 {
        return bad(
            ".fragments",
            &format!(
                "{} are no fragments of the {} that stay free",
                human_size(piece),
                human_size(free)
            ),
        );
    }
    Ok(age)
}

#[cfg(test)]
mod tests {
    use crate::plan::{DiskKind, Plan, PlanError, PlanRequest, check, load};

    fn planned(set: &[&str]) -> Result<Plan, PlanError> {
        load(&PlanRequest {
            plan: "smoke".to_owned(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            ..PlanRequest::default()
        })
    }

    #[test]
    fn an_old_disk_has_a_level_and_may_have_pieces() {
        let plan = planned(&["profile.disk.age.fill=70 %"]).unwrap();
        let age = plan.network.disk.age.unwrap();
        assert_eq!((age.fill, age.fragments), (700_000, None));
        assert_eq!(plan.network.disk.kind, DiskKind::Auto);
        let set = [
            "profile.disk.age.fill=70 %",
            "profile.disk.age.fragments=64 KiB",
        ];
        let plan = planned(&set).unwrap();
        assert_eq!(plan.network.disk.age.unwrap().fragments, Some(64 << 10));
        assert_eq!(
            plan.network.disk.kind,
            DiskKind::Ext4,
            "memory has no pieces"
        );
        let says = check::check(&plan).disk.says;
        assert!(says.contains("are taken before the start"), "{says}");
    }

    #[test]
    fn what_no_disk_has_is_refused() {
        let refused = |set: &[&str], says: &str| {
            let error = planned(set).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        refused(&["profile.disk.age.fragments=64 KiB"], "needs `fill`");
        refused(&["profile.disk.age.fill=0 %"], "at most 95 %");
        refused(&["profile.disk.age.fill=96 %"], "at most 95 %");
        let fill = "profile.disk.age.fill=70 %";
        refused(&[fill, "profile.disk.age.fragments=5 KiB"], "whole blocks");
        refused(&[fill, "profile.disk.age.fragments=1 GiB"], "no fragments");
        let memory = [
            fill,
            "profile.disk.kind=tmpfs",
            "profile.disk.age.fragments=64 KiB",
        ];
        refused(&memory, "has no pieces");
    }
}
