//! Making disks inside the helper's container: image files, file systems, loop devices; and detaching them again.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{
    ext4::{LINKS, MadeDisk},
    faulty,
    file_system::FileSystem,
    helper::{DISKS, Detached, DiskRef, MadeDisks},
    image::{self, Image},
    loop_device,
    mounted::Mounted,
    named,
};
use crate::ids::NodeName;

/// Block size of the file systems: that of memory pages, and what production uses.
const BLOCK: u64 = 4096;
/// mke2fs makes no journal below this many blocks; a file system without one would be another kind of disk.
const LEAST_EXT4: u64 = 2304 * BLOCK;
/// mkfs.xfs makes no smaller one.
const LEAST_XFS: u64 = 300 << 20;
/// Tries at finding the image size. The overhead changes little with the size, so that the second try fits.
const TRIES: usize = 5;
/// Usable bytes above what was asked for that are accepted: one block group's rounding.
const SLACK: u64 = 256 * 1024;

/// An order for disks that are all alike.
pub(super) struct Order<'a> {
    pub(super) disks: &'a [NodeName],
    pub(super) file_system: FileSystem,
    pub(super) thin: bool,
    pub(super) bytes: u64,
    pub(super) inodes: Option<u64>,
    pub(super) owner: (u32, u32),
    pub(super) mark: &'a str,
    pub(super) faulty: bool,
}

/// Makes all disks of an order.
pub(super) fn make_disks(order: &Order<'_>) -> Result<MadeDisks, io::Error> {
    fs::create_dir_all(Path::new(DISKS).join(LINKS))?;
    if order.faulty {
        faulty::mount::make_folders(order.disks)?;
    }
    let mut made = MadeDisks {
        disks: std::collections::BTreeMap::new(),
    };
    let mut size = None;
    for name in order.disks {
        let disk = match size {
            // All disks are alike: the size that fitted the first fits all.
            Some(size) => make_one(order, name, size, order.thin)?.1,
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

/// Finds the image size whose file system has just enough usable bytes, on thick images, and makes the disk.
fn find_size(order: &Order<'_>, name: &NodeName) -> Result<(u64, MadeDisk), io::Error> {
    let least = match order.file_system {
        FileSystem::Ext4 => LEAST_EXT4,
        FileSystem::Xfs => LEAST_XFS,
    };
    let mut size = whole_blocks(order.bytes + order.bytes / 32 + 6 * 1024 * 1024).max(least);
    let mut last = None;
    for attempt in 0..TRIES {
        let (number, disk) = make_one(order, name, size, false)?;
        let usable = disk.usable_bytes;
        let fits = usable >= order.bytes;
        let close = usable.saturating_sub(order.bytes) <= SLACK || size == least;
        if fits && (close || attempt + 1 == TRIES) {
            if !order.thin {
                return Ok((size, disk));
            }
            loop_device::detach(number)?;
            return Ok((size, make_one(order, name, size, true)?.1));
        }
        last = Some(usable);
        loop_device::detach(number)?;
        // What the file system keeps for itself, and a fiftieth (its reserve) of what is added or taken away.
        let next = if fits {
            let spare = usable - order.bytes;
            size - spare + spare / 48
        } else {
            let lacking = order.bytes - usable;
            size + lacking + lacking / 32 + 8 * BLOCK
        };
        size = whole_blocks(next).max(least);
    }
    Err(io::Error::other(format!(
        "no image size gives {} usable bytes; the last try gave {last:?}",
        order.bytes
    )))
}

fn whole_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// Makes, attaches, tests and links one disk; answers the number of its loop device, too.
fn make_one(
    order: &Order<'_>,
    name: &NodeName,
    size: u64,
    thin: bool,
) -> Result<(u32, MadeDisk), io::Error> {
    let disk = DiskRef {
        node: name.clone(),
        mark: order.mark.to_owned(),
    };
    let image = Image::make(&disk, size, thin)?;
    order
        .file_system
        .make(&image.path, order.inodes, order.owner)?;
    let number = loop_device::attach(&image.file, order.mark)?;
    let usable_bytes = match test(number, order) {
        Ok(usable_bytes) => usable_bytes,
        Err(error) => {
            loop_device::detach(number)?;
            return Err(error);
        }
    };
    let device = image::link(name.as_str(), number)?;
    let made = MadeDisk {
        device,
        usable_bytes,
    };
    Ok((number, made))
}

/// Mounts the disk here, clears it, and takes all of the asked-for bytes once. Answers what is usable.
fn test(number: u32, order: &Order<'_>) -> Result<u64, io::Error> {
    let mounted = Mounted::device(number)?;
    let result = test_mounted(mounted.folder(), order);
    mounted.unmount()?;
    result
}

fn test_mounted(folder: &Path, order: &Order<'_>) -> Result<u64, io::Error> {
    // Some programs refuse to start in a folder that is not empty; e2fsck makes it anew when it needs it.
    if order.file_system == FileSystem::Ext4 {
        fs::remove_dir(folder.join("lost+found"))
            .map_err(|error| named("remove lost+found", error))?;
    }
    let facts = statvfs(folder)?;
    let usable = facts.f_bavail.saturating_mul(facts.f_frsize);
    if usable >= order.bytes {
        let path = folder.join("canarynet-test");
        let file = File::create(&path)?;
        fallocate(&file, FallocateFlags::empty(), 0, order.bytes)
            .map_err(|error| named("use all bytes of the new disk", error.into()))?;
        drop(file);
        fs::remove_file(&path)?;
    }
    Ok(usable)
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
