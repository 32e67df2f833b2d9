//! An inode of the backing folder, held by a descriptor: its names may change or go, it stays the same.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, openat, utimensat,
};

use super::undo::{Attributes, FileUndo, Inode, Restore};

/// See the module.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) inode: Inode,
    pub(super) is_folder: bool,
    pub(super) is_file: bool,
    /// Only a place: nothing can be read or written through it.
    place: File,
    file: OnceLock<File>,
    undo: Mutex<FileUndo>,
}

/// A lock whose holder panicked still guards what is true of the disk.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands under a name in a folder, without following links.
pub(super) fn place(folder: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

impl Node {
    pub(super) fn new(place: File) -> io::Result<Self> {
        let facts = place.metadata()?;
        Ok(Self {
            inode: facts.ino(),
            is_folder: facts.is_dir(),
            is_file: facts.is_file(),
            place,
            file: OnceLock::new(),
            undo: Mutex::default(),
        })
    }

    pub(super) fn place(&self) -> &File {
        &self.place
    }

    pub(super) fn facts(&self) -> io::Result<Metadata> {
        self.place.metadata()
    }

    pub(super) fn undo(&self) -> MutexGuard<'_, FileUndo> {
        lock(&self.undo)
    }

    /// A path to the inode itself, whatever its names are.
    pub(super) fn magic(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.place.as_raw_fd()))
    }

    /// For reading and writing, however it was opened: what is replaced must be read first.
    pub(super) fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = File::options().read(true).write(true).open(self.magic())?;
        Ok(self.file.get_or_init(|| file))
    }

    pub(super) fn sync(&self, data_only: bool) -> io::Result<()> {
        if self.is_folder {
            return File::open(self.magic())?.sync_all();
        }
        if !self.is_file {
            return Ok(());
        }
        if data_only {
            self.file()?.sync_data()
        } else {
            self.file()?.sync_all()
        }
    }

    /// Bytes from a place on, as many as there are.
    pub(super) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        let mut read = 0;
        let file = self.file()?;
        while read < length {
            match file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(read);
        Ok(buffer)
    }

    pub(super) fn attributes(facts: &Metadata) -> Attributes {
        let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or(0);
        Attributes {
            mode: facts.mode() & 0o7777,
            user: facts.uid(),
            group: facts.gid(),
            accessed: (facts.atime(), nanos(facts.atime_nsec())),
            modified: (facts.mtime(), nanos(facts.mtime_nsec())),
        }
    }

    pub(super) fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        chownat(
            &self.place,
            "",
            user.map(Uid::from_raw),
            group.map(Gid::from_raw),
            AtFlags::EMPTY_PATH,
        )
        .map_err(io::Error::from)
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(self.magic(), std::fs::Permissions::from_mode(mode & 0o7777))
    }

    pub(super) fn set_times(&self, accessed: Timespec, modified: Timespec) -> io::Result<()> {
        let times = Timestamps {
            last_access: accessed,
            last_modification: modified,
        };
        utimensat(&self.place, "", &times, AtFlags::EMPTY_PATH).map_err(io::Error::from)
    }

    /// Brings the inode back to what it was.
    pub(super) fn bring_back(&self, restore: &Restore) -> io::Result<()> {
        if self.is_file {
            let file = self.file()?;
            file.set_len(restore.size)?;
            for (offset, piece) in &restore.pieces {
                file.write_all_at(piece, *offset)?;
            }
        }
        let Some(was) = restore.attributes else {
            return Ok(());
        };
        self.set_owner(Some(was.user), Some(was.group))?;
        // A link has no rights of its own.
        if self.is_file || self.is_folder {
            self.set_mode(was.mode)?;
        }
        let time = |(seconds, nanos): (i64, u32)| Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        };
        self.set_times(time(was.accessed), time(was.modified))
    }
}
