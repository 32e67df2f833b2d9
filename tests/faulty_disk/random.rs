//! Random operations on the disk and on a plain folder of the file system behind it: same results, same errors, same
//! contents.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, renameat_with};

use super::mounted::{Disk, can_mount};

#[derive(Debug, Clone)]
enum Step {
    Open {
        slot: usize,
        path: usize,
        flags: u32,
    },
    Close(usize),
    Write {
        slot: usize,
        offset: u64,
        length: usize,
        byte: u8,
    },
    Read {
        slot: usize,
        offset: u64,
        length: usize,
    },
    Truncate {
        slot: usize,
        size: u64,
    },
    Allocate {
        slot: usize,
        mode: u32,
        offset: u64,
        length: u64,
    },
    Sync(usize),
    Rename {
        from: usize,
        to: usize,
        flags: u32,
    },
    Link(usize, usize),
    Symlink(usize, usize),
    ReadLink(usize),
    Unlink(usize),
    MakeFolder(usize, u32),
    RemoveFolder(usize),
    SyncFolder(usize),
    Rights(usize, u32),
    List(usize),
    Look(usize),
}

const PATHS: [&str; 12] = [
    "", "d", "e", "d/e", "a", "b", "c", "d/a", "d/b", "e/a", "e/d", "d/e/a",
];
const SLOTS: usize = 3;

fn flags() -> impl Strategy<Value = u32> {
    let any_of = [
        OFlags::CREATE.bits(),
        OFlags::CREATE.bits(),
        OFlags::EXCL.bits(),
        OFlags::TRUNC.bits(),
        OFlags::APPEND.bits(),
        OFlags::NOFOLLOW.bits(),
        OFlags::DSYNC.bits(),
    ];
    prop::sample::subsequence(any_of.to_vec(), 0..3)
        .prop_map(|flags| flags.into_iter().fold(0, |all, flag| all | flag))
}

fn step() -> impl Strategy<Value = Step> {
    // The top of the disk is a mount, which cannot be moved or removed.
    let path = || 1..PATHS.len();
    let any_path = || 0..PATHS.len();
    let slot = || 0..SLOTS;
    let offset = || 0..20_000_u64;
    prop_oneof![
        6 => (slot(), path(), flags()).prop_map(|(slot, path, flags)| Step::Open { slot, path, flags }),
        2 => slot().prop_map(Step::Close),
        8 => (slot(), offset(), 1..9_000_usize, any::<u8>())
            .prop_map(|(slot, offset, length, byte)| Step::Write { slot, offset, length, byte }),
        6 => (slot(), offset(), 1..9_000_usize)
            .prop_map(|(slot, offset, length)| Step::Read { slot, offset, length }),
        3 => (slot(), offset()).prop_map(|(slot, size)| Step::Truncate { slot, size }),
        2 => (slot(), prop::sample::select(vec![0, 1, 3, 16, 17, 8]), offset(), 1..9_000_u64)
            .prop_map(|(slot, mode, offset, length)| Step::Allocate { slot, mode, offset, length }),
        2 => slot().prop_map(Step::Sync),
        5 => (path(), path(), 0..4_u32).prop_map(|(from, to, flags)| Step::Rename { from, to, flags }),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Step::Symlink(from, to)),
        1 => any_path().prop_map(Step::ReadLink),
        3 => path().prop_map(Step::Unlink),
        4 => (path(), 0..0o2000_u32).prop_map(|(path, mode)| Step::MakeFolder(path, mode)),
        2 => path().prop_map(Step::RemoveFolder),
        1 => any_path().prop_map(Step::SyncFolder),
        2 => (path(), 0..0o10000_u32).prop_map(|(path, mode)| Step::Rights(path, mode)),
        2 => any_path().prop_map(Step::List),
        4 => any_path().prop_map(Step::Look),
    ]
}

/// What a step came to, so that two can be compared: never an inode number or a time.
type Came = Result<Vec<u8>, i32>;

fn came<T>(result: io::Result<T>, told: impl FnOnce(T) -> Vec<u8>) -> Came {
    match result {
        Ok(value) => Ok(told(value)),
        Err(error) => Err(error.raw_os_error().unwrap_or(-1)),
    }
}

struct Side {
    top: PathBuf,
    open: BTreeMap<usize, File>,
}

fn facts(facts: &fs::Metadata) -> Vec<u8> {
    let size = if facts.is_dir() { 0 } else { facts.len() };
    let links = if facts.is_dir() { 0 } else { facts.nlink() };
    format!("{:o} {size} {links} {}", facts.mode(), facts.uid()).into_bytes()
}

impl Side {
    fn new(top: &Path) -> Self {
        Self {
            top: top.to_owned(),
            open: BTreeMap::new(),
        }
    }

    fn path(&self, at: usize) -> PathBuf {
        self.top.join(PATHS[at])
    }

    fn with(&self, slot: usize, act: impl FnOnce(&File) -> Came) -> Came {
        self.open.get(&slot).map_or(Err(-2), act)
    }

    fn perform(&mut self, step: &Step) -> Came {
        let nothing = |()| Vec::new();
        match *step {
            Step::Open { slot, path, flags } => {
                let path = self.path(path);
                let Entry::Vacant(place) = self.open.entry(slot) else {
                    return Err(-3);
                };
                let creates = flags & OFlags::CREATE.bits() != 0;
                let opened = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags((flags & !OFlags::CREATE.bits()).cast_signed())
                    .create(creates)
                    .mode(0o640)
                    .open(path);
                came(opened, |file| {
                    place.insert(file);
                    Vec::new()
                })
            }
            Step::Close(slot) => self.open.remove(&slot).map_or(Err(-2), |_| Ok(Vec::new())),
            Step::Write {
                slot,
                offset,
                length,
                byte,
            } => self.with(slot, |file| {
                came(file.write_at(&vec![byte; length], offset), |written| {
                    written.to_string().into_bytes()
                })
            }),
            Step::Read {
                slot,
                offset,
                length,
            } => self.with(slot, |file| {
                let mut buffer = vec![0; length];
                came(file.read_at(&mut buffer, offset), |read| {
                    buffer[..read].to_vec()
                })
            }),
            Step::Truncate { slot, size } => {
                self.with(slot, |file| came(file.set_len(size), nothing))
            }
            Step::Allocate {
                slot,
                mode,
                offset,
                length,
            } => self.with(slot, |file| {
                let mode = FallocateFlags::from_bits_retain(mode);
                // Moving what follows is something that the disk does not do.
                if mode.contains(FallocateFlags::COLLAPSE_RANGE) {
                    return Err(-4);
                }
                let done = fallocate(file, mode, offset, length).map_err(io::Error::from);
                came(done, nothing)
            }),
            Step::Sync(slot) => self.with(slot, |file| came(file.sync_all(), nothing)),
            Step::Rename { from, to, flags } => {
                let flags = RenameFlags::from_bits_retain(flags);
                let done = renameat_with(CWD, self.path(from), CWD, self.path(to), flags);
                came(done.map_err(io::Error::from), nothing)
            }
            Step::Link(from, to) => came(fs::hard_link(self.path(from), self.path(to)), nothing),
            Step::Symlink(from, to) => came(symlink(PATHS[from], self.path(to)), nothing),
            Step::ReadLink(at) => came(fs::read_link(self.path(at)), |target| {
                target.into_os_string().into_encoded_bytes()
            }),
            Step::Unlink(at) => came(fs::remove_file(self.path(at)), nothing),
            Step::MakeFolder(at, mode) => {
                let mode = Mode::from_raw_mode(mode | 0o700);
                let done = rustix::fs::mkdir(self.path(at), mode);
                came(done.map_err(io::Error::from), nothing)
            }
            Step::RemoveFolder(at) => came(fs::remove_dir(self.path(at)), nothing),
            Step::SyncFolder(at) => {
                let done = File::open(self.path(at)).and_then(|folder| folder.sync_all());
                came(done, nothing)
            }
            Step::Rights(at, mode) => {
                let path = self.path(at);
                let mode = Mode::from_raw_mode(mode | 0o700);
                let done = rustix::fs::chmod(path, mode).map_err(io::Error::from);
                came(done, nothing)
            }
            Step::List(at) => {
                let names = fs::read_dir(self.path(at)).and_then(|entries| {
                    entries
                        .map(|entry| Ok(entry?.file_name()))
                        .collect::<io::Result<Vec<OsString>>>()
                });
                came(names, |mut names| {
                    names.sort();
                    names.join(std::ffi::OsStr::new("/")).into_encoded_bytes()
                })
            }
            Step::Look(at) => came(fs::symlink_metadata(self.path(at)), |found| facts(&found)),
        }
    }

    fn tree(&self) -> BTreeMap<PathBuf, (Vec<u8>, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut ahead = vec![self.top.clone()];
        while let Some(folder) = ahead.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                let content = if found.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                if found.is_dir() {
                    ahead.push(path.clone());
                }
                let name = path.strip_prefix(&self.top).unwrap().to_owned();
                tree.insert(name, (facts(&found), content));
            }
        }
        tree
    }
}

#[test]
fn the_disk_does_what_a_plain_folder_does() {
    if !can_mount() {
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&prop::collection::vec(step(), 1..80), |steps| {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(folder.path());
        let plain = folder.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let (mut ours, mut theirs) = (Side::new(&disk.target), Side::new(&plain));
        for step in &steps {
            let (one, other) = (ours.perform(step), theirs.perform(step));
            prop_assert_eq!(one, other, "{:?}", step);
        }
        prop_assert_eq!(ours.tree(), theirs.tree());
        ours.open.clear();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
