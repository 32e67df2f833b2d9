//! Changes of names: made on the backing folder at once, with what stood there before kept to be put back.

use std::{
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, MutexGuard},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, mknodat, openat,
        renameat_with, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    backing::Backing,
    limbo,
    node::{Node, lock},
    undo::{Inode, Names},
};

/// Who makes something, and with which rights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

/// Rights that a change of owner takes away.
const SPECIAL: u32 = 0o7000;
/// A folder whose content belongs to its group.
const GROUP_BIT: u32 = 0o2000;

impl Backing {
    /// Makes a file, socket or pipe; a device cannot be made here.
    pub(super) fn make_node(
        &self,
        folder: &Node,
        name: &OsStr,
        kind: FileType,
        maker: Maker,
    ) -> io::Result<Arc<Node>> {
        let mode = Mode::from_raw_mode(maker.mode & 0o7777);
        self.make(folder, name, Some(maker), || {
            mknodat(folder.place(), name, kind, mode, 0)
        })
    }

    /// Makes a file that is not there yet.
    pub(super) fn make_file(
        &self,
        folder: &Node,
        name: &OsStr,
        maker: Maker,
    ) -> io::Result<Arc<Node>> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(maker.mode & 0o7777);
        self.make(folder, name, Some(maker), || {
            openat(folder.place(), name, flags, mode).map(drop)
        })
    }

    pub(super) fn make_folder(
        &self,
        folder: &Node,
        name: &OsStr,
        maker: Maker,
    ) -> io::Result<Arc<Node>> {
        let mut maker = maker;
        if folder.facts()?.mode() & GROUP_BIT != 0 {
            maker.mode |= GROUP_BIT;
        }
        let mode = Mode::from_raw_mode(maker.mode & 0o7777);
        self.make(folder, name, Some(maker), || {
            mkdirat(folder.place(), name, mode)
        })
    }

    pub(super) fn make_symlink(
        &self,
        folder: &Node,
        name: &OsStr,
        target: &Path,
        maker: Maker,
    ) -> io::Result<Arc<Node>> {
        self.make(folder, name, Some(maker), || {
            symlinkat(target, folder.place(), name)
        })
    }

    /// Gives an inode one more name.
    pub(super) fn make_link(
        &self,
        node: &Node,
        folder: &Node,
        name: &OsStr,
    ) -> io::Result<Arc<Node>> {
        if self.links(&node.facts()?) == 0 {
            return Err(Errno::NOENT.into());
        }
        self.make(folder, name, None, || {
            linkat(
                CWD,
                node.magic(),
                folder.place(),
                name,
                AtFlags::SYMLINK_FOLLOW,
            )
        })
    }

    fn make(
        &self,
        folder: &Node,
        name: &OsStr,
        maker: Option<Maker>,
        make: impl FnOnce() -> rustix::io::Result<()>,
    ) -> io::Result<Arc<Node>> {
        let mut names = lock(&self.names);
        make()?;
        let node = self.know(folder, name, 1)?;
        if let Some(maker) = maker {
            let above = folder.facts()?;
            let group = if above.mode() & GROUP_BIT == 0 {
                maker.group
            } else {
                above.gid()
            };
            node.set_owner(Some(maker.user), Some(group))?;
            let is_link = node.facts()?.file_type().is_symlink();
            if maker.mode & SPECIAL != 0 && !is_link {
                node.set_mode(maker.mode)?;
            }
        }
        names.change(folder.inode, name, None, self.now());
        names.made(folder.inode, name, node.inode);
        Ok(node)
    }

    /// Removes the name of anything but a folder.
    pub(super) fn unlink(&self, folder: &Node, name: &OsStr) -> io::Result<()> {
        let mut names = lock(&self.names);
        // Known also when the kernel forgets it: it may be put back.
        let node = self.know(folder, name, 0)?;
        if node.is_folder {
            return Err(Errno::ISDIR.into());
        }
        let facts = node.facts()?;
        if names.keeps(folder.inode, name, node.inode) && facts.nlink() == 1 {
            self.to_limbo(folder, name, &facts)?;
        } else {
            unlinkat(folder.place(), name, AtFlags::empty())?;
        }
        names.change(folder.inode, name, Some(node.inode), self.now());
        Ok(())
    }

    /// Removes an empty folder.
    pub(super) fn remove_folder(&self, folder: &Node, name: &OsStr) -> io::Result<()> {
        let mut names = lock(&self.names);
        let node = self.know(folder, name, 0)?;
        if !node.is_folder {
            return Err(Errno::NOTDIR.into());
        }
        let kept = names.keeps(folder.inode, name, node.inode);
        if kept {
            self.keep_folder(folder, name, &node)?;
        } else {
            unlinkat(folder.place(), name, AtFlags::REMOVEDIR)?;
        }
        names.change(folder.inode, name, Some(node.inode), self.now());
        self.folder_gone(&mut names, folder, &node, kept);
        Ok(())
    }

    /// Takes an empty folder away to where it can be put back from.
    fn keep_folder(&self, folder: &Node, name: &OsStr, node: &Node) -> io::Result<()> {
        // Two entries are the folder itself and the one above.
        if self.list(node)?.len() > 2 {
            return Err(Errno::NOTEMPTY.into());
        }
        self.to_limbo(folder, name, &node.facts()?)
    }

    /// A folder that was in another one is gone: what was moved through it is synced with that one.
    fn folder_gone(
        &self,
        names: &mut MutexGuard<'_, Names>,
        folder: &Node,
        gone: &Node,
        kept: bool,
    ) {
        names.moved(folder.inode, gone.inode);
        if !kept {
            names.retire(gone.inode);
            self.purge(names);
        }
    }

    fn to_limbo(&self, folder: &Node, name: &OsStr, facts: &Metadata) -> io::Result<()> {
        limbo::take(&self.limbo_folder, folder.place(), name, facts.ino())?;
        self.in_limbo(facts);
        Ok(())
    }

    fn in_limbo(&self, facts: &Metadata) {
        lock(&self.limbo).insert(facts.ino(), facts.blocks() * 512);
    }

    /// Moves a name, over another one if there is one.
    pub(super) fn rename(
        &self,
        (from, name): (&Node, &OsStr),
        (to, new): (&Node, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let mut names = lock(&self.names);
        let moved = self.know(from, name, 0)?.inode;
        let over = match self.know(to, new, 0) {
            Ok(node) => Some(node),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let over_inode = over.as_ref().map(|node| node.inode);
        if flags.contains(RenameFlags::NOREPLACE) && over.is_some() {
            return Err(Errno::EXIST.into());
        }
        // Two names of one file: nothing is to be done.
        if over_inode == Some(moved) {
            return Ok(());
        }
        let go =
            || renameat_with(from.place(), name, to.place(), new, flags).map_err(io::Error::from);
        let replaced = over.filter(|_| !flags.contains(RenameFlags::EXCHANGE));
        let kept = match &replaced {
            None => go().map(|()| true)?,
            Some(node) => self.replace(&names, (to, new), node, go)?,
        };
        names.change(to.inode, new, over_inode, self.now());
        names.change(from.inode, name, Some(moved), self.now());
        names.moved(from.inode, to.inode);
        if let Some(node) = replaced.filter(|node| node.is_folder) {
            self.folder_gone(&mut names, to, &node, kept);
        }
        Ok(())
    }

    /// Renames over something, which is kept if it must be; answers whether it is.
    fn replace(
        &self,
        names: &Names,
        (to, new): (&Node, &OsStr),
        node: &Node,
        go: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        if !names.keeps(to.inode, new, node.inode) {
            go()?;
            return Ok(false);
        }
        if node.is_folder {
            self.keep_folder(to, new, node)?;
            go().inspect_err(|_| self.out_of_limbo(to, new, node.inode))?;
            return Ok(true);
        }
        let facts = node.facts()?;
        if facts.nlink() > 1 {
            go()?;
            return Ok(true);
        }
        let kept = node.inode.to_string();
        linkat(to.place(), new, &self.limbo_folder, &kept, AtFlags::empty())?;
        // What stays there after a failure is a second name that nobody sees, until limbo is cleared.
        go().inspect_err(|_| drop(limbo::remove(&self.limbo_folder, node.inode)))?;
        self.in_limbo(&facts);
        Ok(true)
    }

    fn out_of_limbo(&self, to: &Node, name: &OsStr, inode: Inode) {
        let back = renameat_with(
            &self.limbo_folder,
            inode.to_string(),
            to.place(),
            name,
            RenameFlags::NOREPLACE,
        );
        if back.is_ok() {
            lock(&self.limbo).remove(&inode);
        }
    }
}
