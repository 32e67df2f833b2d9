use proptest::prelude::*;

use super::*;
use crate::ids::{Height, NodeName, ShardId};

const SMALL: Limits = Limits {
    segments: 4,
    bytes: 2_000,
};

fn block(height: u64) -> Event {
    Event::Block {
        shard: ShardId(0),
        height: Height(height),
        hash: format!("{height:064x}").into(),
        view: None,
        epoch: None,
        leader: None,
        signers: None,
        committee: None,
        time: None,
        node: NodeName::of(ShardId(0), 0),
        content: None,
    }
}

fn fact(height: u64) -> Told {
    Told::Event(block(height))
}

fn heights(lines: impl Iterator<Item = Line>) -> Vec<u64> {
    let height = |line: Line| match line.told {
        Told::Event(Event::Block { height, .. }) => Some(height.0),
        _ => None,
    };
    lines.filter_map(height).collect()
}

/// Bytes and files in a folder.
fn size(folder: &Path) -> (u64, usize) {
    let files: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
    let bytes = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    (bytes, files.len())
}

fn write(folder: &Path, heights: std::ops::Range<u64>) -> Spool {
    let mut spool = Spool::open(folder, SMALL).unwrap();
    spool.push(Moment(heights.start * 1_000), Told::Begins {});
    for height in heights {
        spool.push(Moment(height * 1_000), fact(height));
    }
    spool.flush();
    spool
}

fn read(folder: &Path) -> (Vec<u64>, Option<Came>) {
    let mut reading = Reading::of(folder).unwrap();
    let heights = heights(reading.by_ref());
    (heights, reading.came())
}

#[test]
fn what_fits_is_told_in_order_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 0..30));
    let (heights, came) = read(folder.path());
    assert_eq!(heights, (0..30).collect::<Vec<_>>());
    let expected = Came {
        from: Moment(0),
        until: Moment(29_000),
        missed: Duration::ZERO,
        dropped: 0,
    };
    assert_eq!(came, Some(expected));
    clear(folder.path());
    assert_eq!(read(folder.path()), (Vec::new(), None));
}

#[test]
fn the_oldest_goes_first_and_all_that_goes_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = write(folder.path(), 0..1_000);
    let (bytes, files) = size(folder.path());
    assert!(files <= SMALL.segments, "{files}");
    // Each segment has a line in front that says what is gone.
    let most = SMALL.segments * (SMALL.bytes + 100);
    assert!(bytes <= most as u64, "{bytes}");
    let (heights, came) = read(folder.path());
    let first = heights[0];
    assert!(first > 900, "{first}");
    assert_eq!(
        heights,
        (first..1_000).collect::<Vec<_>>(),
        "nothing in between is gone"
    );
    let came = came.unwrap();
    // The beginning is a line too.
    assert_eq!(came.dropped, first + 1);
    assert_eq!(spool.dropped(), first + 1);
    assert_eq!(
        (came.from, came.until),
        (Moment(first * 1_000), Moment(999_000))
    );
    // Who goes on behind it keeps to the same bound, and forgets none of what is gone.
    drop(spool);
    drop(write(folder.path(), 1_000..1_100));
    let (heights, came) = read(folder.path());
    assert!(size(folder.path()).1 <= SMALL.segments);
    assert_eq!(heights.last(), Some(&1_099));
    assert_eq!(came.unwrap().dropped, heights[0] + 2, "two beginnings");
}

#[test]
fn a_line_that_was_cut_and_one_that_is_none_are_counted_and_hide_no_other() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 0..5));
    let path = path(folder.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    // The last line without its end, which would be a whole value: nobody knows what it should have been.
    bytes.truncate(end - 1);
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second] = b'?';
    fs::write(&path, bytes).unwrap();
    fs::write(folder.path().join("lock"), b"1").unwrap();
    let mut reading = Reading::of(folder.path()).unwrap();
    let heights = heights(reading.by_ref());
    assert_eq!(heights, [0, 1, 2, 3]);
    assert_eq!(reading.came(), None, "its beginning was the damaged line");
    drop(write(folder.path(), 5..9));
    let (heights, came) = read(folder.path());
    assert_eq!(heights, [0, 1, 2, 3, 5, 6, 7, 8]);
    assert_eq!(came.unwrap().dropped, 2);
}

#[test]
fn time_in_which_nobody_watched_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), SMALL).unwrap();
    let second = |number: u64| Moment(number * 1_000_000);
    spool.push(second(1), fact(1));
    // An old block in front of where it begins is no hole.
    spool.push(second(60), Told::Begins {});
    for moment in [60, 61, 62, 70, 71] {
        spool.push(second(moment), Told::Lives {});
    }
    drop(spool);
    let came = read(folder.path()).1.unwrap();
    assert_eq!((came.from, came.until), (second(60), second(71)));
    assert_eq!(came.missed, Duration::from_secs(8));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let mut spool = Spool::open(&gone, SMALL).unwrap();
    fs::remove_dir(&gone).unwrap();
    for height in 0..3 {
        spool.push(Moment(height), fact(height));
        spool.flush();
    }
    assert!(spool.dropped() >= 3, "{}", spool.dropped());
    fs::create_dir(&gone).unwrap();
    spool.push(Moment(9), fact(9));
    spool.flush();
    let mut reading = Reading::of(&gone).unwrap();
    assert_eq!(heights(reading.by_ref()), [9]);
    assert!(reading.came().unwrap().dropped >= 3);
}

#[test]
fn the_last_seconds_and_the_newest_blocks_before_them_are_kept() {
    let second = |number: u64| Moment(number * 1_000_000);
    let answer = || Event::Heads {
        shard: ShardId(0),
        nodes: Vec::new(),
    };
    let mut recent = Recent::new(second(0));
    recent.note(second(1), block(1));
    recent.note(second(2), block(2));
    for moment in (3..10).chain([20, 21, 22]) {
        recent.note(second(moment), answer());
    }
    recent.note(second(23), block(3));
    let lines: Vec<_> = recent.lines().collect();
    // From 9 s to 20 s the shard was not seen, but for the first second and a half.
    let unseen = Duration::from_millis(11_000 - 1_500);
    let newest = (second(2), fact(2));
    assert_eq!(lines[0], newest, "nothing after 9 s has gone yet");
    assert_eq!(lines[1], (second(9), Told::Begins {}));
    assert_eq!(lines.len(), 2 + 4);
    let mut recent = Recent::new(second(0));
    recent.note(second(2), block(2));
    for moment in (3..10).chain(20..30) {
        recent.note(second(moment), answer());
    }
    let lines: Vec<_> = recent.lines().collect();
    assert_eq!(lines[0], (second(2) + unseen, fact(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever becomes of its bytes, a spool is read without a panic, in order, and nothing is told twice.
    #[test]
    fn any_damage_is_read(count in 1_u64..60, at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        drop(write(folder.path(), 0..count));
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        let file = files[at.index(files.len())].path();
        let mut bytes = fs::read(&file).unwrap();
        let place = at.index(bytes.len());
        bytes[place] = with;
        if cut {
            bytes.truncate(place);
        }
        fs::write(&file, bytes).unwrap();
        let (heights, came) = read(folder.path());
        prop_assert!(heights.len() as u64 <= count);
        if let Some(came) = came {
            prop_assert!(came.from <= came.until);
        }
    }
}
