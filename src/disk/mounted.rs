//! A file system mounted inside the helper's container.
//!
//! A device that is mounted elsewhere is mounted here once more: the kernel has one file system for both, so that what is
//! done here is done to the node's. It needs no way into another namespace, and it cannot hit anything but what is on a
//! loop device of this run.
//!
//! Invariant: nothing stays mounted here longer than the operation takes. A mount that stays keeps a dead file system
//! alive.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{
    file_system::FileSystem,
    helper::{DiskRef, WORK},
    image, loop_device, named,
};

/// See the module.
pub(super) struct Mounted {
    folder: PathBuf,
    mounted: bool,
}

impl Mounted {
    /// Mounts what is on this loop device.
    pub(super) fn device(number: u32) -> Result<Self, io::Error> {
        let node = loop_device::node(number)?;
        let file_system = FileSystem::on(&node)?;
        // The kernel refuses a second mount of one file system at one place, and two processes may be at it.
        let folder = Path::new(WORK).join(format!("loop{number}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let options = file_system.options().map(|_| c"nouuid");
        mount(
            &node,
            &folder,
            file_system.name(),
            MountFlags::NOATIME,
            options,
        )
        .map_err(|error| named(&format!("mount /dev/loop{number}"), error.into()))?;
        Ok(Self {
            folder,
            mounted: true,
        })
    }

    /// The file system of a node's disk, which must be in use.
    pub(super) fn in_use(disk: &DiskRef) -> Result<Self, io::Error> {
        let number = image::device_of(disk)?;
        if !loop_device::in_use(number)? {
            return Err(io::Error::other(format!(
                "the disk of {} is not mounted: the node does not run",
                disk.node
            )));
        }
        Self::device(number)
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its root folder, for calls on the file system.
    pub(super) fn open(&self) -> Result<File, io::Error> {
        File::open(&self.folder)
    }

    /// Options of the file system, as the kernel tells them.
    pub(super) fn options(&self) -> Result<String, io::Error> {
        options_of(&self.folder)
    }

    /// Unmounts it, and says so if it cannot be.
    pub(super) fn unmount(mut self) -> Result<(), io::Error> {
        self.mounted = false;
        unmount(&self.folder, UnmountFlags::empty())
            .map_err(|error| named("unmount a disk", error.into()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a loop device may hold a file of it. It is gone for good when that is, or with this container.
            let _ = unmount(&self.folder, UnmountFlags::DETACH);
        }
    }
}

/// Options of the file system that is mounted at exactly this path, in this mount namespace.
///
/// # Errors
/// When nothing is mounted there.
pub(crate) fn options_of(folder: &Path) -> Result<String, io::Error> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    parse_options(&table, folder).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("nothing is mounted at {}", folder.display()),
        )
    })
}

/// The last mount of a folder is the one that is seen. Mount options and those of the file system, joined.
fn parse_options(table: &str, folder: &Path) -> Option<String> {
    let line = table
        .lines()
        .rfind(|line| line.split(' ').nth(4).map(Path::new) == Some(folder))?;
    let (mount, file_system) = line.split_once(" - ")?;
    let mount = mount.split(' ').nth(5)?;
    let file_system = file_system.split(' ').nth(2)?;
    Some(format!("{mount},{file_system}"))
}

/// Whether these options are those of a file system that has ended and serves nobody any more.
pub(crate) fn is_dead(options: &str) -> bool {
    options
        .split(',')
        .any(|option| matches!(option, "shutdown" | "emergency_ro" | "ro"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_last_mount_and_tell_the_dead() {
        let table = "21 20 7:1 / /data rw,noatime - ext4 /dev/loop1 rw\n\
                     22 20 0:5 / /proc rw shared:1 - proc proc rw\n\
                     23 21 7:2 / /data rw,noatime master:3 - ext4 /dev/loop2 rw,emergency_ro,errors=continue\n";
        let options = parse_options(table, Path::new("/data")).unwrap();
        assert_eq!(options, "rw,noatime,rw,emergency_ro,errors=continue");
        assert!(is_dead(&options));
        assert!(is_dead("rw,noatime,rw,shutdown"));
        assert!(is_dead("rw,noatime,ro"));
        assert!(!is_dead("rw,noatime,rw,errors=remount-ro"));
        assert!(parse_options(table, Path::new("/dat")).is_none());
    }
}
