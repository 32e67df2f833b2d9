//! Bytes of all files that can be seen on the data disk, as `du` counts them.
//!
//! A file grows without a trace in its folder's times, so remembering folders would show old sizes of exactly those
//! files that matter (logs, stores). Instead the walk is bounded in time: it may use a hundredth of a processor, so a
//! large tree is walked less often. Between two walks all that changes is taken for visible: a figure from another
//! moment than that of `df` beside it would show a growing log as space that nobody can see.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

/// Files and folders looked at in one walk; the figure is too small for a larger tree.
const MAX_ENTRIES: usize = 100_000;
/// Folders that wait to be looked into.
const MAX_FOLDERS: usize = 4_096;
/// Files with several names that are remembered, so that they count once.
const MAX_LINKS: usize = 4_096;
/// A walk rests for this many times the processor time that it took: on a busy machine the clock on the wall would say
/// little of what it cost.
const REST: u32 = 100;
/// Longest rest.
const MAX_REST: Duration = Duration::from_secs(60);

pub(super) struct Visible {
    root: PathBuf,
    /// Used bytes that the last walk did not see.
    unseen: u64,
    next: Option<Instant>,
}

impl Visible {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            unseen: 0,
            next: None,
        }
    }

    /// Visible bytes of the `used` ones, which were asked for just now; measured again if enough time has passed.
    pub(super) fn measure(&mut self, now: Instant, used: u64) -> u64 {
        if self.next.is_none_or(|next| now >= next) {
            let before = processor_time();
            let seen = self.walk();
            self.unseen = used.saturating_sub(seen);
            let cost = processor_time().saturating_sub(before);
            self.next = Some(now + cost.saturating_mul(REST).min(MAX_REST));
        }
        used.saturating_sub(self.unseen)
    }

    fn walk(&self) -> u64 {
        let Ok(root) = statat(CWD, &self.root, AtFlags::empty()) else {
            return 0;
        };
        let device = root.st_dev;
        let mut bytes = allocated(root.st_blocks);
        let mut left = MAX_ENTRIES;
        let mut links = BTreeSet::new();
        let mut folders = vec![self.root.clone()];
        let mut entries = [MaybeUninit::uninit(); 4096];
        while let Some(path) = folders.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(folder) = openat(CWD, &path, flags, Mode::empty()) else {
                continue;
            };
            let mut listing = RawDir::new(&folder, &mut entries);
            while let Some(Ok(entry)) = listing.next() {
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if left == 0 {
                    return bytes;
                }
                left -= 1;
                let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                if stat.st_dev != device {
                    continue;
                }
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if is_folder && folders.len() < MAX_FOLDERS {
                    folders.push(path.join(OsStr::from_bytes(name.to_bytes())));
                }
                let again = !is_folder
                    && stat.st_nlink > 1
                    && links.len() < MAX_LINKS
                    && !links.insert(stat.st_ino);
                if !again {
                    bytes = bytes.saturating_add(allocated(stat.st_blocks));
                }
            }
        }
        bytes
    }
}

/// What this thread has used of a processor so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The unit of `st_blocks` is 512 bytes, whatever the file system's own.
fn allocated(blocks: i64) -> u64 {
    blocks.unsigned_abs().saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_count_once_and_symlinks_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut visible = Visible::new(root.to_owned());
        let empty = visible.walk();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), vec![7; 1 << 20]).unwrap();
        fs::hard_link(root.join("a/b/file"), root.join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.join("a/root")).unwrap();
        let grown = visible.walk() - empty;
        assert!((1 << 20..(1 << 20) + 64_000).contains(&grown), "{grown}");
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let all = visible.walk();
        assert_eq!(visible.measure(now, all + 5_000), all);
        // What grows until the next walk is no ghost before it, and then only what no file accounts for.
        assert_eq!(visible.measure(now, all + 9_000), all + 4_000);
        fs::write(root.join("more"), vec![7; 1 << 20]).unwrap();
        let more = visible.measure(later, all + (4 << 20));
        assert!((all + (1 << 20)..all + (2 << 20)).contains(&more), "{more}");
        assert_eq!(Visible::new("/does/not/exist".into()).walk(), 0);
    }
}
