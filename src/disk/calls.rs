//! The kernel's calls on a mounted file system: freeze, thaw, shut down; and in how many pieces a file is.
#![expect(
    unsafe_code,
    reason = "file systems are frozen and shut down by ioctl, which no safe crate in use offers"
)]

use std::{fs::File, io};

use rustix::ioctl::{self, NoArg, Setter, Updater};

use crate::fault::operation::disk::Keep;

const FREEZE: ioctl::Opcode = 0xC004_5877;
const THAW: ioctl::Opcode = 0xC004_5878;
/// The same for ext4 and xfs.
const SHUTDOWN: ioctl::Opcode = 0x8004_587D;
const FIEMAP: ioctl::Opcode = 0xC020_660B;

/// The head of a question for a file's extents; without room for any the kernel only counts them.
#[repr(C)]
struct Extents {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
}

/// In how many pieces a file is on its disk.
pub(crate) fn extents(file: &File) -> Result<u32, io::Error> {
    let mut question = Extents {
        start: 0,
        length: u64::MAX,
        flags: 0,
        mapped: 0,
        room: 0,
        reserved: 0,
    };
    // SAFETY: the call reads and writes this struct, and nothing behind it where there is room for no extent.
    unsafe { ioctl::ioctl(file, Updater::<FIEMAP, Extents>::new(&mut question)) }?;
    Ok(question.mapped)
}

/// Freezes the file system that this folder is on; false if it was frozen before.
pub(super) fn freeze(folder: &File) -> Result<bool, io::Error> {
    // SAFETY: FIFREEZE takes no argument.
    match unsafe { ioctl::ioctl(folder, NoArg::<FREEZE>::new()) } {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::BUSY) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Thaws it; false if it was not frozen.
pub(super) fn thaw(folder: &File) -> Result<bool, io::Error> {
    // SAFETY: FITHAW takes no argument.
    match unsafe { ioctl::ioctl(folder, NoArg::<THAW>::new()) } {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Ends it as if its power were cut: every call fails with EIO from now on, until it is mounted anew.
pub(super) fn shut_down(folder: &File, keep: Keep) -> Result<(), io::Error> {
    let flag: u32 = match keep {
        Keep::All => 0,
        Keep::Metadata => 1,
        Keep::Nothing => 2,
    };
    // SAFETY: the call reads a u32.
    unsafe { ioctl::ioctl(folder, Setter::<SHUTDOWN, u32>::new(flag)) }?;
    Ok(())
}
