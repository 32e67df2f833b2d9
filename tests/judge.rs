//! The judge over journals on disk, and its properties.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use canarynet::{
    detect::{ChangeKind, Finding, Judge, Severity, plan_of},
    ids::{Epoch, Height, NodeName, RunId, Seq, ShardId, ViewId},
    journal::{
        Entry, Event, ReadAhead, ReadError, Reader, Settings, Writer,
        event::{
            ContainerChange, Cost, FinishReason, LogClass, Mode, NodeHead, ProbeError, ProbeKind,
            Sample, Stage,
        },
        generate::{Generator, Incident, Request, Shape, What, generate_journal},
        unattended::{NewestBlock, Unattended, Wait},
    },
    plan::{
        Plan,
        faults::{PlannedFault, Target, Trigger, Who},
    },
    time::{Elapsed, WallTime},
    verdict::{Outcome, decide},
};
use proptest::prelude::*;

fn shape() -> Shape {
    Shape {
        shards: 2,
        soak: Duration::from_secs(30),
        ..Shape::default()
    }
}

fn node(shard: u64, index: u32) -> NodeName {
    NodeName::of(ShardId(shard), index)
}

fn after_soak_start(millis: u64) -> Elapsed {
    Generator::soak_start(&shape()) + Duration::from_millis(millis)
}

fn incident(millis: u64, what: What) -> Incident {
    Incident {
        at: after_soak_start(millis),
        what,
    }
}

fn settings() -> Settings {
    Settings {
        budget: 1 << 30,
        segment: 64 * 1024,
        reserve: 64 * 1024,
    }
}

fn write(directory: &Path, settings: Settings, facts: &mut Generator) -> Vec<Entry> {
    let mut writer = Writer::create(directory, settings).unwrap();
    let mut written = Vec::new();
    while let Some((elapsed, event)) = facts.next_fact() {
        written.extend(writer.append(elapsed, event).unwrap());
    }
    writer.finish().unwrap();
    written
}

fn read(directory: &Path) -> Vec<Entry> {
    Reader::open(directory)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_from_compressed_segments_and_judged_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let script = vec![
        incident(5_000, What::Kill(node(1, 1))),
        incident(5_000, What::Kill(node(1, 2))),
        incident(15_000, What::Start(node(1, 1))),
        incident(20_000, What::DiskFull(node(0, 3))),
    ];
    let written = write(
        &journal,
        settings(),
        &mut Generator::new(&shape(), 1, script),
    );
    let files = names(&journal);
    assert!(files.len() > 3, "{files:?}");
    assert!(
        files.iter().all(|name| name.ends_with(".jsonl.zst")),
        "{files:?}"
    );
    let back = read(&journal);
    assert_eq!(back, written);
    let plan = plan_of(&back[0]).unwrap().unwrap();
    let mut live = Judge::new(&shape().plan());
    let mut replayed = Judge::new(&plan);
    for (entry, again) in written.iter().zip(&back) {
        assert_eq!(live.step(entry), replayed.step(again));
    }
    let judgement = live.finish();
    assert_eq!(judgement, replayed.finish());
    assert!(
        judgement
            .findings
            .iter()
            .any(|finding| finding.kind == "stall")
    );
}

#[test]
fn a_killed_writer_loses_only_its_torn_line_and_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let mut generator = Generator::new(&shape(), 1, Vec::new());
    let mut writer = Writer::create(folder.path(), settings()).unwrap();
    for _ in 0..500 {
        let (elapsed, event) = generator.next_fact().unwrap();
        writer.append(elapsed, event).unwrap();
    }
    writer.flush().unwrap();
    // A kill runs no destructor.
    std::mem::forget(writer);
    let last = names(folder.path())
        .into_iter()
        .rfind(|name| name.ends_with(".jsonl"))
        .unwrap();
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join(&last))
        .unwrap();
    file.write_all(b"{\"seq\":99999,\"t\":1,\"e\":{\"tick\"")
        .unwrap();
    // What a kill in the middle of compressing leaves; not of a segment that the forgotten writer's thread, which no
    // kill ends here, may be compressing at this moment.
    fs::write(folder.path().join(format!("{last}.zst.tmp")), b"half").unwrap();

    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 500);
    assert_eq!(reader.torn(), 30);

    let (mut writer, resumed) = Writer::resume(folder.path(), settings()).unwrap();
    assert_eq!((resumed.next, resumed.cut), (Seq(500), 30));
    let attached = Event::Attached { wall: WallTime(1) };
    let written = writer.append(Elapsed::default(), attached).unwrap();
    // The writer before may have left things out.
    let told = written.announcement.unwrap();
    assert!(matches!(told.event, Event::Thinned { blocks: 1, .. }));
    let entry = written.entry.unwrap();
    assert_eq!(
        (entry.seq, entry.elapsed),
        (Seq(501), resumed.last),
        "time never runs back"
    );
    let tick = Event::Tick { wall: WallTime(2) };
    let written = writer.append(Elapsed::default(), tick).unwrap();
    assert_eq!(written.announcement, None, "once is enough");
    writer.finish().unwrap();
    let all = read(folder.path());
    assert_eq!(all.len(), 503);
    assert!(
        all.iter()
            .enumerate()
            .all(|(place, entry)| entry.seq.0 == place as u64)
    );
}

#[test]
fn a_plan_with_as_many_faults_as_can_be_is_written_read_continued_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = shape().plan();
    plan.schedule = (0..20_000)
        .map(|number| PlannedFault {
            id: format!("f{number}-disk-fill"),
            kind: "disk-fill".to_owned(),
            parameters: serde_json::json!({"leave": 65_536, "hold": true}),
            trigger: Trigger::After(Duration::from_secs(number)),
            lasts: Duration::from_secs(5),
            target: Target {
                who: Who::One,
                shard: Some(ShardId(1)),
            },
            seed: u64::MAX - number,
            drawn: false,
        })
        .collect();
    let mut generator = Generator::new(&shape(), 1, Vec::new());
    let mut writer = Writer::create(folder.path(), settings()).unwrap();
    let (mut count, half) = (0, 500);
    while let Some((elapsed, mut event)) = generator.next_fact() {
        if let Event::RunStarted { plan: first, .. } = &mut event {
            *first = serde_json::to_value(&plan).unwrap();
        }
        count += writer.append(elapsed, event).unwrap().into_iter().count();
        if count == half {
            writer.finish().unwrap();
            let (again, resumed) = Writer::resume(folder.path(), settings()).unwrap();
            assert_eq!(resumed.next, Seq(half as u64));
            writer = again;
        }
    }
    writer.finish().unwrap();
    let back = read(folder.path());
    assert_eq!(back.len(), count);
    let known = plan_of(&back[0]).unwrap().unwrap();
    assert_eq!(known.schedule, plan.schedule);
    let mut judge = Judge::new(&known);
    for entry in &back {
        judge.step(entry);
    }
    assert!(judge.finish().finished.is_some());
}

#[test]
fn a_segment_that_is_there_twice_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(
        folder.path(),
        settings(),
        &mut Generator::new(&shape(), 1, Vec::new()),
    );
    // A kill between rename and removal.
    let compressed = fs::File::open(folder.path().join("000001.jsonl.zst")).unwrap();
    let raw = zstd::decode_all(compressed).unwrap();
    fs::write(folder.path().join("000001.jsonl"), raw).unwrap();
    assert_eq!(read(folder.path()), written);
    let (writer, resumed) = Writer::resume(folder.path(), settings()).unwrap();
    assert_eq!(resumed.next.0, written.len() as u64);
    drop(writer);
    assert!(!folder.path().join("000001.jsonl").exists());
}

#[test]
fn a_live_tail_sees_everything_once_across_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let mut generator = Generator::new(&shape(), 1, Vec::new());
    let mut writer = Writer::create(folder.path(), settings()).unwrap();
    let (elapsed, event) = generator.next_fact().unwrap();
    writer.append(elapsed, event).unwrap();
    writer.flush().unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    let (mut seen, mut count) = (0_u64, 1_u64);
    while let Some((elapsed, event)) = generator.next_fact() {
        writer.append(elapsed, event).unwrap();
        count += 1;
        if count.is_multiple_of(37) {
            for entry in reader.by_ref() {
                assert_eq!(entry.unwrap().seq.0, seen);
                seen += 1;
            }
        }
    }
    writer.finish().unwrap();
    for entry in reader.by_ref() {
        assert_eq!(entry.unwrap().seq.0, seen);
        seen += 1;
    }
    assert_eq!(seen, count);
}

#[test]
fn entries_are_on_disk_within_a_second_and_state_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), settings()).unwrap();
    let tick = || Event::Tick { wall: WallTime(0) };
    let on_disk = || Reader::open(folder.path()).unwrap().count();
    writer.append(Elapsed::from_millis(10), tick()).unwrap();
    assert_eq!(on_disk(), 0, "held back");
    writer.append(Elapsed::from_millis(600), tick()).unwrap();
    assert_eq!(on_disk(), 2);
    let change = Event::Container {
        node: node(0, 0),
        change: ContainerChange::Started,
        requested: false,
    };
    writer.append(Elapsed::from_millis(601), change).unwrap();
    assert_eq!(on_disk(), 3);
}

#[test]
fn the_budget_is_kept_by_writing_less_and_the_judge_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        soak: Duration::from_secs(1_200),
        ..shape()
    };
    let budget = 400_000;
    let script = vec![Incident {
        at: Elapsed::from_secs(1_000),
        what: What::Kill(node(1, 1)),
    }];
    let mut generator = Generator::new(&shape, 1, script);
    let mut writer = Writer::create(folder.path(), Settings::for_budget(budget)).unwrap();
    let mut judge = Judge::new(&shape.plan());
    while let Some((elapsed, event)) = generator.next_fact() {
        for entry in writer.append(elapsed, event).unwrap() {
            judge.step(&entry);
        }
    }
    assert!(writer.left_out() > 1_000, "{}", writer.left_out());
    let bytes = writer.finish().unwrap();
    assert!(bytes < budget * 5 / 4, "{bytes}");
    let judgement = judge.finish();
    assert!(
        judgement.coverage.blocks > 11_000,
        "counted by height: {:?}",
        judgement.coverage
    );
    let kinds: Vec<_> = judgement
        .findings
        .iter()
        .map(|finding| (finding.kind.as_str(), finding.severity))
        .collect();
    assert_eq!(
        kinds,
        [("crash", Severity::Minor), ("low-signers", Severity::Minor)]
    );
    let mean = judgement.shards[0].whole.mean.as_secs_f64();
    assert!((0.195..0.205).contains(&mean), "{mean}");
}

#[test]
fn damage_is_told_with_file_and_line_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let tick =
        |seq: u64| format!("{{\"seq\":{seq},\"t\":{seq},\"e\":{{\"tick\":{{\"wall\":0}}}}}}\n");
    let text = tick(0)
        + "{\"seq\": \u{1b}[31m\n"
        + &tick(1)
        + &"x".repeat(1_100_000)
        + "\n"
        + &tick(2)
        + "torn";
    fs::write(folder.path().join("000000.jsonl"), text).unwrap();
    fs::write(folder.path().join("000002.jsonl"), tick(3)).unwrap();
    let found: Vec<_> = Reader::open(folder.path()).unwrap().collect();
    let text: Vec<String> = found
        .iter()
        .map(|outcome| match outcome {
            Ok(entry) => format!("entry {}", entry.seq),
            Err(error) => error
                .to_string()
                .replace(&*folder.path().to_string_lossy(), "DIR"),
        })
        .collect();
    assert_eq!(
        text,
        [
            "entry 0",
            "DIR/000000.jsonl:2: not an entry: {\"seq\": \u{fffd}[31m",
            "entry 1",
            "DIR/000000.jsonl:4: longer than 1048576 bytes",
            "entry 2",
        ],
        "a raw segment without a successor may still grow"
    );
    fs::write(folder.path().join("000001.jsonl"), tick(9)).unwrap();
    let found: Vec<_> = Reader::open(folder.path()).unwrap().collect();
    assert!(matches!(&found[5], Err(ReadError::Torn { line: 6, .. })));
    assert_eq!(found.len(), 8);
    fs::remove_file(folder.path().join("000000.jsonl")).unwrap();
    fs::remove_file(folder.path().join("000001.jsonl")).unwrap();
    assert_eq!(
        Reader::open(folder.path()).unwrap().count(),
        1,
        "the first kept one is the start"
    );
    assert!(matches!(
        Reader::open(&folder.path().join("none")),
        Err(ReadError::List { .. })
    ));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"seq\":0,\"t\":0,\"e\":{\"run-started\":{\"format\":99,\"run\":\"r\",\"canarynet\":\"9\",\"wall\":0,\"plan\":null}}}\n";
    fs::write(folder.path().join("000000.jsonl"), line).unwrap();
    let first = Reader::open(folder.path()).unwrap().next().unwrap();
    assert!(matches!(first, Err(ReadError::Newer { format: 99, .. })));
}

#[test]
fn a_truncated_compressed_segment_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        settings(),
        &mut Generator::new(&shape(), 1, Vec::new()),
    );
    let path = folder.path().join("000000.jsonl.zst");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let outcomes: Vec<_> = Reader::open(folder.path()).unwrap().collect();
    let errors = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(errors, 1);
    assert!(outcomes.last().unwrap().is_ok(), "later segments are read");
}

#[test]
fn a_run_cut_short_is_inconclusive_unless_it_fails() {
    let plan = shape().plan();
    let until = |script: Vec<Incident>| {
        let mut judge = Judge::new(&plan);
        for entry in Generator::new(&shape(), 1, script) {
            if entry.elapsed > after_soak_start(20_000) {
                break;
            }
            judge.step(&entry);
        }
        decide(&plan, &judge.finish())
    };
    let cut = until(Vec::new());
    assert_eq!(cut.outcome, Outcome::Inconclusive);
    assert!(cut.reasons[0].text.contains("cut short"));
    let failed = until(vec![incident(3_000, What::Exit(node(0, 1), 1))]);
    assert_eq!(failed.outcome, Outcome::Fail);
    assert_eq!(
        failed.reasons.len(),
        2,
        "the second reason is listed: {:?}",
        failed.reasons
    );
}

#[test]
fn evidence_is_the_cited_entries_and_the_raw_lines_they_point_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("logs")).unwrap();
    let raw: String = (0..10_000)
        .map(|line| format!("line {line:05}\n"))
        .collect();
    fs::write(folder.path().join("logs/s0-n01.log"), raw).unwrap();
    let line = Event::Log {
        node: node(0, 1),
        level: "error".into(),
        rule: "no-space".into(),
        class: LogClass::DiskFull,
        message: "write failed".to_owned(),
        error: None,
        time: None,
        at: Some(canarynet::journal::event::LogPlace {
            file: "s0-n01.log".into(),
            offset: 55_000,
        }),
    };
    let script = vec![incident(9_000, What::Fact(Box::new(line)))];
    let written = write(
        &folder.path().join("journal"),
        settings(),
        &mut Generator::new(&shape(), 1, script),
    );
    let mut judge = Judge::new(&shape().plan());
    written.iter().for_each(|entry| drop(judge.step(entry)));
    let finding = judge.findings()[0].clone();
    assert_eq!(finding.kind, "disk-full");
    let copied = canarynet::detect::evidence::copy(folder.path(), &finding).unwrap();
    assert!(copied.entries > 50, "{copied:?}");
    let evidence = folder.path().join("evidence").join(&finding.id);
    let entries = fs::read_to_string(evidence.join("journal.jsonl")).unwrap();
    for seq in &finding.evidence {
        assert!(entries.contains(&format!("{{\"seq\":{seq},")));
    }
    assert!(!entries.contains("s1-n0"), "another shard is not copied");
    let log = fs::read_to_string(evidence.join("logs/s0-n01.log")).unwrap();
    assert!(log.contains("line 05000") && log.len() < 20_000);
    let mut hostile = finding;
    hostile.id = "../../x".to_owned();
    assert!(canarynet::detect::evidence::copy(folder.path(), &hostile).is_err());
}

#[test]
fn a_generated_journal_on_disk_passes() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request {
        directory: folder.path().join("journal"),
        shape: shape(),
        seed: 5,
        budget: 1 << 30,
    };
    let generated = generate_journal(&request).unwrap();
    let (plan, judgement) = judge_directory(&request.directory);
    assert_eq!(judgement.entries, generated.facts);
    let here = ReadAhead::here(Reader::open(&request.directory).unwrap());
    let places = here.map(|entry| entry.unwrap().seq.0);
    assert!(places.eq(0..generated.facts), "each entry once, in order");
    let verdict = decide(&plan, &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
}

fn judge_directory(directory: &Path) -> (Plan, canarynet::detect::Judgement) {
    let mut reader = Reader::open(directory).unwrap();
    let first = reader.next().unwrap().unwrap();
    let plan = plan_of(&first).unwrap().unwrap();
    let mut judge = Judge::new(&plan);
    judge.step(&first);
    for entry in ReadAhead::start(reader).unwrap() {
        judge.step(&entry.unwrap());
    }
    (plan, judge.finish())
}

/// Recorded journals: each folder is a journal and what is to be concluded from it. `UPDATE_EXPECTED=1` writes the
/// expectation anew; the difference is to be read before it is committed.
#[test]
fn recorded_journals_are_judged_as_expected() {
    let cases = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals");
    let mut count = 0;
    for case in fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        let (plan, judgement) = judge_directory(&case);
        let verdict = decide(&plan, &judgement);
        let found =
            serde_json::json!({ "outcome": verdict.outcome, "findings": judgement.findings });
        let path = case.join("expected.json");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            let text = serde_json::to_string_pretty(&found).unwrap();
            fs::write(&path, text + "\n").unwrap();
        }
        let expected: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(found, expected, "{}", case.display());
        count += 1;
    }
    assert!(count >= 3);
}

/// An old journal under other thresholds, as people do it.
#[test]
fn a_recorded_journal_is_judged_under_another_plan() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let recorded = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals/disk-full");
    fs::copy(
        recorded.join("000000.jsonl.zst"),
        journal.join("000000.jsonl.zst"),
    )
    .unwrap();
    let plan = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let judge = |plan: Option<&Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_canarynet"));
        command.args(["--json", "judge"]).arg(&journal);
        if let Some(plan) = plan {
            command.arg("--plan").arg(plan);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), output.stdout, said)
    };
    let (code, _, said) = judge(None);
    assert_eq!(code, Some(1), "{said}");

    let same_network = "profile = \"reference-pair\"\nspeedup = 40\nuntil = \"30s\"\n";
    let lenient = plan(
        "lenient.toml",
        &format!("{same_network}[gate]\nfail_on = \"critical\"\n"),
    );
    let (code, told, said) = judge(Some(&lenient));
    assert_eq!(code, Some(0), "{said}");
    let verdict: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(verdict["outcome"], "pass");
    let strict = plan(
        "strict.toml",
        &format!(
            "{same_network}[gate]\nfail_on = \"critical\"\nseverity = {{ disk-full = \"critical\" }}\n"
        ),
    );
    assert_eq!(judge(Some(&strict)).0, Some(1));

    let other = plan(
        "other.toml",
        "profile = \"reference-small\"\nspeedup = 20\n",
    );
    let (code, _, said) = judge(Some(&other));
    assert_eq!(code, Some(2));
    assert!(
        said.contains("shards: the run had 2, the plan has 1"),
        "{said}"
    );
    assert!(said.contains("block interval"), "{said}");
}

/// Writes the recorded cases; run by hand with `RECORD_JOURNALS=1` when the format gets a new fact worth keeping.
#[test]
fn recorded_journals_can_be_recorded() {
    let target = if std::env::var_os("RECORD_JOURNALS").is_some() {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
    } else {
        tempfile::tempdir().unwrap().keep()
    };
    let cases: [(&str, Vec<Incident>); 4] = [
        (
            "one-killed-by-hand",
            vec![incident(5_000, What::Kill(node(0, 2)))],
        ),
        (
            "quorum-ends-by-itself",
            vec![
                incident(5_000, What::Exit(node(1, 0), 1)),
                incident(5_100, What::Exit(node(1, 1), 1)),
            ],
        ),
        (
            "disk-full",
            vec![incident(5_000, What::DiskFull(node(0, 1)))],
        ),
        (
            "watcher-gone",
            vec![
                incident(8_000, What::LoseSight),
                incident(16_000, What::RegainSight),
            ],
        ),
    ];
    for (name, script) in cases {
        let directory = target.join(name);
        let _ = fs::remove_dir_all(&directory);
        write(
            &directory,
            Settings::for_budget(1 << 30),
            &mut Generator::new(&shape(), 1, script),
        );
        assert_eq!(names(&directory), ["000000.jsonl.zst"]);
    }
    if std::env::var_os("RECORD_JOURNALS").is_none() {
        fs::remove_dir_all(target).unwrap();
    }
}

// ---- properties ----

fn any_node() -> impl Strategy<Value = NodeName> {
    (0_u64..3, 0_u32..5).prop_map(|(shard, index)| node(shard, index))
}

fn any_height() -> impl Strategy<Value = Height> {
    prop_oneof![(0_u64..50).prop_map(Height), any::<u64>().prop_map(Height)]
}

fn any_change() -> impl Strategy<Value = ContainerChange> {
    prop_oneof![
        Just(ContainerChange::Started),
        (0_u32..20).prop_map(|signal| ContainerChange::Killed { signal }),
        prop_oneof![Just(0_i64), Just(137), Just(1), any::<i64>()]
            .prop_map(|exit_code| ContainerChange::Died { exit_code }),
        Just(ContainerChange::OutOfMemory),
        Just(ContainerChange::Paused),
        Just(ContainerChange::Unpaused),
        Just(ContainerChange::Destroyed),
    ]
}

fn any_head() -> impl Strategy<Value = NodeHead> {
    let mode = prop_oneof![
        Just(Mode::Normal),
        Just(Mode::Syncing),
        Just(Mode::ViewChanging),
        Just(Mode::Other)
    ];
    (
        any_node(),
        any_height(),
        proptest::option::of(any::<u64>().prop_map(ViewId)),
        proptest::option::of(any_height()),
        proptest::option::of(mode),
        any::<Option<bool>>(),
    )
        .prop_map(|(node, height, view, agreeing, mode, leads)| NodeHead {
            node,
            height,
            view,
            agreeing,
            mode,
            leads,
        })
}

fn any_unattended() -> impl Strategy<Value = Event> {
    let spans = || any::<u64>().prop_map(|micros| Duration::from_micros(micros / 4));
    let newest =
        (any_height(), "[ab]", any::<Option<u64>>()).prop_map(|(height, hash, view)| NewestBlock {
            height,
            hash: hash.into(),
            view: view.map(ViewId),
            epoch: None,
            leader: None,
            time: None,
        });
    let wait = (spans(), any_height(), any_height()).prop_map(|(lasted, after, until)| Wait {
        lasted,
        after,
        until,
    });
    let counts = (0_u64..3, any::<u64>(), any::<u64>());
    let found = (proptest::option::of(newest), proptest::option::of(wait));
    (counts, (spans(), spans(), spans()), found).prop_map(
        |((shard, blocks, dropped), (watched, unwatched, waiting), (newest, longest))| {
            Event::Unattended(Box::new(Unattended {
                shard: ShardId(shard),
                watched,
                unwatched,
                dropped,
                blocks,
                newest,
                longest,
                waiting,
            }))
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let stage = prop_oneof![
        Just(Stage::Start),
        Just(Stage::WarmUp),
        Just(Stage::Soak),
        Just(Stage::Settle),
        Just(Stage::TearDown)
    ];
    let class = prop_oneof![
        Just(LogClass::DiskFull),
        Just(LogClass::DiskRecovered),
        Just(LogClass::DiskError),
        Just(LogClass::Corruption),
        Just(LogClass::Fatal),
        Just(LogClass::Note)
    ];
    let probe = || {
        prop_oneof![
            Just(ProbeKind::Rpc),
            Just(ProbeKind::Log),
            Just(ProbeKind::Sampler)
        ]
    };
    let block = (
        (0_u64..3, any_height(), "[ab]{1,2}", any::<Option<u64>>()),
        (
            any::<Option<u64>>(),
            proptest::option::of("[a-c]"),
            any::<Option<(u32, u32)>>(),
        ),
        (proptest::option::of(any::<u64>()), any_node()),
    )
        .prop_map(
            |((shard, height, hash, view), (epoch, leader, signers), (time, node))| Event::Block {
                shard: ShardId(shard),
                height,
                hash: hash.into(),
                view: view.map(ViewId),
                epoch: epoch.map(Epoch),
                leader: leader.map(Into::into),
                signers: signers.map(|signers| signers.0),
                committee: signers.map(|signers| signers.1),
                time: time.map(WallTime),
                node,
                content: None,
            },
        );
    let head = (any_node(), any_height(), "[ab]").prop_map(|(node, height, hash)| Event::Head {
        node,
        shard: ShardId(0),
        height,
        hash: hash.into(),
        leader: None,
        was: None,
    });
    prop_oneof![
        4 => block,
        1 => head,
        2 => (0_u64..3, proptest::collection::vec(any_head(), 0..5)).prop_map(|(shard, nodes)| Event::Heads { shard: ShardId(shard), nodes }),
        2 => (any_node(), any_change(), any::<bool>()).prop_map(|(node, change, requested)| Event::Container { node, change, requested }),
        1 => stage.prop_map(|stage| Event::Stage { stage }),
        1 => any::<u64>().prop_map(|wall| Event::Tick { wall: WallTime(wall) }),
        1 => any::<u64>().prop_map(|wall| Event::Attached { wall: WallTime(wall) }),
        1 => any_unattended(),
        1 => any::<u64>().prop_map(|wall| Event::EngineAway { wall: WallTime(wall) }),
        1 => (any::<u64>(), proptest::collection::vec(any_node(), 0..4)).prop_map(|(wall, ended)| Event::EngineReturned { wall: WallTime(wall), away: Duration::from_secs(9), ended }),
        1 => Just(Event::WatchPaused),
        1 => Just(Event::WatchResumed),
        1 => any::<bool>().prop_map(|seeing| Event::Sight { seeing, detail: String::new() }),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(blocks, heads)| Event::Thinned { blocks, heads, samples: 1, notes: true, left_out: 0 }),
        1 => (any_node(), probe()).prop_map(|(node, probe)| Event::ProbeAnswered { node, probe, silent_for: Duration::ZERO }),
        1 => (any_node(), probe()).prop_map(|(node, probe)| Event::ProbeFailed { node, probe, error: ProbeError::Deadline, failures: 1 }),
        2 => (any_node(), class).prop_map(|(node, class)| Event::Log { node, level: "error".into(), rule: "r".into(), class, message: "m".to_owned(), error: None, time: None, at: None }),
        1 => (any_node(), any::<u64>(), any::<u64>()).prop_map(|(node, lines, lost)| Event::LogCount { node, lines: lines / 32, bytes: 0, lost: lost / 32, cut: 0 }),
        1 => (proptest::option::of(any_node()), any::<u64>(), any::<u64>()).prop_map(|(node, used, free)| Event::Sample(Sample { node, disk_used: used / 2, disk_free: free / 2, cpu: used, memory: free, ..Sample::default() })),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(cpu, memory)| Event::Cost(Cost { canary_cpu: cpu, canary_memory: memory, watcher_cpu: cpu, lag: memory, ..Cost::default() })),
        1 => any::<u64>().prop_map(|free| Event::HostDisk { engine_free: free, run_free: 0 }),
        1 => ("engine|journal", any::<bool>()).prop_map(|(what, fatal)| Event::Infra { what, detail: "d".to_owned(), fatal }),
    ]
}

fn any_journal(length: usize) -> impl Strategy<Value = Vec<Entry>> {
    let step = prop_oneof![5 => 0_u64..300_000, 1 => 0_u64..20_000_000, 1 => any::<u64>()];
    let finish = proptest::bool::ANY;
    (
        proptest::collection::vec((step, any_event()), 0..length),
        finish,
    )
        .prop_map(|(facts, finish)| {
            let run: RunId = "r".parse().unwrap();
            let plan = serde_json::to_value(shape().plan()).unwrap();
            let mut events = vec![(
                0,
                Event::RunStarted {
                    format: 1,
                    run,
                    canarynet: "0".to_owned(),
                    wall: WallTime(0),
                    plan,
                },
            )];
            events.extend(facts);
            if finish {
                events.push((
                    0,
                    Event::RunFinished {
                        reason: FinishReason::Completed,
                        wall: WallTime(0),
                    },
                ));
            }
            let mut now = 0_u64;
            let mut entries = Vec::new();
            for (place, (step, event)) in events.into_iter().enumerate() {
                now = now.saturating_add(step);
                entries.push(Entry {
                    seq: Seq(place as u64),
                    elapsed: Elapsed(now),
                    event,
                });
            }
            entries
        })
}

/// A finding may only grow: severity up, end set once, evidence and nodes appended.
fn only_grew(before: &Finding, after: &Finding) {
    assert_eq!(before.id, after.id);
    assert_eq!(before.kind, after.kind);
    assert_eq!(before.shard, after.shard);
    assert_eq!((before.start, before.noticed), (after.start, after.noticed));
    assert_eq!(before.summary, after.summary);
    assert_eq!(before.causes, after.causes);
    // An engine that comes back excuses what it took along, and that ends with the recovery budget.
    let by_engine = |finding: &Finding| finding.excused_by.as_deref() == Some("engine-restart");
    assert!(
        before.excused_by == after.excused_by || by_engine(before) || by_engine(after),
        "{before:?} {after:?}"
    );
    assert!(after.severity >= before.severity);
    assert!(before.end.is_none() || before.end == after.end);
    assert!(after.evidence.starts_with(&before.evidence));
    assert!(after.nodes.starts_with(&before.nodes));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn any_entries_are_judged_without_a_panic_and_findings_only_grow(entries in any_journal(300)) {
        let plan = shape().plan();
        let mut judge = Judge::new(&plan);
        let mut known: Vec<Finding> = Vec::new();
        for entry in &entries {
            let changes = judge.step(entry);
            let now = judge.findings();
            prop_assert!(now.len() >= known.len());
            for (before, after) in known.iter().zip(now) {
                only_grew(before, after);
            }
            if changes.is_empty() {
                prop_assert_eq!(now.len(), known.len(), "an opening is a change");
            }
            known = now.to_vec();
        }
        let judgement = judge.finish();
        prop_assert!(judgement.doubts.iter().all(|doubt| !doubt.why.contains("a bug")), "{:?}", judgement.doubts);
        let _ = decide(&plan, &judgement);
        prop_assert!(serde_json::to_string(&judgement).is_ok());
    }

    #[test]
    fn live_is_replay_at_any_split(entries in any_journal(200), split in 0_usize..200) {
        let plan = shape().plan();
        let mut straight = Judge::new(&plan);
        let mut looked_at = Judge::new(&plan);
        for (place, entry) in entries.iter().enumerate() {
            straight.step(entry);
            let again: Entry = serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
            looked_at.step(&again);
            if place == split {
                // What the live display does.
                let _ = (looked_at.shards(), looked_at.nodes(), looked_at.judgement());
            }
        }
        prop_assert_eq!(straight.finish(), looked_at.finish());
    }

    #[test]
    fn scripted_runs_raise_nothing_in_retrospect(
        seed in any::<u64>(),
        script in proptest::collection::vec((0_u64..25_000, 0_u64..2, 0_u32..4, 0_usize..6), 0..5),
    ) {
        let script = script
            .into_iter()
            .map(|(millis, shard, index, what)| {
                let node = node(shard, index);
                incident(millis, match what {
                    0 => What::Kill(node),
                    1 => What::Exit(node, 1),
                    2 => What::DiskFull(node),
                    3 => What::Hang(node),
                    4 => What::OutOfMemory(node),
                    _ => What::Start(node),
                })
            })
            .collect();
        let mut judge = Judge::new(&shape().plan());
        let mut open = std::collections::BTreeSet::new();
        for entry in Generator::new(&shape(), seed, script) {
            for change in judge.step(&entry) {
                match change.kind {
                    ChangeKind::Opened => prop_assert!(open.insert(change.finding.id)),
                    ChangeKind::Closed => prop_assert!(open.remove(&change.finding.id)),
                    ChangeKind::Raised | ChangeKind::Paged => prop_assert!(open.contains(&change.finding.id)),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), compressed in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let name = if compressed { "000000.jsonl.zst" } else { "000000.jsonl" };
        fs::write(folder.path().join(name), bytes).unwrap();
        for outcome in Reader::open(folder.path()).unwrap() {
            if let Err(error) = outcome {
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
