//! What faults do to a node's disk, inside the helper's container, and how it is made well again.

pub(super) mod freeze;
pub(super) mod power;
pub(super) mod renew;

use std::io;

use rustix::mount::{MountFlags, mount_remount};
use serde::{Deserialize, Serialize};

pub use self::{
    freeze::{Frozen, Thawed},
    power::{Cut, CutOff},
    renew::Renewed,
};
use super::{
    file_system::FileSystem,
    helper::DiskRef,
    image::{self, Image},
    loop_device,
    mounted::Mounted,
    named,
};

/// A backing whose room was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dried {
    /// Bytes that it still has.
    pub left: u64,
}

/// Makes the file system of a running node give up. Answers its options afterwards.
pub(super) fn abort(disk: &DiskRef) -> Result<String, io::Error> {
    let file_system = FileSystem::on(&loop_device::node(image::device_of(disk)?)?)?;
    if file_system != FileSystem::Ext4 {
        return Err(io::Error::other(
            "xfs has no way to turn read-only while it is mounted",
        ));
    }
    let mounted = Mounted::in_use(disk)?;
    abort_mounted(&mounted)?;
    let options = mounted.options()?;
    mounted.unmount()?;
    Ok(options)
}

/// The same for what is mounted here.
pub(super) fn abort_mounted(mounted: &Mounted) -> Result<(), io::Error> {
    mount_remount(mounted.folder(), MountFlags::NOATIME, c"abort")
        .map_err(|error| named("abort the file system", error.into()))
}

/// Takes what a thin disk's backing has left.
pub(super) fn run_dry(disk: &DiskRef, leave: u64) -> Result<Dried, io::Error> {
    let image = Image::open(disk)?;
    let left = image.run_dry(leave)?;
    Ok(Dried { left })
}

/// Gives it back.
pub(super) fn refill(disk: &DiskRef) -> Result<(), io::Error> {
    Image::open(disk)?.refill()
}
