//! What the kernel asks of a FUSE disk, answered from the backing folder.
//!
//! No extended attributes, no devices. `sync` and `syncfs` do not reach a FUSE server (the kernel keeps them to
//! itself): only `fsync` on files and folders makes anything durable here, and time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use rustix::fs::{FallocateFlags, OFlags, Timespec, UTIME_NOW, UTIME_OMIT, readlinkat};

use super::{
    backing::Listed,
    disk::{Disk, Subject},
    node::{Node, lock},
    tree::Maker,
    undo::Inode,
};
use crate::fault::operation::faulty::FileOperation;

/// The kernel may go by what it was told for this long. Nobody but the kernel changes anything, and a power cut makes it
/// forget all; a second keeps whatever that misses short.
const VALID: Duration = Duration::from_secs(1);
/// Largest write at once. A larger one comes in parts, as it does on other file systems.
const MOST_WRITTEN: u32 = 1 << 20;
/// The kernel's own number for the top folder.
const TOP: u64 = 1;
/// Folders are listed from handles that no file has.
const NO_HANDLE: FileHandle = FileHandle(0);

/// See the module.
pub(super) struct Server {
    disk: Arc<Disk>,
    /// What folders that are open held when they were last listed from the start.
    listings: Mutex<BTreeMap<u64, Arc<Vec<Listed>>>>,
    handles: AtomicU64,
}

impl Server {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            listings: Mutex::default(),
            handles: AtomicU64::new(1),
        }
    }

    fn node(&self, number: INodeNo) -> io::Result<Arc<Node>> {
        if number.0 == TOP {
            return Ok(Arc::clone(&self.disk.backing.top));
        }
        self.disk.backing.node(number.0)
    }

    fn number(&self, inode: Inode) -> INodeNo {
        number(self.disk.backing.top.inode, inode)
    }

    fn attributes(&self, node: &Node) -> io::Result<FileAttr> {
        let facts = node.facts()?;
        let time = |seconds: i64, nanos: i64| {
            let nanos = Duration::from_nanos(nanos.unsigned_abs());
            let seconds_off = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 {
                UNIX_EPOCH - seconds_off + nanos
            } else {
                UNIX_EPOCH + seconds_off + nanos
            }
        };
        Ok(FileAttr {
            ino: self.number(facts.ino()),
            size: facts.len(),
            blocks: facts.blocks(),
            atime: time(facts.atime(), facts.atime_nsec()),
            mtime: time(facts.mtime(), facts.mtime_nsec()),
            ctime: time(facts.ctime(), facts.ctime_nsec()),
            crtime: UNIX_EPOCH,
            kind: kind(&facts),
            perm: (facts.mode() & 0o7777) as u16,
            nlink: u32::try_from(self.disk.backing.links(&facts)).unwrap_or(u32::MAX),
            uid: facts.uid(),
            gid: facts.gid(),
            rdev: u32::try_from(facts.rdev()).unwrap_or(0),
            blksize: u32::try_from(facts.blksize()).unwrap_or(4096),
            flags: 0,
        })
    }

    /// Makes something under a name.
    fn make(
        &self,
        folder: INodeNo,
        name: &OsStr,
        make: impl Fn(&Node) -> io::Result<Arc<Node>>,
    ) -> io::Result<FileAttr> {
        let folder = self.node(folder)?;
        let subject = Subject::Name(&folder, name);
        self.disk.run(FileOperation::Create, subject, || {
            self.attributes(&*make(&folder)?)
        })
    }

    fn set(&self, number: INodeNo, wanted: &Wanted) -> io::Result<FileAttr> {
        let node = self.node(number)?;
        let backing = &self.disk.backing;
        if let Some(size) = wanted.size {
            let subject = Subject::Node(&node, size, 0);
            self.disk.run(FileOperation::Truncate, subject, || {
                backing.truncate(&node, size)
            })?;
        }
        self.disk.look(|| {
            backing.set_attributes(&node, || {
                if wanted.user.is_some() || wanted.group.is_some() {
                    node.set_owner(wanted.user, wanted.group)?;
                }
                if let Some(mode) = wanted.mode {
                    node.set_mode(mode)?;
                }
                if wanted.accessed.is_some() || wanted.modified.is_some() {
                    node.set_times(timespec(wanted.accessed), timespec(wanted.modified))?;
                }
                Ok(())
            })?;
            self.attributes(&node)
        })
    }

    fn write_all(
        &self,
        number: INodeNo,
        offset: u64,
        data: &[u8],
        flags: OpenFlags,
    ) -> io::Result<u32> {
        let node = self.node(number)?;
        let length = data.len() as u64;
        let subject = Subject::Node(&node, offset, length);
        let written = self.disk.run(FileOperation::Write, subject, || {
            self.disk.backing.write(&node, offset, data)
        })?;
        // Set by O_SYNC too.
        if flags.0.cast_unsigned() & OFlags::DSYNC.bits() != 0 {
            self.sync_node(&node, true)?;
        }
        Ok(u32::try_from(written).unwrap_or(u32::MAX))
    }

    fn sync_node(&self, node: &Arc<Node>, data_only: bool) -> io::Result<()> {
        self.disk.about_to_sync(node);
        let subject = Subject::Node(node, 0, 0);
        self.disk.run(FileOperation::Fsync, subject, || {
            self.disk.backing.sync(node, data_only)
        })
    }

    /// A folder's entries as they were when it was last listed from the start through this handle.
    fn listing(&self, number: INodeNo, handle: u64, from: u64) -> io::Result<Arc<Vec<Listed>>> {
        if from > 0
            && let Some(listing) = lock(&self.listings).get(&handle)
        {
            return Ok(Arc::clone(listing));
        }
        let node = self.node(number)?;
        let subject = Subject::Node(&node, 0, 0);
        let listing = self.disk.run(FileOperation::List, subject, || {
            self.disk.backing.list(&node)
        })?;
        let listing = Arc::new(listing);
        lock(&self.listings).insert(handle, Arc::clone(&listing));
        Ok(listing)
    }
}

/// The kernel's number of an inode.
pub(super) fn number(top: Inode, inode: Inode) -> INodeNo {
    INodeNo(if inode == top { TOP } else { inode })
}

fn kind(facts: &Metadata) -> FileType {
    let kind = facts.file_type();
    if kind.is_dir() {
        FileType::Directory
    } else if kind.is_symlink() {
        FileType::Symlink
    } else if kind.is_fifo() {
        FileType::NamedPipe
    } else if kind.is_socket() {
        FileType::Socket
    } else if kind.is_char_device() {
        FileType::CharDevice
    } else if kind.is_block_device() {
        FileType::BlockDevice
    } else {
        FileType::RegularFile
    }
}

fn listed_kind(kind: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Listed;
    match kind {
        Listed::Directory => FileType::Directory,
        Listed::Symlink => FileType::Symlink,
        Listed::Fifo => FileType::NamedPipe,
        Listed::Socket => FileType::Socket,
        Listed::CharacterDevice => FileType::CharDevice,
        Listed::BlockDevice => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// Attributes that are to be changed.
#[derive(Debug)]
struct Wanted {
    size: Option<u64>,
    mode: Option<u32>,
    user: Option<u32>,
    group: Option<u32>,
    accessed: Option<TimeOrNow>,
    modified: Option<TimeOrNow>,
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match time {
        None => special(UTIME_OMIT),
        Some(TimeOrNow::Now) => special(UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => {
            let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
                Ok(since) => (since.as_secs().cast_signed(), since.subsec_nanos()),
                Err(error) => {
                    let before = error.duration();
                    let (seconds, nanos) = (before.as_secs().cast_signed(), before.subsec_nanos());
                    match nanos {
                        0 => (-seconds, 0),
                        nanos => (-seconds - 1, 1_000_000_000 - nanos),
                    }
                }
            };
            Timespec {
                tv_sec: seconds,
                tv_nsec: nanos.into(),
            }
        }
    }
}

fn maker(request: &Request, mode: u32) -> Maker {
    Maker {
        user: request.uid(),
        group: request.gid(),
        mode,
    }
}

/// Answers with what came of it.
macro_rules! answer {
    ($reply:ident, $result:expr, $answer:expr) => {
        match $result {
            Ok(value) => $answer($reply, value),
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

impl Filesystem for Server {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Both only make it faster; a kernel without them works as well.
        let _older = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _smaller = config.set_max_write(MOST_WRITTEN);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.node(parent).and_then(|folder| {
            self.disk.look(|| {
                let node = self.disk.backing.know(&folder, name, 1)?;
                self.attributes(&node)
            })
        });
        answer!(reply, found, |reply: ReplyEntry, facts| reply.entry(
            &VALID,
            &facts,
            Generation(0)
        ));
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.disk.backing.forget(number.0, lookups);
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let facts = self
            .node(number)
            .and_then(|node| self.disk.look(|| self.attributes(&node)));
        answer!(reply, facts, |reply: ReplyAttr, facts| reply
            .attr(&VALID, &facts));
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _renamed: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wanted = Wanted {
            size,
            mode,
            user,
            group,
            accessed,
            modified,
        };
        answer!(
            reply,
            self.set(number, &wanted),
            |reply: ReplyAttr, facts| reply.attr(&VALID, &facts)
        );
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        let target = self.node(number).and_then(|node| {
            self.disk
                .look(|| readlinkat(node.place(), "", Vec::new()).map_err(io::Error::from))
        });
        answer!(
            reply,
            target,
            |reply: ReplyData, target: std::ffi::CString| reply.data(target.as_bytes())
        );
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _mask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        let kind = rustix::fs::FileType::from_raw_mode(mode);
        let made = self.make(parent, name, |folder| {
            self.disk
                .backing
                .make_node(folder, name, kind, maker(request, mode))
        });
        answer!(reply, made, |reply: ReplyEntry, facts| reply.entry(
            &VALID,
            &facts,
            Generation(0)
        ));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _mask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.make(parent, name, |folder| {
            self.disk
                .backing
                .make_folder(folder, name, maker(request, mode))
        });
        answer!(reply, made, |reply: ReplyEntry, facts| reply.entry(
            &VALID,
            &facts,
            Generation(0)
        ));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let made = self.make(parent, name, |folder| {
            self.disk
                .backing
                .make_symlink(folder, name, target, maker(request, 0o777))
        });
        answer!(reply, made, |reply: ReplyEntry, facts| reply.entry(
            &VALID,
            &facts,
            Generation(0)
        ));
    }

    fn link(
        &self,
        _request: &Request,
        number: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let made = self.node(number).and_then(|node| {
            self.make(parent, name, |folder| {
                self.disk.backing.make_link(&node, folder, name)
            })
        });
        answer!(reply, made, |reply: ReplyEntry, facts| reply.entry(
            &VALID,
            &facts,
            Generation(0)
        ));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _mask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(parent, name, |folder| {
            self.disk
                .backing
                .make_file(folder, name, maker(request, mode))
        });
        answer!(reply, made, |reply: ReplyCreate, facts| reply.created(
            &VALID,
            &facts,
            Generation(0),
            NO_HANDLE,
            FopenFlags::empty()
        ));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.node(parent).and_then(|folder| {
            self.disk
                .run(FileOperation::Unlink, Subject::Name(&folder, name), || {
                    self.disk.backing.unlink(&folder, name)
                })
        });
        answer!(reply, removed, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.node(parent).and_then(|folder| {
            self.disk
                .run(FileOperation::Unlink, Subject::Name(&folder, name), || {
                    self.disk.backing.remove_folder(&folder, name)
                })
        });
        answer!(reply, removed, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        let known = rustix::fs::RenameFlags::NOREPLACE | rustix::fs::RenameFlags::EXCHANGE;
        if !known.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let nodes = self.node(parent).and_then(|from| {
            let to = self.node(new_parent)?;
            Ok((from, to))
        });
        let renamed = nodes.and_then(|(from, to)| {
            self.disk
                .run(FileOperation::Rename, Subject::Name(&from, name), || {
                    self.disk
                        .backing
                        .rename((&from, name), (&to, new_name), flags)
                })
        });
        answer!(reply, renamed, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.node(number).and_then(|node| {
            self.disk
                .run(FileOperation::Open, Subject::Node(&node, 0, 0), || {
                    node.file().map(drop)
                })
        });
        answer!(reply, opened, |reply: ReplyOpen, ()| reply
            .opened(NO_HANDLE, FopenFlags::empty()));
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.node(number).and_then(|node| {
            let subject = Subject::Node(&node, offset, size.into());
            self.disk.run(FileOperation::Read, subject, || {
                node.read(offset, size as usize)
            })
        });
        answer!(reply, read, |reply: ReplyData, data: Vec<u8>| reply
            .data(&data));
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(
            reply,
            self.write_all(number, offset, data, flags),
            ReplyWrite::written
        );
    }

    fn fallocate(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let done = self.node(number).and_then(|node| {
            let subject = Subject::Node(&node, offset, length);
            self.disk.run(FileOperation::Allocate, subject, || {
                self.disk.backing.allocate(&node, mode, offset, length)
            })
        });
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsync(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        let synced = self
            .node(number)
            .and_then(|node| self.sync_node(&node, data_only));
        answer!(reply, synced, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsyncdir(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(request, number, handle, data_only, reply);
    }

    fn opendir(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let handle = self.handles.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = match self.listing(number, handle.0, offset) {
            Ok(listing) => listing,
            Err(error) => return reply.error(Errno::from(error)),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, entry) in listing.iter().enumerate().skip(from) {
            let (inode, kind) = (self.number(entry.inode), listed_kind(entry.kind));
            if reply.add(inode, place as u64 + 1, kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        lock(&self.listings).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let room = self.disk.look(|| self.disk.backing.room());
        answer!(
            reply,
            room,
            |reply: ReplyStatfs, room: rustix::fs::StatVfs| reply.statfs(
                room.f_blocks,
                room.f_bfree,
                room.f_bavail,
                room.f_files,
                room.f_ffree,
                u32::try_from(room.f_bsize).unwrap_or(4096),
                u32::try_from(room.f_namemax).unwrap_or(255),
                u32::try_from(room.f_frsize).unwrap_or(4096),
            )
        );
    }
}
