//! The kernel's calls on a mounted file system: freeze, thaw, shut down.
#![expect(
    unsafe_code,
    reason = "file systems are frozen and shut down by ioctl, which no safe crate in use offers"
)]

use std::{fs::File, io};

use rustix::ioctl::{self, NoArg, Setter};

use crate::fault::operation::disk::Keep;

const FREEZE: ioctl::Opcode = 0xC004_5877;
const THAW: ioctl::Opcode = 0xC004_5878;
/// The same for ext4 and xfs.
const SHUTDOWN: ioctl::Opcode = 0x8004_587D;

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
