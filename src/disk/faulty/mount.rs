//! Mounting FUSE disks where the engine sees them, inside the privileged helper's container.
//!
//! The engine binds a folder of its own mount namespace into a node's container; a mount made in any other namespace is
//! not there. So the helper enters that namespace: its container shares the machine's processes, and its parent process
//! is the engine's runtime, which is what makes the binds.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    cmsg_space,
    fs::FileType,
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde::{Deserialize, Serialize};

use crate::{
    disk::{helper::DISKS, loop_device},
    ids::NodeName,
};

/// Folder of the disks volume in which the disks are mounted, by node.
pub const MOUNTS: &str = "faulty";
/// Folder of the disks volume with the sockets over which the connections to the kernel are handed over.
pub const SOCKETS: &str = "sockets";
/// What the mounts call themselves.
const SOURCE: &str = "canarynet";
/// What `statfs` says of a FUSE file system.
const MAGIC: u64 = 0x6573_5546;
/// A disk's process is given this long to come up.
const COMES_UP: Duration = Duration::from_secs(60);
/// Mounts on one place that are taken away at most.
const STACKED: usize = 16;

/// Disks that were mounted, or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// How many.
    pub count: usize,
}

/// Makes the folders that mounts and sockets need.
pub(in crate::disk) fn make_folders(disks: &[NodeName]) -> io::Result<()> {
    fs::create_dir_all(Path::new(DISKS).join(SOCKETS))?;
    for disk in disks {
        fs::create_dir_all(Path::new(DISKS).join(MOUNTS).join(disk.as_str()))?;
    }
    Ok(())
}

/// Mounts all disks at their folders below `volume`, where the engine has the disks volume, and hands each to the
/// process that waits for it.
pub(in crate::disk) fn mount_disks(volume: &Path, disks: &[NodeName]) -> io::Result<Mounted> {
    let device = loop_device::make_node("fuse", FileType::CharacterDevice, 10, 229)?;
    let mut made: Vec<(UnixStream, OwnedFd, PathBuf)> = Vec::new();
    for disk in disks {
        let socket = Path::new(DISKS).join(SOCKETS).join(disk.as_str());
        let target = volume.join(MOUNTS).join(disk.as_str());
        made.push((connect(&socket)?, open_kernel(&device)?, target));
    }
    enter_engine()?;
    for (stream, kernel, target) in &made {
        mount_at(kernel, target)?;
        hand_over(stream, kernel)?;
    }
    for (_, kernel, target) in made {
        // From here on it lives as long as the process that serves it.
        drop(kernel);
        let facts = rustix::fs::statfs(&target).map_err(|error| named(&target, error.into()))?;
        if u64::try_from(facts.f_type).ok() != Some(MAGIC) {
            return Err(named(&target, io::Error::other("is no FUSE disk")));
        }
    }
    Ok(Mounted { count: disks.len() })
}

/// Takes away all mounts of FUSE disks below `volume`, served or not.
pub(in crate::disk) fn unmount_disks(volume: &Path) -> io::Result<Mounted> {
    let mut count = 0;
    enter_engine()?;
    let entries = match fs::read_dir(volume.join(MOUNTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mounted { count }),
        other => other?,
    };
    for entry in entries {
        let target = entry?.path();
        for _ in 0..STACKED {
            match unmount(&target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => count += 1,
                // Nothing is mounted there (any more).
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => return Err(named(&target, error.into())),
            }
        }
    }
    Ok(Mounted { count })
}

/// Moves this thread, the only one of its process, into the mount namespace of the engine's runtime.
fn enter_engine() -> io::Result<()> {
    let parent = rustix::process::getppid()
        .ok_or_else(|| io::Error::other("the helper does not see the machine's processes"))?;
    let link = format!("/proc/{}/ns/mnt", parent.as_raw_nonzero());
    let space = File::open(&link).map_err(|error| named(Path::new(&link), error))?;
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(|error| named(Path::new(&link), error.into()))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A connection to the kernel's FUSE, by this device node.
///
/// # Errors
/// What the system said.
pub fn open_kernel(device: &Path) -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open(device);
    file.map(OwnedFd::from)
        .map_err(|error| named(device, error))
}

/// Mounts what will be served over a connection.
///
/// # Errors
/// What the system said.
pub fn mount_at(kernel: &OwnedFd, target: &Path) -> io::Result<()> {
    // Every user may use it, as the kernel finds by the rights of files.
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
        kernel.as_raw_fd()
    );
    let options = CString::new(options).map_err(io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    mount(
        SOURCE,
        target,
        "fuse.canarynet",
        flags,
        Some(options.as_c_str()),
    )
    .map_err(|error| named(target, error.into()))
}

/// Connects to the process that waits for a disk, once it is there.
///
/// # Errors
/// When it does not come up.
pub fn connect(socket: &Path) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > COMES_UP => return Err(named(socket, error)),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Hands a connection to the kernel to the process that is to serve it.
///
/// # Errors
/// What the system said.
pub fn hand_over(stream: &UnixStream, kernel: &OwnedFd) -> io::Result<()> {
    let descriptors = [kernel.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut passed = SendAncillaryBuffer::new(&mut space);
    passed.push(SendAncillaryMessage::ScmRights(&descriptors));
    let byte = [IoSlice::new(b"!")];
    sendmsg(stream, &byte, &mut passed, SendFlags::empty())?;
    Ok(())
}
