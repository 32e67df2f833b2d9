//! Rules, power cuts in a sync, and what is told of unsynced bytes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    thread,
    time::{Duration, Instant},
};

use canarynet::{
    disk::faulty::control::Order,
    fault::operation::{
        FaultyOp,
        faulty::{FileError, FileOperation, FileRule, Torn},
    },
};

use super::mounted::{Disk, can_mount};

fn rule(operations: &[FileOperation]) -> FileRule {
    FileRule {
        operations: operations.to_vec(),
        path: None,
        from: 0,
        to: None,
        millionths: 1_000_000,
        seed: 1,
        delay: Duration::ZERO,
        error: Some(FileError::Eio),
    }
}

fn misbehave(lasts: Duration, rule: FileRule) -> FaultyOp {
    FaultyOp::Misbehave {
        fault: "f1".to_owned(),
        lasts,
        rule,
    }
}

fn behave() -> FaultyOp {
    FaultyOp::Behave {
        fault: "f1".to_owned(),
    }
}

const LONG: Duration = Duration::from_secs(60);

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Gives an order while something is done over and over; answers what the order came to.
fn while_doing(
    disk: &Disk,
    order: FaultyOp,
    act: impl Fn() + Sync,
) -> canarynet::fault::operation::Outcome {
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                act();
                thread::sleep(Duration::from_millis(2));
            }
        });
        let outcome = disk.order(order);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome
    })
}

#[test]
fn a_rule_fails_what_it_says_and_nothing_else_and_ends() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    let path = |name: &str| disk.target.join(name);
    let store = File::create(path("store.redb")).unwrap();
    let log = File::create(path("node.log")).unwrap();
    // Cached by the kernel, and asked for again all the same.
    store.write_all_at(&[1; 8192], 0).unwrap();
    fs::read(path("store.redb")).unwrap();
    let reads = FileRule {
        path: Some("store.*".to_owned()),
        from: 4096,
        ..rule(&[FileOperation::Read, FileOperation::Fsync])
    };
    let outcome = while_doing(&disk, misbehave(LONG, reads), || {
        drop(fs::read(path("store.redb")));
    });
    assert!(outcome.effective, "{outcome:?}");
    assert_eq!(code(fs::read(path("store.redb"))), Some(5));
    assert_eq!(code(store.sync_all()), Some(5));
    assert_eq!(code(store.write_all_at(b"x", 5000)), None);
    assert_eq!(code(log.sync_all()), None, "another file");
    let healed = disk.order(behave());
    assert!(
        healed.effective && healed.proof.contains("operations"),
        "{healed:?}"
    );
    assert_eq!(fs::read(path("store.redb")).unwrap().len(), 8192);
    store.sync_all().unwrap();
    disk.order(behave());
    // What hits nothing had no effect.
    let outcome = disk.order(misbehave(
        Duration::from_millis(50),
        rule(&[FileOperation::Rename]),
    ));
    assert!(!outcome.effective, "{outcome:?}");
    fs::rename(path("node.log"), path("old.log")).unwrap();
}

#[test]
fn other_operations_fail_with_the_error_that_is_wanted() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    let path = |name: &str| disk.target.join(name);
    File::create(path("a")).unwrap();
    let all = FileRule {
        error: Some(FileError::Enospc),
        ..rule(&[
            FileOperation::Create,
            FileOperation::Rename,
            FileOperation::Unlink,
            FileOperation::Truncate,
            FileOperation::Open,
            FileOperation::List,
        ])
    };
    let outcome = while_doing(&disk, misbehave(LONG, all), || {
        drop(File::create(path("b")))
    });
    assert!(outcome.effective);
    assert_eq!(code(File::create(path("b"))), Some(28));
    assert_eq!(code(fs::create_dir(path("d"))), Some(28));
    assert_eq!(code(fs::rename(path("a"), path("c"))), Some(28));
    assert_eq!(code(fs::remove_file(path("a"))), Some(28));
    assert_eq!(code(File::open(path("a"))), Some(28));
    assert_eq!(
        fs::read_dir(&disk.target)
            .unwrap()
            .next()
            .unwrap()
            .err()
            .and_then(|e| e.raw_os_error()),
        Some(28)
    );
    disk.order(behave());
    assert!(path("a").exists() && !path("c").exists() && !path("d").exists());
}

#[test]
fn a_delay_holds_a_sync_until_its_time_or_the_heal() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    let file = File::create(disk.target.join("a")).unwrap();
    let other = File::create(disk.target.join("b")).unwrap();
    let slow = FileRule {
        delay: Duration::from_millis(300),
        error: None,
        path: Some("a".to_owned()),
        ..rule(&[FileOperation::Fsync])
    };
    assert!(while_doing(&disk, misbehave(LONG, slow), || file.sync_all().unwrap()).effective);
    let begun = Instant::now();
    file.sync_all().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let begun = Instant::now();
    other.sync_all().unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(300),
        "not that file"
    );
    // Held for the whole time of the fault, and let go by the heal.
    let hang = FileRule {
        delay: LONG,
        error: None,
        ..rule(&[FileOperation::Write])
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            (&file).write_all(b"held")
        });
        assert!(disk.order(misbehave(LONG, hang)).effective);
        assert!(!writer.is_finished());
        disk.order(behave());
        writer.join().unwrap().unwrap();
    });
    assert!(begun.elapsed() < LONG);
    // And by its time, where nobody heals.
    let short = FileRule {
        delay: LONG,
        error: None,
        ..rule(&[FileOperation::Write])
    };
    thread::scope(|scope| {
        scope.spawn(|| disk.order(misbehave(Duration::from_secs(1), short)));
        thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        (&file).write_all(b"held").unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn the_power_fails_in_the_middle_of_a_sync() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    let path = disk.target.join("store.redb");
    let store = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&path)
        .unwrap();
    store.write_all_at(&[1; 16384], 0).unwrap();
    store.sync_all().unwrap();
    let log = File::create(disk.target.join("node.log")).unwrap();
    (&log).write_all(b"never synced").unwrap();
    let cut = FaultyOp::PowerCut {
        fault: "f1".to_owned(),
        lasts: LONG,
        torn: Torn::Prefix,
        path: Some("store.*".to_owned()),
        seed: 1,
    };
    let mut said = None;
    thread::scope(|scope| {
        let synced = scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            store.write_all_at(&[2; 4096], 0).unwrap();
            store.write_all_at(&[3; 4096], 4096).unwrap();
            store.sync_all()
        });
        let outcome = disk.order(cut);
        assert!(outcome.effective, "{outcome:?}");
        assert!(!synced.is_finished(), "it is held: {outcome:?}");
        disk.ask(&Order::Refuse).unwrap();
        assert_eq!(code(synced.join().unwrap()), Some(5));
        said = Some(outcome.proof);
    });
    assert_eq!(code(fs::read(&path)), Some(5), "there is no power");
    let again = FaultyOp::PowerCut {
        fault: "f2".to_owned(),
        lasts: LONG,
        torn: Torn::Nothing,
        path: None,
        seed: 1,
    };
    assert!(disk.ask(&Order::Do(again)).is_err(), "twice");
    disk.order(behave());
    disk.order(behave());
    let content = fs::read(&path).unwrap();
    assert!(
        content[..4096].iter().all(|byte| *byte == 2),
        "an earlier write"
    );
    assert!(
        content[4096..6144].iter().all(|byte| *byte == 3),
        "the first half"
    );
    assert!(
        content[6144..].iter().all(|byte| *byte == 1),
        "the other half"
    );
    assert!(!disk.target.join("node.log").exists());
    let said = said.unwrap();
    assert!(said.contains("store.redb lost 2048 bytes"), "{said}");
    // It is a disk like any other again.
    store.write_all_at(&[4; 10], 0).unwrap();
    store.sync_all().unwrap();
}

#[test]
fn power_comes_back_by_itself_and_unsynced_bytes_are_told() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    let file = File::create(disk.target.join("a")).unwrap();
    file.write_all_at(&[1; 5000], 0).unwrap();
    let told = disk.ask(&Order::Report).unwrap();
    assert_eq!(told, serde_json::json!([["a", 5000]]));
    file.sync_all().unwrap();
    assert_eq!(disk.ask(&Order::Report).unwrap(), serde_json::json!([]));
    file.write_all_at(&[2; 5000], 0).unwrap();
    let cut = FaultyOp::PowerCut {
        fault: "f1".to_owned(),
        lasts: Duration::from_millis(1500),
        torn: Torn::Nothing,
        path: None,
        seed: 1,
    };
    let begun = Instant::now();
    let outcome = disk.order(cut);
    assert!(outcome.effective, "{outcome:?}");
    // Nobody heals it; what is asked meanwhile is held until there is power, and may fail in that moment.
    let back = loop {
        match fs::read(disk.target.join("a")) {
            Ok(bytes) => break bytes,
            Err(error) => assert_eq!(error.raw_os_error(), Some(5), "{error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no power");
    };
    assert!(begun.elapsed() > Duration::from_secs(1), "there was power");
    assert_eq!(back, [1; 5000]);
}
