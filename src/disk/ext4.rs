//! ext4 disks on loop devices: real block devices, real fsync, real ENOSPC, throttles.
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
    helper::{Detached, HelperOp, MadeDisks, run_helper},
    tmpfs::user_ids,
};
use crate::{
    engine::{
        docker::Docker,
        error::EngineError,
        labels::{self, Role, RunLabels},
        pack::PackedImage,
    },
    ids::{NodeName, RunId},
};

/// Folder of the symlinks in the disks volume.
pub(super) const LINKS: &str = "links";

/// Which disks to make; all of one launch are alike.
#[derive(Debug, Clone)]
pub struct DiskOrder {
    /// One disk for each.
    pub nodes: Vec<NodeName>,
    /// Bytes that must be usable.
    pub bytes: u64,
    /// Inodes, or what mke2fs chooses.
    pub inodes: Option<u64>,
    /// `uid:gid` that the disk belongs to.
    pub user: String,
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
pub struct MadeExt4 {
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
) -> Result<MadeExt4, EngineError> {
    let (user_id, group_id) = user_ids(&order.user)?;
    let mut volume_labels = labels.of(Role::Images);
    volume_labels.insert(labels::HELPER_IMAGE.to_owned(), helper.reference.clone());
    let name = labels::disks_volume(labels.run());
    let mountpoint = docker
        .create_volume(&name, &BTreeMap::new(), volume_labels)
        .await?;
    let operation = HelperOp::MakeDisks {
        disks: order.nodes.clone(),
        bytes: order.bytes,
        inodes: order.inodes,
        user_id,
        group_id,
        mark: mark(labels.run()),
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
    Ok(MadeExt4 {
        mountpoint,
        disks: made.disks,
    })
}

/// Options of the `local` driver for one disk: the device is the symlink in the disks volume.
#[must_use]
pub fn volume_options(mountpoint: &str, node: &NodeName) -> BTreeMap<String, String> {
    let device = format!("{mountpoint}/{LINKS}/{node}");
    [
        ("type", "ext4"),
        ("device", device.as_str()),
        // Reading must not write: a node's own writes are what is measured.
        ("o", "noatime"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Detaches all loop devices of a run, if it has a disks volume; answers how many.
///
/// # Errors
/// What the engine or the helper said.
pub async fn detach_all(docker: &Docker, run: &RunId) -> Result<usize, EngineError> {
    let name = labels::disks_volume(run);
    let volumes = docker.volumes_of(run).await?;
    let Some(volume) = volumes.into_iter().find(|volume| volume.name == name) else {
        return Ok(0);
    };
    // A volume without this label was never given to a helper.
    let Some(image) = volume.labels.get(labels::HELPER_IMAGE) else {
        return Ok(0);
    };
    let labels = RunLabels::of_existing(run, &volume.labels);
    let operation = HelperOp::DetachLoops { mark: mark(run) };
    let detached: Detached = run_helper(docker, image, &labels, &operation).await?;
    Ok(detached.count)
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
fn mark(run: &RunId) -> String {
    let hash = Sha256::digest(run.as_str().as_bytes());
    format!("canarynet:{}", hex::encode(&hash[..12]))
}
