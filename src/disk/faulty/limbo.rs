//! The folder of what was removed and may be put back: entries are named by inode number.

use std::{ffi::OsStr, fs::File, io};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};

use super::undo::Inode;

/// Depth of folders that are removed: a path has no more parts.
const DEPTH: usize = 2048;

/// Moves what stands under a name here.
pub(super) fn take(limbo: &File, folder: &File, name: &OsStr, inode: Inode) -> io::Result<()> {
    renameat_with(
        folder,
        name,
        limbo,
        inode.to_string(),
        RenameFlags::NOREPLACE,
    )
    .map_err(io::Error::from)
}

/// Removes one entry for good; one that is not there is fine.
pub(super) fn remove(limbo: &File, inode: Inode) -> io::Result<()> {
    remove_entry(limbo, OsStr::new(&inode.to_string()), DEPTH)
}

/// Removes all entries for good.
pub(super) fn clear(limbo: &File) -> io::Result<()> {
    clear_folder(limbo, DEPTH)
}

fn remove_entry(folder: &File, name: &OsStr, depth: usize) -> io::Result<()> {
    use rustix::io::Errno;
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Errno::LOOP.into());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = File::from(openat(folder, name, flags, Mode::empty())?);
    clear_folder(&inner, depth)?;
    unlinkat(folder, name, AtFlags::REMOVEDIR).map_err(io::Error::from)
}

fn clear_folder(folder: &File, depth: usize) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            remove_entry(folder, name, depth)?;
        }
    }
    Ok(())
}
