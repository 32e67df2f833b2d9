//! Taken up from a checkpoint, a journal is judged as straight through; whatever is wrong with one, it is not used.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{
    detect::plan_of,
    ids::{NodeName, ShardId},
    journal::{
        Entry, Event, Reader, Settings, Writer,
        effect::Effect,
        event::FaultStep,
        generate::{Generator, Incident, Shape, What},
    },
    run::{
        directory::{RunLock, RunRecord, StateFolder},
        past::{Judged, judge_again},
    },
};

fn plan_in(entries: &[Entry]) -> crate::plan::Plan {
    plan_of(&entries[0]).unwrap().unwrap()
}

fn state(judged: &Judged) -> Vec<u8> {
    state_of(&judged.judge, &judged.curves, &judged.past).unwrap()
}

/// Judges twice, once straight through and once through checkpoints after these entries: nothing may differ at any
/// entry, nor anything that is known in the end.
fn straight_and_cut(entries: &[Entry], cuts: impl Fn(usize) -> bool) {
    let plan = plan_in(entries);
    let mut straight = Judged::new(plan.clone());
    let mut cut = Judged::new(plan.clone());
    for (place, entry) in entries.iter().enumerate() {
        let changes = straight.step(entry);
        assert!(changes == cut.step(entry), "other changes at {}", entry.seq);
        if cuts(place) {
            let kept = state(&cut);
            assert!(kept == state(&straight), "other state at {}", entry.seq);
            cut = Judged::restore(&plan, &kept).unwrap();
        }
    }
    assert_eq!(cut.judge.judgement(), straight.judge.judgement());
    assert_eq!(cut.curves, straight.curves);
    assert_eq!(cut.past, straight.past);
    assert!(state(&cut) == state(&straight));
}

fn recorded() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals");
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn read_all(folder: &Path) -> Vec<Entry> {
    let reader = Reader::open(folder).unwrap();
    reader.map(Result::unwrap).collect()
}

#[test]
fn recorded_journals_are_judged_the_same_through_many_checkpoints() {
    let recorded = recorded();
    assert!(recorded.len() >= 3);
    for folder in recorded {
        let entries = read_all(&folder);
        // Uneven, so that all kinds of entries are the last before a cut; dense where a run begins.
        straight_and_cut(&entries, |place| place < 40 || place % 173 == 0);
    }
}

fn shape() -> Shape {
    Shape {
        shards: 2,
        soak: Duration::from_secs(40),
        ..Shape::default()
    }
}

fn node(shard: u64, index: u32) -> NodeName {
    NodeName::of(ShardId(shard), index)
}

/// A fault on a node for five seconds, and a drill on the other shard at the same time.
fn fault_and_drill(second: u64, shard: u64, index: u32) -> Vec<Incident> {
    let start = Generator::soak_start(&shape());
    let fact = |millis: u64, event: Event| Incident {
        at: start + Duration::from_millis(second * 1_000 + millis),
        what: What::Fact(Box::new(event)),
    };
    let step = |millis, step| {
        let (id, kind) = (format!("kill-{second}").into(), "kill".into());
        fact(millis, Event::Fault { id, kind, step })
    };
    let drill = |millis, begins| {
        let (shard, nodes) = (ShardId(1 - shard), vec![node(1 - shard, 3)]);
        fact(
            millis,
            Event::Drill {
                shard,
                nodes,
                begins,
            },
        )
    };
    let requested = FaultStep::Requested {
        targets: vec![node(shard, index)],
        takes: vec![node(shard, index)],
        effects: vec![Effect::Down],
        lasts: Duration::from_secs(5),
    };
    let proof = "it does not answer".to_owned();
    vec![
        step(0, requested),
        step(10, FaultStep::Acknowledged),
        step(20, FaultStep::effective(proof)),
        drill(30, true),
        drill(4_000, false),
        step(5_000, FaultStep::Healed),
    ]
}

fn incidents(script: &[(u64, u64, u32, u8)]) -> Vec<Incident> {
    let start = Generator::soak_start(&shape());
    let incident = |&(millis, shard, index, what): &(u64, u64, u32, u8)| {
        let node = node(shard, index);
        let what = match what {
            0 => What::Kill(node),
            1 => What::Exit(node, 1),
            2 => What::DiskFull(node),
            3 => What::Hang(node),
            4 => What::OutOfMemory(node),
            5 => What::Start(node),
            6 => What::GoBack(node, 3),
            7 => What::StickSyncing(node),
            8 => What::Fork(node),
            9 => What::LoseSight,
            10 => What::Pace(150 + millis % 100),
            _ => What::Suspend(Duration::from_secs(20)),
        };
        Incident {
            at: start + Duration::from_millis(millis),
            what,
        }
    };
    script.iter().map(incident).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn generated_journals_are_judged_the_same_through_two_checkpoints(
        seed in any::<u64>(),
        script in proptest::collection::vec((0_u64..35_000, 0_u64..2, 0_u32..4, 0_u8..12), 0..6),
        faulty in proptest::option::of((1_u64..30, 0_u64..2, 0_u32..3)),
        first in 0.0..1.0_f64,
        second in 0.0..1.0_f64,
    ) {
        let mut incidents = incidents(&script);
        if let Some((second, shard, index)) = faulty {
            incidents.extend(fault_and_drill(second, shard, index));
        }
        let entries: Vec<Entry> = Generator::new(&shape(), seed, incidents).collect();
        let place = |share: f64| (share * entries.len() as f64) as usize;
        let cuts = [place(first), place(second)];
        straight_and_cut(&entries, |place| cuts.contains(&place));
    }
}

/// All that the state holds is bounded. After ten minutes nearly all of it is full.
#[test]
fn the_state_of_sixteen_nodes_is_small() {
    let shape = Shape {
        soak: Duration::from_secs(600),
        ..Shape::default()
    };
    let mut judged = Judged::new(shape.plan());
    for entry in Generator::new(&shape, 1, Vec::new()) {
        judged.step(&entry);
    }
    let begun = std::time::Instant::now();
    let state = state(&judged);
    let kept = begun.elapsed();
    let restored = Judged::restore(&judged.plan, &state).unwrap();
    let both = begun.elapsed();
    assert_eq!(restored.past, judged.past);
    let mut checkpoint = checkpoint();
    checkpoint.state = state;
    let sealed = checkpoint.seal().unwrap().len();
    eprintln!(
        "{} KiB kept in {kept:?}, restored in {:?}, sealed {} KiB",
        checkpoint.state.len() >> 10,
        both - kept,
        sealed >> 10
    );
    assert!(checkpoint.state.len() < 2 << 20 && sealed < 1 << 20);
}

const BUILD: &str = "00ff";

fn run(text: &str) -> RunId {
    text.parse().unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        head: Head {
            canarynet: "0.0.1".to_owned(),
            build: BUILD.to_owned(),
            run: run("smoke-1"),
            seq: Seq(700),
            elapsed: Elapsed::from_secs(7),
        },
        state: (0..2_000_u32)
            .flat_map(|count| (count % 7).to_le_bytes())
            .collect(),
    }
}

#[test]
fn a_sealed_checkpoint_is_small_and_read_again_as_it_was() {
    let sealed = checkpoint().seal().unwrap();
    assert!(sealed.len() < 1_000, "{}", sealed.len());
    let read = Checkpoint::open(&sealed, BUILD, &run("smoke-1")).unwrap();
    assert_eq!(read, checkpoint());
}

#[test]
fn what_is_cut_or_changed_anywhere_is_damaged() {
    let sealed = checkpoint().seal().unwrap();
    let damaged = |bytes: &[u8]| {
        let opened = Checkpoint::open(bytes, BUILD, &run("smoke-1"));
        matches!(opened, Err(Refusal::Damaged))
    };
    for length in 0..sealed.len() {
        assert!(damaged(&sealed[..length]), "cut at {length}");
    }
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 0x10;
        assert!(damaged(&changed), "changed at {place}");
    }
    // A power cut may leave a file of the right size that holds nothing.
    assert!(damaged(&vec![0; sealed.len()]));
    assert!(damaged(&[sealed.as_slice(), &[0]].concat()));
}

#[test]
fn what_is_of_another_build_or_run_is_refused() {
    let sealed = checkpoint().seal().unwrap();
    let other = Checkpoint::open(&sealed, "00fe", &run("smoke-1")).unwrap_err();
    assert_eq!(
        other.to_string(),
        "it is of another build, of version 0.0.1"
    );
    let other = Checkpoint::open(&sealed, BUILD, &run("smoke-2")).unwrap_err();
    assert_eq!(other.to_string(), "it is of run smoke-1");
}

#[test]
fn own_build_is_this_program_and_stays_so() {
    let build = own_build().unwrap();
    assert_eq!((build.len(), own_build().unwrap()), (64, build));
}

#[test]
fn checkpoints_are_due_by_time_and_by_segment_and_one_at_a_time() {
    let at = |at: u64, segment| Checkpoints {
        at: Elapsed::from_secs(at),
        segment,
        ..Checkpoints::default()
    };
    let due = |checkpoints: &Checkpoints, now: u64, segment| {
        checkpoints.is_due(Elapsed::from_secs(now), segment)
    };
    let young = at(0, 0);
    assert!(!due(&young, 9, 0) && due(&young, 10, 0));
    // A run of a minute has one after another minute, or with the next segment.
    let minute = at(60, 3);
    assert!(!due(&minute, 119, 3) && due(&minute, 120, 3));
    assert!(!due(&minute, 69, 4) && due(&minute, 70, 4));
    let old = at(86_400, 7);
    assert!(!due(&old, 86_999, 7) && due(&old, 87_000, 7));
    assert!(due(&old, 86_411, 8));
}

/// A run's directory whose canary was killed, with its journal in several segments.
struct Killed {
    _root: tempfile::TempDir,
    _lock: RunLock,
    directory: RunDirectory,
    record: RunRecord,
    entries: Vec<Entry>,
}

impl Killed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let (directory, lock, name, run) = state.create("smoke").unwrap();
        let shape = Shape {
            soak: Duration::from_secs(600),
            ..shape()
        };
        let plan = shape.plan();
        let settings = Settings {
            budget: 1 << 30,
            segment: 64 * 1024,
            reserve: 4096,
        };
        let mut writer = Writer::create(&directory.path().join("journal"), settings).unwrap();
        let script = vec![Incident {
            at: Generator::soak_start(&shape) + Duration::from_secs(5),
            what: What::Exit(node(0, 1), 1),
        }];
        let mut generator = Generator::new(&shape, 3, script);
        let mut entries = Vec::new();
        for _ in 0..2_000 {
            let (elapsed, event) = generator.next_fact().unwrap();
            entries.extend(writer.append(elapsed, event).unwrap());
        }
        writer.flush().unwrap();
        assert!(writer.settled() > Some(2), "{:?}", writer.settled());
        // All finished segments are compressed; a kill runs nothing else.
        writer.finish().unwrap();
        Self {
            record: RunRecord::starting(run, name, &plan, None),
            _root: root,
            _lock: lock,
            directory,
            entries,
        }
    }

    /// As the run would have written it after so many entries.
    fn checkpoint(&self, entries: usize) -> Checkpoint {
        let mut judged = Judged::new(plan_in(&self.entries));
        for entry in &self.entries[..entries] {
            judged.step(entry);
        }
        let (seq, elapsed) = judged.past.last.unwrap();
        Checkpoint {
            head: Head {
                canarynet: env!("CARGO_PKG_VERSION").to_owned(),
                build: own_build().unwrap().to_owned(),
                run: self.record.run.clone(),
                seq,
                elapsed,
            },
            state: state(&judged),
        }
    }

    fn write(&self, checkpoint: &Checkpoint) {
        let sealed = checkpoint.seal().unwrap();
        self.directory.write(FILE, &sealed).unwrap();
    }

    /// Takes it over: what is told of it. What is concluded is the same whatever the checkpoint.
    fn taken_over(&self) -> String {
        let mut straight = Judged::new(plan_in(&self.entries));
        for entry in &self.entries {
            straight.step(entry);
        }
        let (judged, told) = judge_again(&self.directory, &self.record).unwrap();
        assert!(state(&judged) == state(&straight), "{told}");
        assert_eq!(judged.past.next(), Seq(2_000));
        told
    }
}

#[test]
fn a_run_is_taken_up_from_its_checkpoint_wherever_that_is() {
    let killed = Killed::new();
    assert!(killed.taken_over().ends_with("it has no checkpoint"));
    for entries in [1, 7, 1_000, 1_999, 2_000] {
        killed.write(&killed.checkpoint(entries));
        let told = killed.taken_over();
        let (from, more) = (entries - 1, 2_000 - entries);
        let expected = format!("judged on from the checkpoint at entry {from}: {more} more in ");
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[test]
fn segments_before_the_checkpoint_are_not_read() {
    let killed = Killed::new();
    killed.write(&killed.checkpoint(1_900));
    // The first one holds the plan; those between it and the checkpoint may be anything.
    let second = killed.directory.path().join("journal/000001.jsonl.zst");
    std::fs::write(&second, b"no segment").unwrap();
    assert!(killed.taken_over().contains("at entry 1899: 100 more"));
    forget(&killed.directory);
    assert!(judge_again(&killed.directory, &killed.record).is_err());
}

#[test]
fn a_checkpoint_that_does_not_fit_is_told_and_removed_and_all_is_judged() {
    let killed = Killed::new();
    let good = killed.checkpoint(1_500);
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = killed.checkpoint(1_500);
        change(&mut checkpoint);
        killed.write(&checkpoint);
        let told = killed.taken_over();
        assert!(told.starts_with("judged all 2000 entries in "), "{told}");
        assert!(!killed.directory.path().join(FILE).exists());
        told
    };
    let told = with(&|one| one.head.build = "00ff".to_owned());
    assert!(told.contains("it is of another build"), "{told}");
    let told = with(&|one| one.head.run = "another-1".parse().unwrap());
    assert!(told.contains("it is of run another-1"), "{told}");
    // Beyond the end of the journal: what a power cut leaves.
    let told = with(&|one| {
        let mut judged = Judged::restore(&plan_in(&killed.entries), &one.state).unwrap();
        let late = Entry {
            seq: Seq(2_000),
            elapsed: Elapsed::from_secs(99),
            ..killed.entries[1_999].clone()
        };
        for entry in killed.entries[1_500..].iter().chain([&late]) {
            judged.step(entry);
        }
        one.state = state(&judged);
        (one.head.seq, one.head.elapsed) = (late.seq, late.elapsed);
    });
    assert!(told.contains("entry 2000 is not in the journal"), "{told}");
    // An entry of that place, and another one: the journal went on without those that were lost.
    let told = with(&|one| {
        let mut judged = Judged::restore(&plan_in(&killed.entries), &one.state).unwrap();
        one.head.elapsed = one.head.elapsed + Duration::from_millis(1);
        judged.past.last = Some((one.head.seq, one.head.elapsed));
        one.state = state(&judged);
    });
    assert!(told.contains("entry 1499 is not in the journal"), "{told}");
    let told = with(&|one| one.head.seq = Seq(1_400));
    assert!(told.contains("entry 1400 is not in the journal"), "{told}");
    // A state that is none, behind a hash that is right.
    let told = with(&|one| one.state.truncate(1_000));
    assert!(told.contains("it does not fit"), "{told}");
    // Bytes on the disk that went bad.
    let mut sealed = good.seal().unwrap();
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    killed.directory.write(FILE, &sealed).unwrap();
    assert!(killed.taken_over().contains("it is damaged"));
}
