//! Makes the kernel forget what it has cached of a FUSE disk.

use std::sync::Arc;

use fuser::Notifier;

use super::{backing::Backing, cut::Cut, node::lock, server::number, undo::Inode};

/// A way to the kernel; none where a disk is tested without one.
#[derive(Debug, Clone, Default)]
pub(super) struct Forget(Option<Arc<Notifier>>);

impl Forget {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self(Some(Arc::new(notifier)))
    }

    /// Contents of files: they are asked for again.
    pub(super) fn pages(&self, backing: &Backing) {
        let Some(kernel) = &self.0 else { return };
        let inodes: Vec<Inode> = lock(&backing.nodes).keys().copied().collect();
        for inode in inodes.into_iter().chain([backing.top.inode]) {
            // One that it does not know is no trouble; nor is a kernel that is gone.
            let _unknown = kernel.inval_inode(number(backing.top.inode, inode), 0, 0);
        }
    }

    /// Contents, attributes, and names that a power cut has changed.
    pub(super) fn all(&self, cut: &Cut, backing: &Backing) {
        let Some(kernel) = &self.0 else { return };
        for (folder, name) in &cut.changed {
            let _unknown = kernel.inval_entry(number(backing.top.inode, *folder), name);
        }
        self.pages(backing);
    }
}
