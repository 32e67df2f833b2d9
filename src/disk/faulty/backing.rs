//! The folder behind a FUSE disk: every change goes there at once, and what undoes it is kept until it is synced.
//!
//! ```text
//!  DISK/data    what the node sees
//!  DISK/limbo   what it has removed, by inode number, until the removal is synced
//! ```
//! Locks are taken in this order: names, an inode's undo, then any of the short ones (nodes, limbo, dirty).

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, fchown},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::{FallocateFlags, StatVfs, fallocate, fstatvfs};

use super::{
    node::{Node, lock, place},
    undo::{BLOCK, FileUndo, Inode, Names},
};

/// Memory for what undoes, beyond which all is synced: a program that syncs holds some blocks, one that does not is to
/// lose much, and the process that serves the disk stays small.
const MOST_MEMORY: u64 = 32 << 20;
/// What undoes a single operation is no larger than this; a larger operation is synced at once.
const MOST_AT_ONCE: u64 = 8 << 20;
/// Names that are kept, beyond which all is synced.
const MOST_NAMES: usize = 10_000;
/// What was not synced by then is, as Linux does it by default (`vm.dirty_expire_centisecs`).
pub(super) const EXPIRES: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) top: Arc<Node>,
    pub(super) limbo_folder: File,
    pub(super) names: Mutex<Names>,
    pub(super) nodes: Mutex<BTreeMap<Inode, Known>>,
    /// Bytes that each removed inode takes.
    pub(super) limbo: Mutex<BTreeMap<Inode, u64>>,
    /// Inodes that have changed since they were last synced.
    pub(super) dirty: Mutex<BTreeMap<Inode, Arc<Node>>>,
    pub(super) memory: AtomicI64,
    written_back: AtomicU64,
    started: Instant,
    data_path: PathBuf,
}

/// An inode that the kernel knows, or that must be kept.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) node: Arc<Node>,
    /// How often the kernel was told of it and has not forgotten it.
    pub(super) lookups: u64,
}

/// What is acknowledged and not synced.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Unsynced {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files that have changed.
    pub files: u64,
    /// Names that have changed.
    pub names: u64,
    /// How long ago the first of these changes came.
    #[serde(with = "crate::time::micros")]
    pub oldest: Duration,
    /// The file with most of these bytes, from the top of the disk; empty if there is none.
    pub most: String,
    /// Bytes so far that no sync was asked for, and that only time (or want of memory or room) has brought to the disk.
    pub written_back: u64,
}

impl Backing {
    /// On a folder of a file system of its own. `data` belongs to this user and group.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn open(disk: &Path, user: u32, group: u32) -> io::Result<Self> {
        let (data, limbo) = (disk.join("data"), disk.join("limbo"));
        // What an earlier process left was removed, and its power never cut.
        match fs::remove_dir_all(&limbo) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().mode(0o700).create(&limbo)?,
        }
        match fs::DirBuilder::new().mode(0o755).create(&data) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) => fchown(File::open(&data)?, Some(user), Some(group))?,
            Err(_) => {}
        }
        let top = Node::new(place(&File::open(disk)?, OsStr::new("data"))?)?;
        rustix::fs::syncfs(File::open(disk)?)?;
        Ok(Self {
            data_path: fs::read_link(top.magic())?,
            limbo_folder: File::open(&limbo)?,
            top: Arc::new(top),
            names: Mutex::default(),
            nodes: Mutex::default(),
            limbo: Mutex::default(),
            dirty: Mutex::default(),
            memory: AtomicI64::new(0),
            written_back: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// Time since this began.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// An inode that the kernel names.
    pub(super) fn node(&self, inode: Inode) -> io::Result<Arc<Node>> {
        if inode == self.top.inode {
            return Ok(Arc::clone(&self.top));
        }
        lock(&self.nodes)
            .get(&inode)
            .map(|known| Arc::clone(&known.node))
            .ok_or_else(|| rustix::io::Errno::STALE.into())
    }

    /// What stands under a name, known from now on; told to the kernel so often.
    pub(super) fn know(&self, folder: &Node, name: &OsStr, lookups: u64) -> io::Result<Arc<Node>> {
        let node = Node::new(place(folder.place(), name)?)?;
        if node.inode == self.top.inode {
            return Ok(Arc::clone(&self.top));
        }
        let mut nodes = lock(&self.nodes);
        let known = nodes.entry(node.inode).or_insert_with(|| Known {
            node: Arc::new(node),
            lookups: 0,
        });
        known.lookups += lookups;
        Ok(Arc::clone(&known.node))
    }

    /// The kernel has forgotten an inode so often; it is let go of by [`Backing::sweep`].
    pub(super) fn forget(&self, inode: Inode, lookups: u64) {
        if let Some(known) = lock(&self.nodes).get_mut(&inode) {
            known.lookups = known.lookups.saturating_sub(lookups);
        }
    }

    /// Lets go of inodes that nobody needs.
    pub(super) fn sweep(&self) {
        let names = lock(&self.names);
        let dirty = lock(&self.dirty);
        lock(&self.nodes).retain(|inode, known| {
            known.lookups > 0
                || dirty.contains_key(inode)
                || names.knows(*inode)
                || names.pins(*inode)
        });
    }

    /// A path from the top of the disk, without leading slash; empty for what has no name any more.
    pub(super) fn path(&self, node: &Node) -> String {
        let path = fs::read_link(node.magic()).unwrap_or_default();
        match path.strip_prefix(&self.data_path) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => String::new(),
        }
    }

    /// Names that the kernel should not see count for none.
    pub(super) fn links(&self, facts: &fs::Metadata) -> u64 {
        let hidden = lock(&self.limbo).contains_key(&facts.ino());
        match (hidden, facts.is_dir()) {
            (true, true) => 0,
            (true, false) => facts.nlink().saturating_sub(1),
            (false, _) => facts.nlink(),
        }
    }

    /// Answers how many bytes were written: fewer where the room ends.
    pub(super) fn write(&self, node: &Arc<Node>, offset: u64, data: &[u8]) -> io::Result<usize> {
        let length = data.len() as u64;
        self.change(node, (offset, length), |undo, size| {
            let there = size.saturating_sub(offset).min(length);
            let before = node.read(offset, usize::try_from(there).unwrap_or(0))?;
            undo.last_write(self.now(), (offset, length), size, before);
            write_most(node.file()?, data, offset)
        })
    }

    pub(super) fn truncate(&self, node: &Arc<Node>, size: u64) -> io::Result<()> {
        self.change(node, (size, u64::MAX - size), |_, _| {
            node.file()?.set_len(size)
        })
    }

    pub(super) fn allocate(
        &self,
        node: &Arc<Node>,
        mode: FallocateFlags,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        let moves = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
        if mode.intersects(moves) {
            return Err(rustix::io::Errno::OPNOTSUPP.into());
        }
        let clears = mode.intersects(FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE);
        let touched = if clears { (offset, length) } else { (0, 0) };
        self.change(node, touched, |_, _| {
            fallocate(node.file()?, mode, offset, length).map_err(io::Error::from)
        })
    }

    /// Rights, owner or times.
    pub(super) fn set_attributes(
        &self,
        node: &Arc<Node>,
        set: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.change(node, (0, 0), |_, _| set())
    }

    /// Changes an inode after what undoes it was kept: the content of these bytes, and its size and attributes.
    fn change<T>(
        &self,
        node: &Arc<Node>,
        (offset, length): (u64, u64),
        change: impl FnOnce(&mut FileUndo, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut undo = node.undo();
        let before = undo.memory();
        let facts = node.facts()?;
        undo.begin(self.now(), facts.len(), Node::attributes(&facts));
        let wanted = undo.wanted(offset, length);
        let too_much = wanted.len() as u64 * BLOCK > MOST_AT_ONCE;
        if !too_much {
            for block in wanted {
                let content = node.read(block * BLOCK, undo.length_of(block))?;
                undo.keep(block, content);
            }
        }
        let result = change(&mut undo, facts.len());
        if too_much && result.is_ok() {
            node.sync(false)?;
            self.count_written_back(undo.unsynced(facts.len()) + length.min(facts.len()));
            drop(undo.take());
        }
        self.account(before, undo.memory());
        let mut dirty = lock(&self.dirty);
        if undo.is_clean() {
            dirty.remove(&node.inode);
        } else {
            dirty.insert(node.inode, Arc::clone(node));
        }
        result
    }

    /// Syncs an inode: what it was before is worth nothing from now on.
    pub(super) fn sync(&self, node: &Arc<Node>, data_only: bool) -> io::Result<()> {
        if node.is_folder {
            return self.sync_folder(node);
        }
        let older = node.undo().take();
        self.account(older.memory(), 0);
        if let Err(error) = node.sync(data_only) {
            let mut undo = node.undo();
            let before = undo.memory();
            undo.put_back(older);
            self.account(before, undo.memory());
            return Err(error);
        }
        {
            let undo = node.undo();
            if undo.is_clean() {
                lock(&self.dirty).remove(&node.inode);
            }
        }
        let mut names = lock(&self.names);
        if names.count() > 0 {
            names.file_synced(node.inode);
            self.purge(&mut names);
        }
        Ok(())
    }

    fn sync_folder(&self, node: &Arc<Node>) -> io::Result<()> {
        // Held over the sync: a name that changes meanwhile may or may not be in it.
        let mut names = lock(&self.names);
        let all = names.together(node.inode);
        for inode in &all {
            self.node(*inode)?.sync(false)?;
        }
        if all.is_empty() {
            node.sync(false)?;
        }
        names.forget(&all);
        self.purge(&mut names);
        drop(names);
        let mut undo = node.undo();
        self.account(undo.memory(), 0);
        drop(undo.take());
        lock(&self.dirty).remove(&node.inode);
        Ok(())
    }

    /// Syncs what changed longer ago than this. Failures are left to the next sync.
    pub(super) fn write_back_older(&self, age: Duration) {
        let Some(moment) = self.now().checked_sub(age) else {
            return;
        };
        let dirty: Vec<Arc<Node>> = lock(&self.dirty).values().cloned().collect();
        for node in dirty {
            let (since, bytes) = {
                let undo = node.undo();
                let size = node.facts().map_or(0, |facts| facts.len());
                (undo.since(), undo.unsynced(size))
            };
            if since.is_some_and(|since| since < moment) && self.sync(&node, false).is_ok() {
                self.count_written_back(bytes);
            }
        }
        let folders = lock(&self.names).older_than(moment);
        for folder in folders {
            if let Ok(node) = self.node(folder) {
                let _again_later = self.sync_folder(&node);
            }
        }
    }

    /// Syncs everything. Nothing else may be going on.
    pub(super) fn write_back(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.limbo_folder)?;
        self.count_written_back(self.unsynced().bytes);
        for node in std::mem::take(&mut *lock(&self.dirty)).into_values() {
            drop(node.undo().take());
        }
        self.memory.store(0, Ordering::Relaxed);
        let mut names = lock(&self.names);
        *names = Names::default();
        self.purge(&mut names);
        Ok(())
    }

    /// Whether more is kept than should be.
    pub(super) fn over_budget(&self) -> bool {
        self.memory.load(Ordering::Relaxed) > MOST_MEMORY.cast_signed()
            // Held only while names change, which is looked at again soon.
            || self.names.try_lock().is_ok_and(|names| names.count() > MOST_NAMES)
    }

    /// Whether something may take room that a sync would free: what was removed, and files without a name that are only
    /// known because their changes are.
    pub(super) fn holds_room(&self) -> bool {
        !lock(&self.limbo).is_empty() || !lock(&self.dirty).is_empty()
    }

    /// Removes for good what is not to be put back any more; of a folder, what was in it neither.
    pub(super) fn purge(&self, names: &mut Names) {
        let mut limbo = lock(&self.limbo);
        loop {
            let free = limbo.keys().find(|inode| !names.pins(**inode)).copied();
            let Some(inode) = free else { return };
            names.forget(&[inode].into());
            limbo.remove(&inode);
            // What cannot be removed takes room until the next power cut clears all.
            let _stays = super::limbo::remove(&self.limbo_folder, inode);
        }
    }

    /// Facts of the file system; what is kept in limbo counts as free.
    pub(super) fn room(&self) -> io::Result<StatVfs> {
        let mut facts = fstatvfs(&self.limbo_folder)?;
        let limbo = lock(&self.limbo);
        let blocks = limbo.values().sum::<u64>() / facts.f_frsize.max(1);
        facts.f_bfree += blocks;
        facts.f_bavail += blocks;
        facts.f_ffree += limbo.len() as u64;
        facts.f_favail += limbo.len() as u64;
        Ok(facts)
    }

    /// What is acknowledged and not synced.
    pub(super) fn unsynced(&self) -> Unsynced {
        let dirty: Vec<Arc<Node>> = lock(&self.dirty).values().cloned().collect();
        let (count, since) = {
            let names = lock(&self.names);
            (names.count() as u64, names.since())
        };
        let mut all = Unsynced {
            names: count,
            written_back: self.written_back.load(Ordering::Relaxed),
            ..Unsynced::default()
        };
        let mut first = since;
        let mut most = None;
        for node in &dirty {
            let undo = node.undo();
            let Some(since) = undo.since() else { continue };
            let size = node.facts().map_or(0, |facts| facts.len());
            let bytes = undo.unsynced(size);
            all.files += 1;
            all.bytes += bytes;
            first = Some(first.map_or(since, |first| first.min(since)));
            if most.is_none_or(|(known, _)| bytes > known) && bytes > 0 {
                most = Some((bytes, node));
            }
        }
        all.most = most.map_or_else(String::new, |(_, node)| self.path(node));
        all.oldest = first.map_or(Duration::ZERO, |first| self.now().saturating_sub(first));
        all
    }

    /// Unsynced bytes of each file, most first.
    pub(super) fn unsynced_files(&self) -> Vec<(String, u64)> {
        let dirty: Vec<Arc<Node>> = lock(&self.dirty).values().cloned().collect();
        let mut files: Vec<(String, u64)> = dirty
            .iter()
            .map(|node| {
                let size = node.facts().map_or(0, |facts| facts.len());
                let bytes = node.undo().unsynced(size);
                (self.path(node), bytes)
            })
            .collect();
        files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        files
    }

    /// Entries of a folder: inode, name and type.
    pub(super) fn list(&self, node: &Node) -> io::Result<Vec<Listed>> {
        let folder = File::open(node.magic())?;
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            let entry = entry?;
            let name = std::os::unix::ffi::OsStrExt::from_bytes(entry.file_name().to_bytes());
            entries.push(Listed {
                inode: entry.ino(),
                name: OsStr::to_owned(name),
                kind: entry.file_type(),
            });
        }
        Ok(entries)
    }

    pub(super) fn count_written_back(&self, bytes: u64) {
        self.written_back.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn account(&self, before: u64, after: u64) {
        self.memory.fetch_add(
            after.cast_signed() - before.cast_signed(),
            Ordering::Relaxed,
        );
    }
}

fn write_most(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    let mut written = 0;
    while written < data.len() {
        match file.write_at(&data[written..], offset + written as u64) {
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// An entry of a folder.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) inode: Inode,
    pub(super) name: OsString,
    pub(super) kind: rustix::fs::FileType,
}
