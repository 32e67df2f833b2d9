//! What a disk was when it was last synced, as far as it has changed since. Pure: contents and times come in.
//!
//! Changes go to the backing folder at once; what they replace is kept here until a sync makes it worthless, or a power
//! cut puts it back. Files and folders are named by their inode numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    time::Duration,
};

/// Contents are kept in blocks of this size.
pub const BLOCK: u64 = 4096;
/// A disk writes whole sectors: less of a write never survives.
const SECTOR: u64 = 512;

/// An inode number of the backing file system.
pub type Inode = u64;

/// Times and rights of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Rights.
    pub mode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Last access, seconds and nanoseconds since 1970.
    pub accessed: (i64, u32),
    /// Last change of the content.
    pub modified: (i64, u32),
}

/// What one file was when it was last synced.
#[derive(Debug, Default)]
pub struct FileUndo {
    was: Option<Was>,
}

#[derive(Debug)]
struct Was {
    since: Duration,
    size: u64,
    attributes: Attributes,
    blocks: BTreeMap<u64, Vec<u8>>,
    last: Option<Last>,
}

/// The last write, and what it replaced.
#[derive(Debug)]
struct Last {
    at: Duration,
    offset: u64,
    length: u64,
    size: u64,
    before: Vec<u8>,
}

/// What brings a file back.
#[derive(Debug, PartialEq, Eq)]
pub struct Restore {
    /// The size it gets.
    pub size: u64,
    /// Bytes that it gets, by offset.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// Times and rights that it gets.
    pub attributes: Option<Attributes>,
}

impl FileUndo {
    /// Something of the file is about to change: what it was is kept if nothing is yet.
    pub fn begin(&mut self, now: Duration, size: u64, attributes: Attributes) {
        self.was.get_or_insert_with(|| Was {
            since: now,
            size,
            attributes,
            blocks: BTreeMap::new(),
            last: None,
        });
    }

    /// Whether nothing has changed since the last sync.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.was.is_none()
    }

    /// When the first change since the last sync came.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.was.as_ref().map(|was| was.since)
    }

    /// The blocks whose content must be kept before these bytes change: those that were there at the last sync and are
    /// not kept yet. To be called after [`FileUndo::begin`].
    #[must_use]
    pub fn wanted(&self, offset: u64, length: u64) -> Vec<u64> {
        let Some(was) = &self.was else {
            return Vec::new();
        };
        let end = offset.saturating_add(length).min(was.size);
        if offset >= end {
            return Vec::new();
        }
        (offset / BLOCK..end.div_ceil(BLOCK))
            .filter(|block| !was.blocks.contains_key(block))
            .collect()
    }

    /// Bytes of a block that were there at the last sync.
    #[must_use]
    pub fn length_of(&self, block: u64) -> usize {
        let size = self.was.as_ref().map_or(0, |was| was.size);
        usize::try_from(size.saturating_sub(block * BLOCK).min(BLOCK)).unwrap_or(0)
    }

    /// Keeps a block's content.
    pub fn keep(&mut self, block: u64, content: Vec<u8>) {
        if let Some(was) = &mut self.was {
            was.blocks.entry(block).or_insert(content);
        }
    }

    /// A write is about to be done: what it replaces, and the size before it.
    pub fn last_write(&mut self, at: Duration, place: (u64, u64), size: u64, before: Vec<u8>) {
        if let Some(was) = &mut self.was {
            was.last = Some(Last {
                at,
                offset: place.0,
                length: place.1,
                size,
                before,
            });
        }
    }

    /// When the last write since the last sync came.
    #[must_use]
    pub fn written(&self) -> Option<Duration> {
        let last = self.was.as_ref()?.last.as_ref()?;
        Some(last.at)
    }

    /// Bytes of memory that this takes, roughly.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.was.as_ref().map_or(0, |was| {
            let last = was.last.as_ref().map_or(0, |last| last.before.len() as u64);
            was.blocks.len() as u64 * (BLOCK + 64) + last + 128
        })
    }

    /// Bytes that were acknowledged and not synced, in whole blocks where they replaced others. `size` is the size now.
    #[must_use]
    pub fn unsynced(&self, size: u64) -> u64 {
        self.was.as_ref().map_or(0, |was| {
            let replaced = was
                .blocks
                .keys()
                .filter(|block| *block * BLOCK < size)
                .map(|block| self.length_of(*block) as u64)
                .sum::<u64>();
            replaced + size.saturating_sub(was.size)
        })
    }

    /// A sync begins: all that is kept, to be given back by [`FileUndo::put_back`] if it fails.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// A sync has failed: what it took is older than what came meanwhile.
    pub fn put_back(&mut self, older: Self) {
        let Some(mut older) = older.was else { return };
        if let Some(newer) = self.was.take() {
            for (block, content) in newer.blocks {
                // What was appended between the two was not there at the last sync.
                if block * BLOCK < older.size {
                    older.blocks.entry(block).or_insert(content);
                }
            }
            older.last = newer.last.or(older.last);
        }
        // A block that was read after an append is longer than it was.
        for (block, content) in &mut older.blocks {
            let length = older.size.saturating_sub(block * BLOCK).min(BLOCK);
            content.truncate(usize::try_from(length).unwrap_or(0));
        }
        self.was = Some(older);
    }

    /// The power is cut: what brings the file back to its last sync. Nothing if it has not changed.
    pub fn restore(&mut self) -> Option<Restore> {
        let was = self.was.take()?;
        Some(Restore {
            size: was.size,
            pieces: was
                .blocks
                .into_iter()
                .map(|(block, content)| (block * BLOCK, content))
                .collect(),
            attributes: Some(was.attributes),
        })
    }

    /// The power is cut in the last write: what takes back the part of it that did not reach the disk. All that changed
    /// before it did. `keeps` says of each of its sectors, given how many there are, whether it did. `size` is the size now.
    ///
    /// Nothing if there was no write since the last sync. Answers also how many bytes were taken back.
    pub fn tear(
        &mut self,
        size: u64,
        keeps: impl Fn(usize, usize) -> bool,
    ) -> Option<(Restore, u64)> {
        self.written()?;
        let last = self.was.take()?.last?;
        let (start, stop) = (last.offset, last.offset + last.length);
        let first = start / SECTOR;
        let sectors = usize::try_from(stop.div_ceil(SECTOR) - first).unwrap_or(usize::MAX);
        let mut pieces = Vec::new();
        let mut lost = 0;
        // Bytes behind the last sector that survived were never there.
        let mut end = last.size;
        for sector in 0..sectors {
            let from = ((first + sector as u64) * SECTOR).max(start);
            let to = ((first + sector as u64 + 1) * SECTOR).min(stop);
            if keeps(sector, sectors) {
                end = end.max(to);
                continue;
            }
            lost += to - from;
            let place = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
            let (low, high) = (place(from), place(to));
            let known = low.min(last.before.len())..high.min(last.before.len());
            // What was there before; a hole reads as zeros.
            let mut piece = last.before[known].to_vec();
            piece.resize(high - low, 0);
            pieces.push((from, piece));
        }
        let size = if last.offset + last.length >= size {
            end.min(size)
        } else {
            size
        };
        for (offset, piece) in &mut pieces {
            piece.truncate(usize::try_from(size.saturating_sub(*offset)).unwrap_or(usize::MAX));
        }
        pieces.retain(|(_, piece)| !piece.is_empty());
        let restore = Restore {
            size,
            pieces,
            attributes: None,
        };
        Some((restore, lost))
    }
}

/// What the names in a folder were when it was last synced.
#[derive(Debug, Default)]
pub struct FolderUndo {
    since: Duration,
    names: BTreeMap<OsString, Name>,
    /// Folders that a name was moved from or to: a move is synced on both sides or on none.
    partners: BTreeSet<Inode>,
}

/// A name that has changed since.
#[derive(Debug, Clone, Copy)]
struct Name {
    was: Option<Inode>,
    /// What was made under it since, if it still stands there.
    made: Option<Inode>,
}

/// All names that have changed since they were last synced.
#[derive(Debug, Default)]
pub struct Names {
    folders: BTreeMap<Inode, FolderUndo>,
    /// How many names each inode was under at the last sync and is to be put back to.
    pinned: BTreeMap<Inode, usize>,
    count: usize,
}

impl Names {
    /// A name is about to stand for something else, or nothing: what it stood for (`was`) is kept if nothing is yet.
    pub fn change(&mut self, folder: Inode, name: &OsStr, was: Option<Inode>, now: Duration) {
        let undo = self.folders.entry(folder).or_insert_with(|| FolderUndo {
            since: now,
            ..FolderUndo::default()
        });
        match undo.names.get_mut(name) {
            Some(known) => known.made = None,
            None => {
                undo.names.insert(name.to_owned(), Name { was, made: None });
                self.count += 1;
                if let Some(inode) = was {
                    *self.pinned.entry(inode).or_default() += 1;
                }
            }
        }
    }

    /// Something was made under a name that has been given to [`Names::change`].
    pub fn made(&mut self, folder: Inode, name: &OsStr, inode: Inode) {
        if let Some(known) = self
            .folders
            .get_mut(&folder)
            .and_then(|undo| undo.names.get_mut(name))
        {
            known.made = Some(inode);
        }
    }

    /// A name was moved between two folders that have been given to [`Names::change`].
    pub fn moved(&mut self, from: Inode, to: Inode) {
        if from == to {
            return;
        }
        for (one, other) in [(from, to), (to, from)] {
            if let Some(undo) = self.folders.get_mut(&one) {
                undo.partners.insert(other);
            }
        }
    }

    /// A folder is removed that no sync has ever brought to the disk: what was moved through it is synced together.
    pub fn retire(&mut self, folder: Inode) {
        let partners: Vec<Inode> = match self.folders.get(&folder) {
            Some(undo) => undo.partners.iter().copied().collect(),
            None => return,
        };
        for pair in partners.windows(2) {
            self.moved(pair[0], pair[1]);
        }
        self.forget(&[folder].into());
    }

    /// Whether an inode that a name stands for must be kept, once the name is changed, to be put back.
    #[must_use]
    pub fn keeps(&self, folder: Inode, name: &OsStr, inode: Inode) -> bool {
        let known = self
            .folders
            .get(&folder)
            .is_some_and(|undo| undo.names.contains_key(name));
        !known || self.pins(inode)
    }

    /// Whether an inode must be kept to be put back.
    #[must_use]
    pub fn pins(&self, inode: Inode) -> bool {
        self.pinned.contains_key(&inode)
    }

    /// Whether anything is known of a folder's names.
    #[must_use]
    pub fn knows(&self, folder: Inode) -> bool {
        self.folders.contains_key(&folder)
    }

    /// Names that are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Folders whose first change came before this.
    #[must_use]
    pub fn older_than(&self, moment: Duration) -> Vec<Inode> {
        self.folders
            .iter()
            .filter(|(_, undo)| undo.since < moment)
            .map(|(folder, _)| *folder)
            .collect()
    }

    /// When the first of all changes came.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.folders.values().map(|undo| undo.since).min()
    }

    /// A folder and those that must be synced with it.
    #[must_use]
    pub fn together(&self, folder: Inode) -> BTreeSet<Inode> {
        let mut all = BTreeSet::new();
        let mut ahead = vec![folder];
        while let Some(next) = ahead.pop() {
            if let Some(undo) = self.folders.get(&next)
                && all.insert(next)
            {
                ahead.extend(&undo.partners);
            }
        }
        all
    }

    /// Folders are synced, or gone for good: what their names were is worth nothing any more.
    pub fn forget(&mut self, folders: &BTreeSet<Inode>) {
        for folder in folders {
            let Some(undo) = self.folders.remove(folder) else {
                continue;
            };
            for name in undo.names.into_values() {
                self.drop_name(name);
            }
        }
    }

    fn drop_name(&mut self, name: Name) {
        self.count -= 1;
        if let Some(inode) = name.was
            && let Some(pins) = self.pinned.get_mut(&inode)
        {
            *pins -= 1;
            if *pins == 0 {
                self.pinned.remove(&inode);
            }
        }
    }

    /// A file is synced: the name under which it was made, where none was before, is on the disk too, and so are the
    /// folders above that were made since, as with every journalling file system of Linux. A move or a removal is not.
    pub fn file_synced(&mut self, inode: Inode) {
        let mut ahead = vec![inode];
        while let Some(next) = ahead.pop() {
            let found = self.folders.iter().find_map(|(folder, undo)| {
                undo.names
                    .iter()
                    .find(|(_, name)| name.made == Some(next) && name.was.is_none())
                    .map(|(name, _)| (*folder, name.clone()))
            });
            let Some((folder, name)) = found else {
                continue;
            };
            if let Some(undo) = self.folders.get_mut(&folder)
                && let Some(name) = undo.names.remove(&name)
            {
                if undo.names.is_empty() {
                    self.folders.remove(&folder);
                }
                self.drop_name(name);
            }
            ahead.push(folder);
            ahead.push(next);
        }
    }

    /// The power is cut: all names to be put back, with what they stood for.
    pub fn restore(&mut self) -> Vec<(Inode, OsString, Option<Inode>)> {
        let all = std::mem::take(self);
        all.folders
            .into_iter()
            .flat_map(|(folder, undo)| {
                undo.names
                    .into_iter()
                    .map(move |(name, was)| (folder, name, was.was))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
