//! What the helper does inside its container: image files, file systems, loop devices.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    fs::{FallocateFlags, Mode, fallocate, statvfs},
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

use super::{
    ext4::{LINKS, MadeDisk},
    helper::{DISKS, Detached, MadeDisks, WORK},
    loop_device,
};
use crate::ids::NodeName;

/// Block size of the file systems: that of memory pages, and what production uses.
const BLOCK: u64 = 4096;
/// mke2fs makes no journal below this many blocks; a file system without one would be another kind of disk.
const LEAST_IMAGE: u64 = 2304 * BLOCK;
/// Tries at finding the image size. The overhead changes little with the size, so that the second try fits.
const TRIES: usize = 5;
/// Usable bytes above what was asked for that are accepted: one block group's rounding.
const SLACK: u64 = 256 * 1024;

/// An order for disks that are all alike.
pub(super) struct Order<'a> {
    pub(super) disks: &'a [NodeName],
    pub(super) bytes: u64,
    pub(super) inodes: Option<u64>,
    pub(super) user_id: u32,
    pub(super) group_id: u32,
    pub(super) mark: &'a str,
}

/// Makes all disks of an order.
pub(super) fn make_disks(order: &Order<'_>) -> Result<MadeDisks, io::Error> {
    fs::create_dir_all(Path::new(DISKS).join(LINKS))?;
    let mut made = MadeDisks {
        disks: std::collections::BTreeMap::new(),
    };
    let mut size = None;
    for name in order.disks {
        let disk = match size {
            // All disks are alike: the size that fitted the first fits all.
            Some(size) => make_one(order, name, size)?,
            None => {
                let (found, disk) = find_size(order, name)?;
                size = Some(found);
                disk
            }
        };
        if disk.usable_bytes < order.bytes {
            return Err(io::Error::other(format!(
                "{name}: {} bytes are usable, {} were asked for",
                disk.usable_bytes, order.bytes
            )));
        }
        made.disks.insert(name.clone(), disk);
    }
    Ok(made)
}

/// Finds the image size whose file system has just enough usable bytes.
fn find_size(order: &Order<'_>, name: &NodeName) -> Result<(u64, MadeDisk), io::Error> {
    let mut size = whole_blocks(order.bytes + order.bytes / 32 + 6 * 1024 * 1024).max(LEAST_IMAGE);
    let mut last = None;
    for attempt in 0..TRIES {
        let disk = make_one(order, name, size)?;
        let usable = disk.usable_bytes;
        let fits = usable >= order.bytes;
        let close = usable.saturating_sub(order.bytes) <= SLACK || size == LEAST_IMAGE;
        if fits && (close || attempt + 1 == TRIES) {
            return Ok((size, disk));
        }
        last = Some(usable);
        detach_by_file(&image_path(name))?;
        // What the file system keeps for itself, and a fiftieth (its reserve) of what is added or taken away.
        let next = if fits {
            let spare = usable - order.bytes;
            size - spare + spare / 48
        } else {
            let lacking = order.bytes - usable;
            size + lacking + lacking / 32 + 8 * BLOCK
        };
        size = whole_blocks(next).max(LEAST_IMAGE);
    }
    Err(io::Error::other(format!(
        "no image size gives {} usable bytes; the last try gave {last:?}",
        order.bytes
    )))
}

fn whole_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

fn image_path(name: &NodeName) -> PathBuf {
    Path::new(DISKS).join(format!("{name}.img"))
}

/// Makes, attaches, tests and links one disk.
fn make_one(order: &Order<'_>, name: &NodeName, size: u64) -> Result<MadeDisk, io::Error> {
    let path = image_path(name);
    let image = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    // Preallocated: the disk must not run dry below its file system because somebody else filled the host.
    fallocate(&image, FallocateFlags::empty(), 0, size)?;
    make_file_system(order, &path)?;
    let number = loop_device::attach(&image, order.mark)?;
    let tested = test(number, name, order.bytes);
    let usable_bytes = match tested {
        Ok(usable_bytes) => usable_bytes,
        Err(error) => {
            loop_device::detach(number)?;
            return Err(error);
        }
    };
    let device = format!("/dev/loop{number}");
    let link = Path::new(DISKS).join(LINKS).join(name.as_str());
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(&device, &link)?,
    }
    Ok(MadeDisk {
        device,
        usable_bytes,
    })
}

fn make_file_system(order: &Order<'_>, image: &Path) -> Result<(), io::Error> {
    let mut command = Command::new("/sbin/mke2fs");
    command
        .args(["-t", "ext4", "-F", "-q", "-m", "0", "-b", "4096", "-E"])
        // nodiscard keeps the preallocation; nothing lazy, so that no kernel thread writes beside the node.
        .arg(format!(
            "root_owner={}:{},nodiscard,lazy_itable_init=0,lazy_journal_init=0",
            order.user_id, order.group_id
        ));
    if let Some(inodes) = order.inodes {
        command.arg("-N").arg(inodes.to_string());
    }
    let output = command.arg(image).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "mke2fs ended with {}: {}",
        output.status,
        said.trim()
    )))
}

/// Mounts the disk here, clears it, and takes all of the asked-for bytes once. Answers what is usable.
fn test(number: u32, name: &NodeName, asked: u64) -> Result<u64, io::Error> {
    let node = loop_device::node(number)?;
    let folder = Path::new(WORK).join(name.as_str());
    fs::create_dir_all(&folder)?;
    mount(&node, &folder, "ext4", MountFlags::NOATIME, None)
        .map_err(|error| named("mount the new disk", error.into()))?;
    let result = test_mounted(&folder, asked);
    // Not lazily: a mount that stays would keep the file system alive beside the node's.
    unmount(&folder, UnmountFlags::empty())
        .map_err(|error| named("unmount the new disk", error.into()))?;
    result
}

fn test_mounted(folder: &Path, asked: u64) -> Result<u64, io::Error> {
    // Some programs refuse to start in a folder that is not empty; e2fsck makes it anew when it needs it.
    fs::remove_dir(folder.join("lost+found")).map_err(|error| named("remove lost+found", error))?;
    let facts = statvfs(folder)?;
    let usable = facts.f_bavail.saturating_mul(facts.f_frsize);
    if usable >= asked {
        let path = folder.join("canarynet-test");
        let file = File::create(&path)?;
        fallocate(&file, FallocateFlags::empty(), 0, asked)
            .map_err(|error| named("use all bytes of the new disk", error.into()))?;
        drop(file);
        fs::remove_file(&path)?;
    }
    Ok(usable)
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}

/// Detaches the loop devices of one image file.
fn detach_by_file(image: &Path) -> Result<(), io::Error> {
    let facts = fs::metadata(image)?;
    for number in loop_device::attached()? {
        let status = match loop_device::status(number) {
            Ok(status) => status,
            Err(_) => continue,
        };
        if status.is_file(facts.dev(), facts.ino()) {
            loop_device::detach(number)?;
        }
    }
    Ok(())
}

/// Detaches what carries the mark or is backed by a file of the disks volume.
pub(super) fn detach_loops(mark: &str) -> Result<Detached, io::Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(DISKS)? {
        let facts = entry?.metadata()?;
        files.push((facts.dev(), facts.ino()));
    }
    let mut count = 0;
    for number in loop_device::attached()? {
        // A device that went away meanwhile, or that this container may not see, is not ours to report.
        let Ok(status) = loop_device::status(number) else {
            continue;
        };
        let ours = status.mark() == mark
            || files
                .iter()
                .any(|(device, inode)| status.is_file(*device, *inode));
        if ours {
            loop_device::detach(number)?;
            count += 1;
        }
    }
    Ok(Detached { count })
}

/// Mode of device nodes that the helper makes for itself.
pub(super) const NODE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
