use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1);

/// A file with its undo, as the backing folder and the disk process hold them.
#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    undo: FileUndo,
}

impl File {
    fn new(content: &[u8]) -> Self {
        Self {
            content: content.to_vec(),
            undo: FileUndo::default(),
        }
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn keep(&mut self, offset: u64, length: u64) {
        self.undo.begin(NOW, self.size(), Attributes::default());
        for block in self.undo.wanted(offset, length) {
            let from = (block * BLOCK) as usize;
            let content = self.content[from..from + self.undo.length_of(block)].to_vec();
            self.undo.keep(block, content);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let length = data.len() as u64;
        self.keep(offset, length);
        let (from, to) = (offset as usize, offset as usize + data.len());
        let before = self
            .content
            .get(from..to.min(self.content.len()))
            .unwrap_or_default();
        self.undo
            .last_write(NOW, (offset, length), self.size(), before.to_vec());
        self.content.resize(self.content.len().max(to), 0);
        self.content[from..to].copy_from_slice(data);
    }

    fn truncate(&mut self, size: u64) {
        self.keep(size, u64::MAX - size);
        self.content.resize(size as usize, 0);
    }

    fn bring_back(&mut self, restore: Option<Restore>) {
        let Some(restore) = restore else { return };
        self.content.resize(restore.size as usize, 0);
        for (offset, piece) in restore.pieces {
            let from = offset as usize;
            self.content[from..from + piece.len()].copy_from_slice(&piece);
        }
    }

    fn cut(&mut self) {
        let restore = self.undo.restore();
        self.bring_back(restore);
    }

    fn tear(&mut self, keeps: impl Fn(usize, usize) -> bool) -> Option<u64> {
        let (restore, lost) = self.undo.tear(self.size(), keeps)?;
        self.bring_back(Some(restore));
        Some(lost)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    Truncate(u64),
    Sync,
    /// A sync that fails after these writes came in the middle of it.
    FailedSync(Vec<(u64, Vec<u8>)>),
}

fn write() -> impl Strategy<Value = (u64, Vec<u8>)> {
    (
        0..20_000_u64,
        any::<u8>(),
        prop_oneof![1..600_usize, 4_000..9_000_usize],
    )
        .prop_map(|(offset, byte, length)| (offset, vec![byte; length]))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => write().prop_map(|(offset, data)| Step::Write { offset, data }),
        2 => (0..30_000_u64).prop_map(Step::Truncate),
        1 => Just(Step::Sync),
        1 => prop::collection::vec(write(), 0..3).prop_map(Step::FailedSync),
    ]
}

proptest! {
    #[test]
    fn a_cut_brings_back_exactly_the_last_sync(steps in prop::collection::vec(step(), 1..40)) {
        let mut file = File::new(&[7; 10_000]);
        let mut synced = file.content.clone();
        for step in steps {
            match step {
                Step::Write { offset, data } => file.write(offset, &data),
                Step::Truncate(size) => file.truncate(size),
                Step::Sync => {
                    drop(file.undo.take());
                    synced = file.content.clone();
                }
                Step::FailedSync(writes) => {
                    let older = file.undo.take();
                    for (offset, data) in writes {
                        file.write(offset, &data);
                    }
                    file.undo.put_back(older);
                }
            }
            if file.undo.is_clean() {
                prop_assert_eq!(&file.content, &synced);
            }
        }
        file.cut();
        prop_assert_eq!(file.content, synced);
        prop_assert!(file.undo.is_clean());
    }

    #[test]
    fn a_tear_takes_back_sectors_of_the_last_write_alone(
        before in prop::collection::vec(write(), 0..6),
        (offset, data) in write(),
        survivors in any::<u32>(),
    ) {
        let mut file = File::new(&[7; 10_000]);
        for (offset, data) in before {
            file.write(offset, &data);
        }
        let earlier = file.content.clone();
        file.write(offset, &data);
        let whole = file.content.clone();
        let survives = |sector: usize| survivors & (1 << (sector % 32)) != 0;
        let lost = file.tear(|sector, _| survives(sector)).expect("there was a write");
        let mut counted = 0;
        let mut end = earlier.len();
        let (from, to) = (offset as usize, offset as usize + data.len());
        for at in from..to {
            if survives(at / 512 - from / 512) {
                end = end.max(at + 1);
            } else {
                counted += 1;
            }
        }
        prop_assert_eq!(lost, counted);
        prop_assert_eq!(file.content.len(), end);
        for (at, byte) in file.content.iter().enumerate() {
            let expected = if (from..to).contains(&at) && survives(at / 512 - from / 512) {
                whole[at]
            } else {
                earlier.get(at).copied().unwrap_or(0)
            };
            prop_assert_eq!(*byte, expected, "at {}", at);
        }
    }
}

#[test]
fn unsynced_bytes_are_counted() {
    let mut file = File::new(&[7; 10_000]);
    assert_eq!(file.undo.unsynced(file.size()), 0);
    file.write(10_000, &[1; 300]);
    assert_eq!(file.undo.unsynced(file.size()), 300);
    file.write(5, &[1; 3]);
    assert_eq!(file.undo.unsynced(file.size()), 300 + BLOCK);
    file.write(6, &[2; 3]);
    assert_eq!(file.undo.unsynced(file.size()), 300 + BLOCK, "once a block");
    file.truncate(0);
    assert_eq!(file.undo.unsynced(file.size()), 0);
    assert!(file.undo.memory() > 10_000);
    drop(file.undo.take());
    assert_eq!((file.undo.unsynced(0), file.undo.memory()), (0, 0));
}

/// Names as a map, with their undo.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tree(BTreeMap<(Inode, OsString), Inode>);

fn put(
    tree: &mut Tree,
    names: &mut Names,
    folder: Inode,
    name: &str,
    inode: Option<Inode>,
    made: bool,
) {
    let key = (folder, OsString::from(name));
    names.change(folder, OsStr::new(name), tree.0.get(&key).copied(), NOW);
    match inode {
        Some(inode) => {
            tree.0.insert(key, inode);
            if made {
                names.made(folder, OsStr::new(name), inode);
            }
        }
        None => {
            tree.0.remove(&key);
        }
    }
}

fn cut(tree: &mut Tree, names: &mut Names) {
    for (folder, name, was) in names.restore() {
        match was {
            Some(inode) => tree.0.insert((folder, name), inode),
            None => tree.0.remove(&(folder, name)),
        };
    }
}

#[test]
fn a_rename_without_a_sync_of_its_folder_is_lost_though_the_file_was_synced() {
    let (mut tree, mut names) = (Tree::default(), Names::default());
    tree.0.insert((1, "db".into()), 10);
    put(&mut tree, &mut names, 1, "db.tmp", Some(11), true);
    names.file_synced(11);
    let synced = tree.clone();
    assert!(names.keeps(1, OsStr::new("db"), 10));
    put(&mut tree, &mut names, 1, "db", Some(11), false);
    put(&mut tree, &mut names, 1, "db.tmp", None, false);
    names.file_synced(11);
    assert!(names.pins(10) && names.pins(11));
    cut(&mut tree, &mut names);
    assert_eq!(tree, synced);
    assert!(!names.pins(10) && names.count() == 0);
}

#[test]
fn a_synced_file_keeps_the_name_it_was_made_under_and_the_folders_above() {
    let (mut tree, mut names) = (Tree::default(), Names::default());
    put(&mut tree, &mut names, 1, "new", Some(20), true);
    put(&mut tree, &mut names, 20, "file", Some(21), true);
    put(&mut tree, &mut names, 20, "other", Some(22), true);
    names.file_synced(21);
    cut(&mut tree, &mut names);
    let left: Vec<_> = tree.0.values().copied().collect();
    assert_eq!(left, [20, 21], "not the other one");
}

#[test]
fn what_was_made_and_removed_again_is_not_kept() {
    let (mut tree, mut names) = (Tree::default(), Names::default());
    put(&mut tree, &mut names, 1, "tmp", Some(11), true);
    assert!(!names.keeps(1, OsStr::new("tmp"), 11));
    put(&mut tree, &mut names, 1, "tmp", None, false);
    assert!(!names.pins(11));
}

#[test]
fn a_move_is_synced_on_both_sides_or_on_none() {
    let (mut tree, mut names) = (Tree::default(), Names::default());
    tree.0.insert((1, "a".into()), 10);
    put(&mut tree, &mut names, 2, "b", Some(10), false);
    put(&mut tree, &mut names, 1, "a", None, false);
    names.moved(1, 2);
    put(&mut tree, &mut names, 3, "c", Some(30), true);
    assert_eq!(names.together(2), BTreeSet::from([1, 2]));
    assert!(names.pins(10));
    let all = names.together(2);
    names.forget(&all);
    assert!(!names.pins(10));
    assert_eq!(names.older_than(NOW + Duration::from_secs(1)), [3]);
    cut(&mut tree, &mut names);
    let left: Vec<_> = tree.0.into_iter().collect();
    assert_eq!(left, [((2, "b".into()), 10)]);
}
