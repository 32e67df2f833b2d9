//! A power cut on the backing folder: what was not synced is undone. Nothing else may be going on meanwhile.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, atomic::Ordering},
};

use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with, syncfs};

use super::{
    backing::Backing,
    limbo,
    node::{Node, lock, place},
    rules::is_like,
    undo::Inode,
};
use crate::fault::operation::faulty::Torn;

/// What a power cut has taken.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Bytes that were acknowledged, not synced, and are gone; those of the torn file left out.
    pub(super) bytes: u64,
    /// Files that were brought back to their last sync.
    pub(super) files: u64,
    /// Names that were put back.
    pub(super) names: u64,
    /// Bytes of the last write that are gone.
    pub(super) torn_bytes: u64,
    /// The file whose last write is torn.
    pub(super) torn_path: Option<String>,
    /// Names that the kernel may have a wrong idea of now.
    pub(super) changed: Vec<(Inode, OsString)>,
}

impl Backing {
    /// The file that was written last and not synced.
    pub(super) fn last_written(&self, path: Option<&str>) -> Option<Arc<Node>> {
        let dirty: Vec<Arc<Node>> = lock(&self.dirty).values().cloned().collect();
        dirty
            .into_iter()
            .filter(|node| path.is_none_or(|pattern| is_like(&self.path(node), pattern)))
            .filter_map(|node| {
                let written = node.undo().written()?;
                Some((written, node))
            })
            .max_by_key(|(written, _)| *written)
            .map(|(_, node)| node)
    }

    /// Undoes all that was not synced, but for a file whose last write alone is torn.
    ///
    /// # Errors
    /// What the system said; the disk is then in no state that it ever was in.
    pub(super) fn cut(&self, torn: Option<&Arc<Node>>, how: Torn, seed: u64) -> io::Result<Cut> {
        let mut cut = Cut::default();
        if let Some(node) = torn.filter(|_| how != Torn::Nothing) {
            let size = node.facts()?.len();
            let torn = node.undo().tear(size, survivors(how, seed));
            if let Some((restore, lost)) = torn {
                cut.torn_path = Some(self.path(node));
                cut.torn_bytes = lost;
                node.bring_back(&restore)?;
                lock(&self.dirty).remove(&node.inode);
                lock(&self.names).file_synced(node.inode);
            }
        }
        cut.bytes = self.unsynced().bytes;
        for node in std::mem::take(&mut *lock(&self.dirty)).into_values() {
            let restore = node.undo().restore();
            if let Some(restore) = restore {
                node.bring_back(&restore)?;
                cut.files += 1;
            }
        }
        self.memory.store(0, Ordering::Relaxed);
        self.put_names_back(&mut cut)?;
        // What is left is the disk's content from now on.
        syncfs(&self.limbo_folder)?;
        Ok(cut)
    }

    fn put_names_back(&self, cut: &mut Cut) -> io::Result<()> {
        let mut names = lock(&self.names);
        let all = names.restore();
        cut.names = all.len() as u64;
        // First everything that stands under a changed name goes to limbo, under a name of its own there: so that
        // nothing is in the way, in whatever order the old names come.
        let mut aside: BTreeMap<Inode, String> = BTreeMap::new();
        for (number, (folder, name, _)) in all.iter().enumerate() {
            let folder = self.node(*folder)?;
            let Ok(there) = place(folder.place(), name) else {
                continue;
            };
            let kept = format!("aside-{number}");
            let flags = RenameFlags::NOREPLACE;
            renameat_with(folder.place(), name, &self.limbo_folder, &kept, flags)?;
            aside.insert(there.metadata()?.ino(), kept);
        }
        for (folder, name, was) in &all {
            if let Some(inode) = was {
                self.put_back(&*self.node(*folder)?, name, *inode, &aside)?;
            }
        }
        limbo::clear(&self.limbo_folder)?;
        lock(&self.limbo).clear();
        cut.changed = all
            .into_iter()
            .map(|(folder, name, _)| (folder, name))
            .collect();
        Ok(())
    }

    fn put_back(
        &self,
        folder: &Node,
        name: &OsStr,
        inode: Inode,
        aside: &BTreeMap<Inode, String>,
    ) -> io::Result<()> {
        let node = self.node(inode)?;
        if node.is_folder {
            let kept = aside.get(&inode).cloned().unwrap_or(inode.to_string());
            let flags = RenameFlags::NOREPLACE;
            return renameat_with(&self.limbo_folder, kept, folder.place(), name, flags)
                .map_err(io::Error::from);
        }
        // By the inode itself: it has a name somewhere, in limbo if nowhere else.
        linkat(
            CWD,
            node.magic(),
            folder.place(),
            name,
            AtFlags::SYMLINK_FOLLOW,
        )
        .map_err(io::Error::from)
    }
}

/// Which sectors of a torn write reach the disk: some and never all.
fn survivors(how: Torn, seed: u64) -> impl Fn(usize, usize) -> bool {
    move |sector, sectors| match how {
        Torn::Nothing => false,
        Torn::Prefix => sector < sectors / 2,
        Torn::Sectors => {
            // One step of a generator whose state is the sector's number and the seed.
            let mixed = (seed ^ sector as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sector + 1 < sectors && (sector == 0 || mixed >> 63 == 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_sectors_survive_and_never_all() {
        for how in [Torn::Prefix, Torn::Sectors] {
            for sectors in 2..40_usize {
                for seed in 0..20 {
                    let survives = survivors(how, seed);
                    let kept = (0..sectors).filter(|at| survives(*at, sectors)).count();
                    assert!(kept > 0 && kept < sectors, "{how:?} {sectors} {seed}");
                }
            }
        }
        assert!(!survivors(Torn::Prefix, 1)(0, 1));
        assert!(!survivors(Torn::Nothing, 1)(0, 9));
    }
}
