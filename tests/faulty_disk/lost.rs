//! After a power cut the disk holds exactly what was synced: random operations against a model that is not built as the
//! disk is (whole states instead of what undoes a change).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use canarynet::fault::operation::faulty::Torn;
use proptest::prelude::*;

use super::mounted::{Disk, can_mount};

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Write(usize, u64, usize, u8),
    Truncate(usize, u64),
    Sync(usize),
    SyncFolder(usize),
    Rename(usize, usize),
    Link(usize, usize),
    Unlink(usize),
    MakeFolder(usize),
    RemoveFolder(usize),
    Cut,
}

/// Folders of the pool, the top one first, then names of which each may be a file or a folder.
const PATHS: [&str; 10] = ["", "d", "e", "d/e", "a", "b", "d/a", "d/b", "e/a", "d/e/a"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 1..PATHS.len();
    prop_oneof![
        4 => name().prop_map(Step::Create),
        6 => (name(), 0..9_000_u64, 1..6_000_usize, any::<u8>())
            .prop_map(|(path, offset, length, byte)| Step::Write(path, offset, length, byte)),
        2 => (name(), 0..12_000_u64).prop_map(|(path, size)| Step::Truncate(path, size)),
        4 => name().prop_map(Step::Sync),
        3 => (0..4_usize).prop_map(Step::SyncFolder),
        5 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Link(from, to)),
        3 => name().prop_map(Step::Unlink),
        3 => name().prop_map(Step::MakeFolder),
        2 => name().prop_map(Step::RemoveFolder),
        1 => Just(Step::Cut),
    ]
}

/// A file or folder, now and on the disk.
#[derive(Debug, Clone, Default)]
struct Inode {
    folder: bool,
    content: Vec<u8>,
    synced: Vec<u8>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Names that were made here since, where the disk has none.
    made: BTreeMap<String, usize>,
    /// Folders with which names were exchanged since.
    partners: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
struct Model {
    inodes: Vec<Inode>,
}

impl Model {
    fn new() -> Self {
        Self {
            inodes: vec![Inode {
                folder: true,
                ..Inode::default()
            }],
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(0, |at, part| self.inodes[at].names.get(part).copied())
    }

    fn place(&self, path: &str) -> Option<(usize, String)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Some((self.find(folder)?, name.to_owned()))
    }

    fn set(&mut self, place: &(usize, String), inode: Option<usize>, made: bool) {
        let folder = &mut self.inodes[place.0];
        folder.made.remove(&place.1);
        match inode {
            Some(inode) => {
                folder.names.insert(place.1.clone(), inode);
                if made && !folder.synced_names.contains_key(&place.1) {
                    folder.made.insert(place.1.clone(), inode);
                }
            }
            None => {
                folder.names.remove(&place.1);
            }
        }
    }

    fn make(&mut self, path: &str, folder: bool) {
        let place = self.place(path).unwrap();
        self.inodes.push(Inode {
            folder,
            ..Inode::default()
        });
        self.set(&place, Some(self.inodes.len() - 1), true);
    }

    fn sync(&mut self, inode: usize) {
        self.inodes[inode].synced = self.inodes[inode].content.clone();
        self.name_synced(inode);
    }

    fn name_synced(&mut self, inode: usize) {
        for folder in 0..self.inodes.len() {
            let made = self.inodes[folder].made.clone();
            for (name, _) in made.iter().filter(|(_, made)| **made == inode) {
                let at = &mut self.inodes[folder];
                at.made.remove(name);
                at.synced_names.insert(name.clone(), inode);
                self.name_synced(folder);
            }
        }
    }

    fn sync_folder(&mut self, inode: usize) {
        let mut ahead = vec![inode];
        while let Some(at) = ahead.pop() {
            let folder = &mut self.inodes[at];
            folder.synced_names = folder.names.clone();
            folder.made.clear();
            ahead.extend(std::mem::take(&mut folder.partners));
        }
    }

    /// What is moved between two folders, or through one that is removed, is synced on both sides or on none.
    fn together(&mut self, one: usize, other: usize) {
        if one != other {
            self.inodes[one].partners.insert(other);
            self.inodes[other].partners.insert(one);
        }
    }

    fn cut(&mut self) {
        for inode in &mut self.inodes {
            inode.content = inode.synced.clone();
            inode.names = inode.synced_names.clone();
            inode.made.clear();
            inode.partners.clear();
        }
    }

    fn tree(&self, at: usize, path: &str, tree: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for (name, inode) in &self.inodes[at].names {
            let path = format!("{path}/{name}");
            let inode_at = &self.inodes[*inode];
            if inode_at.folder {
                tree.insert(path.clone(), None);
                self.tree(*inode, &path, tree);
            } else {
                tree.insert(path, Some(inode_at.content.clone()));
            }
        }
    }
}

fn real_tree(top: &Path, at: &Path, tree: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(top).unwrap().display());
        if path.is_dir() {
            tree.insert(name, None);
            real_tree(top, &path, tree);
        } else {
            tree.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
}

/// Does a step on the disk and, where it succeeds there, on the model.
fn perform(disk: &Disk, model: &mut Model, step: &Step) {
    let path = |place: &usize| -> PathBuf { disk.target.join(PATHS[*place]) };
    match step {
        Step::Create(at) => {
            if File::create_new(path(at)).is_ok() {
                model.make(PATHS[*at], false);
            }
        }
        Step::Write(at, offset, length, byte) => {
            let Ok(file) = OpenOptions::new().write(true).open(path(at)) else {
                return;
            };
            file.write_all_at(&vec![*byte; *length], *offset).unwrap();
            let inode = model.find(PATHS[*at]).unwrap();
            let content = &mut model.inodes[inode].content;
            let (from, to) = (*offset as usize, *offset as usize + length);
            content.resize(content.len().max(to), 0);
            content[from..to].fill(*byte);
        }
        Step::Truncate(at, size) => {
            let Ok(file) = OpenOptions::new().write(true).open(path(at)) else {
                return;
            };
            file.set_len(*size).unwrap();
            let inode = model.find(PATHS[*at]).unwrap();
            model.inodes[inode].content.resize(*size as usize, 0);
        }
        Step::Sync(at) => {
            if let Some(inode) = model.find(PATHS[*at])
                && !model.inodes[inode].folder
            {
                File::open(path(at)).unwrap().sync_all().unwrap();
                model.sync(inode);
            }
        }
        Step::SyncFolder(at) => {
            if let Some(inode) = model.find(PATHS[*at])
                && model.inodes[inode].folder
            {
                File::open(path(at)).unwrap().sync_all().unwrap();
                model.sync_folder(inode);
            }
        }
        Step::Rename(from, to) => {
            let same = model.find(PATHS[*from]) == model.find(PATHS[*to]);
            if fs::rename(path(from), path(to)).is_ok() && !same {
                let places = (
                    model.place(PATHS[*from]).unwrap(),
                    model.place(PATHS[*to]).unwrap(),
                );
                let (inode, over) = (model.find(PATHS[*from]), model.find(PATHS[*to]));
                model.set(&places.0, None, false);
                model.set(&places.1, inode, false);
                let (one, other) = (places.0.0, places.1.0);
                model.together(one, other);
                if let Some(over) = over.filter(|over| model.inodes[*over].folder) {
                    model.together(other, over);
                }
            }
        }
        Step::Link(from, to) => {
            if fs::hard_link(path(from), path(to)).is_ok() {
                let inode = model.find(PATHS[*from]);
                let place = model.place(PATHS[*to]).unwrap();
                model.set(&place, inode, true);
            }
        }
        Step::Unlink(at) => {
            if fs::remove_file(path(at)).is_ok() {
                let place = model.place(PATHS[*at]).unwrap();
                model.set(&place, None, false);
            }
        }
        Step::MakeFolder(at) => {
            if fs::create_dir(path(at)).is_ok() {
                model.make(PATHS[*at], true);
            }
        }
        Step::RemoveFolder(at) => {
            if fs::remove_dir(path(at)).is_ok() {
                let place = model.place(PATHS[*at]).unwrap();
                model.together(place.0, model.find(PATHS[*at]).unwrap());
                model.set(&place, None, false);
            }
        }
        Step::Cut => {
            disk.cut_power(Torn::Nothing);
            model.cut();
        }
    }
}

#[test]
fn a_power_cut_leaves_exactly_what_was_synced() {
    if !can_mount() {
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(folder.path());
        let mut model = Model::new();
        for step in steps.iter().chain([&Step::Cut]) {
            perform(&disk, &mut model, step);
            if matches!(step, Step::Cut) {
                let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
                model.tree(0, "", &mut expected);
                real_tree(&disk.target, &disk.target, &mut found);
                prop_assert_eq!(found, expected);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
