//! Image files of disks and the devices on them, inside the helper's container.
//!
//! ```text
//!  thick   /disks/NODE.img ──────────────────────────────────────────── loop device ── the disk
//!  thin    /disks/NODE.img ── loop device ── backing ── disk.img (sparse) ── loop device ── the disk
//!          links/NODE -> the disk's device          links/NODE.backing -> the backing's device
//! ```
//! A thin disk's blocks are taken from its backing when they are first written; what the backing has left can be taken
//! away. It stays alive because the disk's loop device holds a file of it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{
    ext4::LINKS,
    file_system,
    helper::{DISKS, DiskRef},
    loop_device,
    mounted::Mounted,
};
use crate::ids::NodeName;

/// The image of a thin disk, in its backing.
const THIN: &str = "disk.img";
/// What takes a backing's free room.
const BALLAST: &str = "ballast";

/// A disk's image file. For a thin disk its backing is mounted for as long as this lives.
pub(super) struct Image {
    pub(super) file: File,
    pub(super) path: PathBuf,
    backing: Option<Mounted>,
}

impl Image {
    /// The image of a disk that was made.
    pub(super) fn open(disk: &DiskRef) -> Result<Self, io::Error> {
        let backing = backing_of(disk)?;
        let path = match &backing {
            Some(backing) => backing.folder().join(THIN),
            None => file_of(&disk.node),
        };
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self {
            file,
            path,
            backing,
        })
    }

    /// Makes one of this size, with nothing in it.
    pub(super) fn make(disk: &DiskRef, size: u64, thin: bool) -> Result<Self, io::Error> {
        if !thin {
            let path = file_of(&disk.node);
            let file = create(&path)?;
            // Preallocated: the disk must not run dry below its file system because somebody else filled the host.
            fallocate(&file, FallocateFlags::empty(), 0, size)?;
            return Ok(Self {
                file,
                path,
                backing: None,
            });
        }
        let outer_path = file_of(&disk.node);
        let outer = create(&outer_path)?;
        // Room for all of the disk, for the map of its blocks and for the backing's own tables.
        fallocate(
            &outer,
            FallocateFlags::empty(),
            0,
            size + size / 32 + (8 << 20),
        )?;
        file_system::make_backing(&outer_path)?;
        let number = loop_device::attach(&outer, &disk.mark)?;
        link(&backing_link(&disk.node), number)?;
        let backing = Mounted::device(number)?;
        let room = free(backing.folder())?;
        if room < size {
            return Err(io::Error::other(format!(
                "the backing of {} has {room} bytes for a disk of {size}",
                disk.node
            )));
        }
        let path = backing.folder().join(THIN);
        let file = create(&path)?;
        file.set_len(size)?;
        Ok(Self {
            file,
            path,
            backing: Some(backing),
        })
    }

    /// Removes a disk that nobody uses: its devices, links and file.
    pub(super) fn remove(self, disk: &DiskRef) -> Result<(), io::Error> {
        detach_all(&self.file)?;
        drop(self);
        let path = file_of(&disk.node);
        detach_all(&File::open(&path)?)?;
        fs::remove_file(path)?;
        for name in [disk.node.to_string(), backing_link(&disk.node)] {
            match fs::remove_file(Path::new(DISKS).join(LINKS).join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes what the backing has left, down to `leave` bytes. Answers what is left.
    pub(super) fn run_dry(&self, leave: u64) -> Result<u64, io::Error> {
        let Some(backing) = &self.backing else {
            return Err(io::Error::other(
                "this disk is not thin: it was launched without a `device-dry` fault in the plan and without `disk.thin`",
            ));
        };
        let path = backing.folder().join(BALLAST);
        let ballast = OpenOptions::new().create(true).append(true).open(path)?;
        let mut size = ballast.metadata()?.len();
        let mut step = free(backing.folder())?.saturating_sub(leave);
        // Halved while it does not fit: the file system needs blocks of its own for the map of a long file.
        while step > 0 {
            match fallocate(&ballast, FallocateFlags::empty(), size, step) {
                Ok(()) => {
                    size += step;
                    step = free(backing.folder())?.saturating_sub(leave);
                }
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        ballast.sync_all()?;
        free(backing.folder())
    }

    /// Gives the backing its room back; nothing is done for a thick disk.
    pub(super) fn refill(&self) -> Result<(), io::Error> {
        let Some(backing) = &self.backing else {
            return Ok(());
        };
        match fs::remove_file(backing.folder().join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn detach_all(file: &File) -> Result<(), io::Error> {
    for number in loop_device::of_file(file)? {
        loop_device::detach(number)?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, io::Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

fn free(folder: &Path) -> Result<u64, io::Error> {
    let facts = statvfs(folder)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// The file in the disks volume.
fn file_of(node: &NodeName) -> PathBuf {
    Path::new(DISKS).join(format!("{node}.img"))
}

fn backing_link(node: &NodeName) -> String {
    format!("{node}.backing")
}

/// The backing of a thin disk, mounted here; `None` for a thick one.
fn backing_of(disk: &DiskRef) -> Result<Option<Mounted>, io::Error> {
    match linked(&backing_link(&disk.node), &disk.mark) {
        Ok(number) => Mounted::device(number).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The loop device of a node's disk. Refuses a device that does not carry the run's mark: the machine may have been
/// restarted, and the number be somebody else's.
pub(super) fn device_of(disk: &DiskRef) -> Result<u32, io::Error> {
    linked(disk.node.as_str(), &disk.mark)
}

fn linked(name: &str, mark: &str) -> Result<u32, io::Error> {
    let target = fs::read_link(Path::new(DISKS).join(LINKS).join(name))?;
    let number = target
        .to_str()
        .and_then(|target| target.strip_prefix("/dev/loop")?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{} is no loop device", target.display())))?;
    let status = loop_device::status(number)?;
    if status.mark() == mark {
        Ok(number)
    } else {
        Err(io::Error::other(format!(
            "{} does not belong to this run",
            target.display()
        )))
    }
}

/// Points a link at a loop device, in one step: the engine may read it at any moment.
pub(super) fn link(name: &str, number: u32) -> Result<String, io::Error> {
    let folder = Path::new(DISKS).join(LINKS);
    let device = format!("/dev/loop{number}");
    let fresh = folder.join(format!("{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(&device, &fresh)?,
    }
    fs::rename(fresh, folder.join(name))?;
    Ok(device)
}
