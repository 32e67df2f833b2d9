//! Disks on loop devices, ext4 or xfs: real block devices, real fsync, real ENOSPC, throttles.
//!
//! Image files are in the run's disks volume, preallocated, so that a disk never runs dry under its file system unless
//! a fault makes it. The volume of a node's disk names a symlink there as its device: re-pointing the symlink heals a
//! disk onto a fresh loop device without touching the container.
//!
//! Invariant: no container but the node mounts a disk's volume. A second mount would keep a dead file system alive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    faults::Thawed,
    faulty::mount::Mounted,
    file_system::FileSystem,
    helper::{Detached, DiskRef, HelperOp, MadeDisks, run_helper},
    tmpfs::user_ids,
};
use crate::{
    engine::{
        docker::Docker,
        error::EngineError,
        labels::{self, Role, RunLabels},
        pack::{self, PackedImage},
    },
    ids::{NodeName, RunId},
};

/// On the disks volume of FUSE disks: there may be mounts in it.
const FAULTY: &str = "faulty";

/// Folder of the symlinks in the disks volume.
pub(super) const LINKS: &str = "links";

/// Which disks to make; all of one launch are alike.
#[derive(Debug, Clone)]
pub struct DiskOrder {
    /// One disk for each.
    pub nodes: Vec<NodeName>,
    /// What is made on them.
    pub file_system: FileSystem,
    /// Their devices can run dry.
    pub thin: bool,
    /// Bytes that must be usable.
    pub bytes: u64,
    /// Inodes, or what the file system chooses.
    pub inodes: Option<u64>,
    /// `uid:gid` that the disk belongs to.
    pub user: String,
    /// FUSE disks are to be mounted over them.
    pub faulty: bool,
}

/// A disk that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeDisk {
    /// Its loop device on the engine's machine.
    pub device: String,
    /// Bytes that can be written.
    pub usable_bytes: u64,
}

/// All disks of a launch.
#[derive(Debug, Clone)]
pub struct Made {
    /// Where the disks volume is on the engine's machine.
    pub mountpoint: String,
    /// The disks.
    pub disks: BTreeMap<NodeName, MadeDisk>,
}

/// Makes the disks in one helper container.
///
/// # Errors
/// What the engine or the helper said. What was made until then is removed by [`remove_disks`].
pub async fn make_disks(
    docker: &Docker,
    helper: &PackedImage,
    labels: &RunLabels,
    order: &DiskOrder,
) -> Result<Made, EngineError> {
    let (user_id, group_id) = user_ids(&order.user)?;
    let mut volume_labels = labels.of(Role::Images);
    volume_labels.insert(labels::HELPER_IMAGE.to_owned(), helper.reference.clone());
    if order.faulty {
        volume_labels.insert(labels::DISK_KIND.to_owned(), FAULTY.to_owned());
    }
    let name = labels::disks_volume(labels.run());
    let mountpoint = docker
        .create_volume(&name, &BTreeMap::new(), volume_labels)
        .await?;
    let operation = HelperOp::MakeDisks {
        disks: order.nodes.clone(),
        file_system: order.file_system,
        thin: order.thin,
        bytes: order.bytes,
        inodes: order.inodes,
        user_id,
        group_id,
        mark: mark(labels.run()),
        faulty: order.faulty,
    };
    let made: MadeDisks = run_helper(docker, &helper.reference, labels, &operation).await?;
    if let Some(missing) = order
        .nodes
        .iter()
        .find(|node| !made.disks.contains_key(*node))
    {
        return Err(EngineError::Incomplete {
            subject: format!("the disk of {missing}"),
            what: "its device",
        });
    }
    Ok(Made {
        mountpoint,
        disks: made.disks,
    })
}

/// Where the symlink to a disk's device is on the engine's machine. Whatever is told of a disk is told by this path: the
/// device behind it changes when a fault heals.
#[must_use]
pub fn device_link(mountpoint: &str, node: &NodeName) -> String {
    format!("{mountpoint}/{LINKS}/{node}")
}

/// Options of the `local` driver for one disk.
#[must_use]
pub fn volume_options(
    mountpoint: &str,
    node: &NodeName,
    file_system: FileSystem,
) -> BTreeMap<String, String> {
    // Reading must not write: a node's own writes are what is measured.
    let options = match file_system.options() {
        Some(more) => format!("noatime,{more}"),
        None => "noatime".to_owned(),
    };
    [
        ("type", file_system.name()),
        ("device", &device_link(mountpoint, node)),
        ("o", &options),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// A run's disks volume with the image that works on it: from labels alone.
#[derive(Debug, Clone)]
pub struct DisksVolume {
    /// The helper's image.
    pub helper: String,
    /// Labels for helpers.
    pub labels: RunLabels,
    /// Where it is on the engine's machine.
    pub mountpoint: String,
    /// Whether FUSE disks are mounted in it.
    pub faulty: bool,
}

/// Finds the disks volume of a run; `None` if it has none, or one that no helper was ever given.
///
/// # Errors
/// What the engine said.
pub async fn disks_volume(
    docker: &Docker,
    run: &RunId,
) -> Result<Option<DisksVolume>, EngineError> {
    let name = labels::disks_volume(run);
    let volumes = docker.volumes_of(run).await?;
    let volume = volumes.into_iter().find(|volume| volume.name == name);
    Ok(volume.and_then(|volume| {
        Some(DisksVolume {
            helper: volume.labels.get(labels::HELPER_IMAGE)?.clone(),
            labels: RunLabels::of_existing(run, &volume.labels),
            faulty: volume.labels.get(labels::DISK_KIND).map(String::as_str) == Some(FAULTY),
            mountpoint: volume.mountpoint,
        })
    }))
}

/// Detaches all loop devices of a run, if it has a disks volume, after the mounts of FUSE disks in it were taken away;
/// answers how many.
///
/// # Errors
/// What the engine or the helper said.
pub async fn detach_all(docker: &Docker, run: &RunId) -> Result<usize, EngineError> {
    let Some(volume) = disks_volume(docker, run).await? else {
        return Ok(0);
    };
    let image = image(docker, &volume).await?;
    if volume.faulty {
        let operation = HelperOp::UnmountFaulty {
            volume: volume.mountpoint.clone().into(),
        };
        let _taken_away: Mounted = run_helper(docker, &image, &volume.labels, &operation).await?;
    }
    let operation = HelperOp::DetachLoops { mark: mark(run) };
    let detached: Detached = run_helper(docker, &image, &volume.labels, &operation).await?;
    Ok(detached.count)
}

/// The image that can work on what a run has left: that of its helpers, or, where somebody has removed it since, this
/// program packed anew. What thaws, unmounts and detaches is in this program alone.
async fn image(docker: &Docker, volume: &DisksVolume) -> Result<String, EngineError> {
    if docker.image(&volume.helper).await?.is_some() {
        return Ok(volume.helper.clone());
    }
    let program = pack::own_program(docker, None)?;
    Ok(pack::program_image(docker, &program).await?.reference)
}

/// Thaws all file systems of a run, if it has a disks volume: processes that wait on a frozen one cannot be killed.
///
/// # Errors
/// What the engine or the helper said.
pub async fn thaw_all(docker: &Docker, run: &RunId) -> Result<(), EngineError> {
    let Some(volume) = disks_volume(docker, run).await? else {
        return Ok(());
    };
    let operation = HelperOp::Thaw {
        disks: Vec::new(),
        mark: mark(run),
    };
    let image = image(docker, &volume).await?;
    let thawed: Thawed = run_helper(docker, &image, &volume.labels, &operation).await?;
    match thawed.failures.first() {
        None => Ok(()),
        Some(why) => Err(EngineError::inside("thawing disks", why)),
    }
}

/// A node's disk, for the helper.
#[must_use]
pub fn disk_ref(run: &RunId, node: &NodeName) -> DiskRef {
    DiskRef {
        node: node.clone(),
        mark: mark(run),
    }
}

/// Removes loop devices and the disks volume of a run, so that another kind of disk can be tried.
///
/// # Errors
/// What the engine or the helper said.
pub async fn remove_disks(docker: &Docker, run: &RunId) -> Result<(), EngineError> {
    detach_all(docker, run).await?;
    docker.remove_volume(&labels::disks_volume(run)).await
}

/// The mark of a run on its loop devices: the kernel keeps 63 bytes, a run's id may be as long alone.
pub(super) fn mark(run: &RunId) -> String {
    let hash = Sha256::digest(run.as_str().as_bytes());
    format!("canarynet:{}", hex::encode(&hash[..12]))
}
