//! Single entries: boundaries that whole runs do not hit.

use super::*;
use crate::{
    detect::detector::Detector,
    ids::{Height, Seq, ViewId},
    journal::{
        Event,
        effect::Effect,
        event::{ContainerChange, FaultStep, Mode, NodeHead, ProbeKind, Sample, Stage},
    },
};

/// A journal written by hand.
#[derive(Default)]
pub(super) struct Script {
    entries: Vec<Entry>,
}

impl Script {
    pub(super) fn add(&mut self, millis: u64, event: Event) -> &mut Self {
        let seq = Seq(self.entries.len() as u64);
        self.entries.push(Entry {
            seq,
            elapsed: Elapsed::from_millis(millis),
            event,
        });
        self
    }

    /// A shard of four that has started and made block 1 at 1 s.
    pub(super) fn started() -> Self {
        let mut script = Self::default();
        script.add(
            0,
            Event::Stage {
                stage: Stage::Start,
            },
        );
        for index in 0..4 {
            script.change(0, index, ContainerChange::Started, false);
        }
        script.add(
            500,
            Event::Stage {
                stage: Stage::WarmUp,
            },
        );
        script.block(1000, 1, "aa");
        script
    }

    pub(super) fn change(
        &mut self,
        millis: u64,
        index: u32,
        change: ContainerChange,
        requested: bool,
    ) -> &mut Self {
        self.add(
            millis,
            Event::Container {
                node: node(0, index),
                change,
                requested,
            },
        )
    }

    pub(super) fn block(&mut self, millis: u64, height: u64, hash: &str) -> &mut Self {
        self.add(
            millis,
            Event::Block {
                shard: ShardId(0),
                height: Height(height),
                hash: hash.into(),
                view: Some(ViewId(height)),
                epoch: None,
                leader: Some("s0-n00".into()),
                signers: Some(4),
                committee: Some(4),
                time: None,
                node: node(0, 0),
                content: None,
            },
        )
    }

    pub(super) fn heads(
        &mut self,
        millis: u64,
        height: u64,
        view: u64,
        leads: Option<bool>,
    ) -> &mut Self {
        let head = |index| NodeHead {
            node: node(0, index),
            height: Height(height),
            view: Some(ViewId(view)),
            agreeing: Some(Height(height + 1)),
            mode: Some(Mode::Normal),
            leads,
        };
        self.add(
            millis,
            Event::Heads {
                shard: ShardId(0),
                nodes: (0..4).map(head).collect(),
            },
        )
    }

    pub(super) fn tick(&mut self, millis: u64) -> &mut Self {
        self.add(
            millis,
            Event::Tick {
                wall: crate::time::WallTime(millis),
            },
        )
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut plan = shape();
        plan.shards = 1;
        taken_over(&plan.plan(), &self.entries).findings
    }
}

fn died(exit_code: i64) -> ContainerChange {
    ContainerChange::Died { exit_code }
}

#[test]
fn a_kill_told_after_the_end_still_counts() {
    let mut script = Script::started();
    script
        .change(1100, 2, died(137), false)
        .change(1105, 2, ContainerChange::Killed { signal: 9 }, false)
        .tick(2000);
    assert_eq!(
        names(&script.findings()),
        [("crash", Severity::Minor, "s0-n02")]
    );
}

#[test]
fn a_sigkill_of_unknown_origin_is_held_against_the_node_after_the_grace() {
    let mut script = Script::started();
    script.change(1100, 2, died(137), false).tick(1400);
    assert_eq!(names(&script.findings()), [], "the engine may still say");
    script.tick(1700);
    let findings = script.findings();
    assert_eq!(names(&findings), [("crash", Severity::Major, "s0-n02")]);
    assert_eq!(findings[0].start, Elapsed::from_millis(1100));
}

#[test]
fn a_hangup_long_before_does_not_explain_an_end_and_a_stop_does() {
    let mut script = Script::started();
    script
        .change(1100, 1, ContainerChange::Killed { signal: 1 }, false)
        .change(1200, 1, died(1), false)
        .change(1300, 2, ContainerChange::Killed { signal: 15 }, false)
        .change(1900, 2, died(0), false)
        .tick(2500);
    assert_eq!(
        names(&script.findings()[..2]),
        [
            ("crash", Severity::Major, "s0-n01"),
            ("crash", Severity::Minor, "s0-n02")
        ]
    );
}

#[test]
fn ends_that_were_asked_for_or_came_with_the_engine_are_no_crash() {
    let mut script = Script::started();
    script
        .change(1100, 1, died(0), true)
        .add(
            1200,
            Event::Infra {
                what: "engine".to_owned(),
                detail: "gone".to_owned(),
                fatal: false,
            },
        )
        .change(1300, 2, died(1), false)
        .tick(1900);
    assert_eq!(names(&script.findings()), []);
}

#[test]
fn an_oom_kill_told_after_the_end_leaves_no_crash() {
    let mut script = Script::started();
    script
        .change(1100, 2, died(137), false)
        .change(1150, 2, ContainerChange::OutOfMemory, false)
        .tick(1800);
    assert_eq!(
        names(&script.findings()),
        [("oom-kill", Severity::Major, "s0-n02")]
    );
}

#[test]
fn a_stall_opens_at_its_window_and_not_before() {
    let mut script = Script::started();
    // Suspected at 1.0125 s after the last block at 1 s.
    script.heads(1900, 1, 2, Some(true)).tick(2012);
    assert_eq!(names(&script.findings()), []);
    script.tick(2070);
    assert_eq!(names(&script.findings()), [("stall", Severity::Minor, "")]);
    for millis in [2900, 3900, 4900] {
        script.heads(millis, 1, 2, Some(true));
    }
    assert_eq!(script.findings()[0].severity, Severity::Minor, "at 3.9 s");
    script.tick(5005);
    assert_eq!(script.findings()[0].severity, Severity::Critical, "at 4 s");
    script.block(5100, 2, "bb");
    assert_eq!(script.findings()[0].end, Some(Elapsed::from_millis(5100)));
}

#[test]
fn no_stall_without_an_answer_after_the_last_block() {
    let mut script = Script::started();
    for millis in 1..40 {
        script.tick(1000 + millis * 100);
    }
    assert_eq!(
        names(&script.findings()),
        [],
        "nobody said that there is no block"
    );
}

#[test]
fn blocks_that_the_journal_leaves_out_are_no_stall() {
    let mut script = Script::started();
    script.add(
        1001,
        Event::Thinned {
            blocks: 16,
            heads: 4,
            samples: 16,
            notes: false,
            left_out: 0,
        },
    );
    script.heads(3900, 1, 2, Some(true)).block(4000, 16, "cc");
    for millis in [5000, 6000, 7000] {
        script.heads(millis, 16, 17, Some(true));
    }
    assert_eq!(names(&script.findings()), [], "15 blocks may be missing");
    script.heads(8100, 16, 17, Some(true));
    assert_eq!(names(&script.findings()), [("stall", Severity::Minor, "")]);
}

#[test]
fn three_views_at_one_height_are_a_loop_and_two_are_not() {
    let mut script = Script::started();
    script.block(1200, 2, "bb").heads(1300, 2, 3, Some(true));
    script
        .heads(1400, 2, 4, Some(true))
        .heads(1500, 2, 5, Some(true));
    assert_eq!(names(&script.findings()), []);
    script.heads(1600, 2, 6, Some(true));
    assert_eq!(
        names(&script.findings()),
        [("view-change-loop", Severity::Critical, "")]
    );
    script.block(1700, 3, "cc");
    assert!(script.findings()[0].end.is_some());
}

#[test]
fn one_node_alone_cannot_claim_a_loop() {
    let mut script = Script::started();
    script.block(1200, 2, "bb");
    script.add(
        1300,
        Event::Heads {
            shard: ShardId(0),
            nodes: vec![NodeHead {
                node: node(0, 3),
                height: Height(2),
                view: Some(ViewId(u64::MAX)),
                agreeing: Some(Height(3)),
                mode: None,
                leads: None,
            }],
        },
    );
    assert_eq!(names(&script.findings()), []);
}

#[test]
fn nobody_leads() {
    let mut script = Script::started();
    for millis in (1100..5000).step_by(100) {
        script.heads(millis, 1, 2, Some(false));
    }
    assert!(
        script
            .findings()
            .iter()
            .all(|finding| finding.kind != "no-leader")
    );
    for millis in (5000..5400).step_by(100) {
        script.heads(millis, 1, 2, Some(false));
    }
    let findings = script.findings();
    assert_eq!(one(&findings, "no-leader").severity, Severity::Critical);
    script.heads(5500, 1, 2, Some(true));
    assert!(one(&script.findings(), "no-leader").end.is_some());
    let mut unknown = Script::started();
    for millis in (1100..5400).step_by(100) {
        unknown.heads(millis, 1, 2, None);
    }
    assert!(
        unknown
            .findings()
            .iter()
            .all(|finding| finding.kind != "no-leader")
    );
}

#[test]
fn another_hash_at_a_known_height_is_a_fork() {
    let head = |height, hash: &str| Event::Head {
        node: node(0, 1),
        shard: ShardId(0),
        height: Height(height),
        hash: hash.into(),
        leader: None,
        was: None,
    };
    let mut script = Script::started();
    script.block(1200, 2, "bb");
    assert_eq!(names(&script.findings()), []);
    script.add(1400, head(2, "b2")).add(1500, head(2, "b3"));
    let findings = script.findings();
    assert_eq!(names(&findings), [("fork", Severity::Critical, "s0-n01")]);
    let mut second = Script::started();
    second.block(1200, 2, "bb").block(1300, 2, "b2");
    assert_eq!(one(&second.findings(), "fork").severity, Severity::Critical);
}

#[test]
fn a_head_that_goes_back_on_the_same_chain_is_a_regression() {
    let mut script = Script::started();
    script
        .block(1200, 2, "bb")
        .heads(1250, 2, 3, Some(true))
        .add(
            1300,
            Event::Head {
                node: node(0, 1),
                shard: ShardId(0),
                height: Height(1),
                hash: "aa".into(),
                leader: None,
                was: None,
            },
        );
    let findings = script.findings();
    assert_eq!(
        names(&findings),
        [("height-regression", Severity::Critical, "s0-n01")]
    );
    assert_eq!(findings[0].heights, Some((Height(1), Height(2))));
    script.heads(1400, 2, 3, Some(true));
    assert!(script.findings()[0].end.is_some());
}

#[test]
fn a_head_that_goes_back_by_blocks_of_the_last_second_is_a_regression() {
    let back = |height, hash: &str, was: Option<u64>| {
        let mut script = Script::started();
        // Of node 1 it was only told that it had block 1.
        script
            .heads(1100, 1, 2, Some(true))
            .block(1200, 2, "bb")
            .block(1400, 3, "cc");
        script.add(
            1500,
            Event::Head {
                node: node(0, 1),
                shard: ShardId(0),
                height: Height(height),
                hash: hash.into(),
                leader: None,
                was: was.map(Height),
            },
        );
        let findings = script.findings();
        let kinds: Vec<String> = findings
            .iter()
            .map(|finding| finding.kind.clone())
            .collect();
        (kinds, findings[0].heights)
    };
    let regression = |to, from| {
        let heights = Some((Height(to), Height(from)));
        (vec!["height-regression".to_owned()], heights)
    };
    assert_eq!(back(2, "bb", Some(3)), regression(2, 3));
    // As older journals tell it.
    assert_eq!(back(2, "bb", None), regression(2, 3));
    // A block that is not known any more, or never was.
    assert_eq!(back(0, "00", Some(3)), regression(0, 3));
    assert_eq!(back(2, "xx", Some(3)).0, ["fork"], "another block is worse");
}

#[test]
fn two_samples_without_a_free_byte_are_a_full_disk_and_one_is_not() {
    let sample = |free| {
        Event::Sample(Sample {
            node: Some(node(0, 1)),
            disk_used: 1000,
            visible: 1000,
            disk_free: free,
            ..Sample::default()
        })
    };
    let mut script = Script::started();
    script
        .add(1100, sample(0))
        .add(1150, sample(9))
        .add(1160, sample(0));
    assert_eq!(names(&script.findings()), []);
    script.add(1170, sample(0));
    assert_eq!(
        names(&script.findings()),
        [("disk-full", Severity::Major, "s0-n01")]
    );
}

/// Node 1's disk is filled by a fault until 3 s; it says so last at 3.1 s, and there is room from 3.2 s on.
fn filled(then: impl Fn(&mut Script)) -> Vec<Finding> {
    let sample = |free| {
        Event::Sample(Sample {
            node: Some(node(0, 1)),
            disk_used: 1000,
            visible: 1000,
            disk_free: free,
            ..Sample::default()
        })
    };
    let fault = |step| Event::Fault {
        id: "f1-disk-fill".into(),
        kind: "disk-fill".into(),
        step,
    };
    let mut script = Script::started();
    script
        .add(
            1100,
            fault(FaultStep::Requested {
                targets: vec![node(0, 1)],
                takes: vec![node(0, 1)],
                effects: vec![Effect::DiskFull],
                lasts: std::time::Duration::from_secs(2),
            }),
        )
        .add(1200, fault(FaultStep::Acknowledged))
        .add(1300, fault(FaultStep::effective("0 free".to_owned())))
        .add(1400, sample(0))
        .add(2400, sample(0))
        .add(3000, fault(FaultStep::HealRequested))
        .add(3050, fault(FaultStep::Healed))
        .add(
            3100,
            Event::Log {
                node: node(0, 1),
                level: "error".into(),
                rule: "no-space".into(),
                class: crate::journal::event::LogClass::DiskFull,
                message: "write failed".to_owned(),
                error: None,
                time: None,
                at: None,
            },
        );
    then(&mut script);
    for second in 4..20 {
        script.block(second * 1000, second, "bb");
        script.add(second * 1000 + 1, sample(500));
        script.tick(second * 1000 + 2);
    }
    let mut findings = script.findings();
    findings.retain(|finding| finding.kind == "disk-full");
    findings
}

#[test]
fn a_full_disk_is_excused_by_its_last_sign_though_it_is_told_for_longer() {
    let findings = filled(|_| {});
    let full = one(&findings, "disk-full");
    assert!(
        full.end.unwrap() >= Elapsed::from_millis(13_000),
        "{full:?}"
    );
    assert_eq!(full.excused_by.as_deref(), Some("f1-disk-fill"));
}

#[test]
fn what_a_process_said_of_its_disk_ends_with_it() {
    let findings = filled(|script| {
        script
            .change(3200, 1, died(1), true)
            .change(3300, 1, ContainerChange::Started, true);
    });
    let full = one(&findings, "disk-full");
    assert!(full.end.unwrap() < Elapsed::from_millis(5_000), "{full:?}");
}

#[test]
fn who_outlives_a_process_that_was_ended_for_memory_may_still_crash() {
    let mut script = Script::started();
    script.change(1200, 1, ContainerChange::OutOfMemory, false);
    script
        .heads(1300, 1, 2, Some(true))
        .heads(1800, 1, 2, Some(true));
    script.change(2000, 1, ContainerChange::Died { exit_code: 1 }, false);
    let findings = script.findings();
    assert_eq!(
        names(&findings),
        [
            ("oom-kill", Severity::Major, "s0-n01"),
            ("crash", Severity::Major, "s0-n01")
        ]
    );
    assert_eq!(findings[0].end, Some(Elapsed::from_millis(1800)));
}

#[test]
fn a_hog_of_the_canary_that_is_ended_for_memory_is_excused_for_good() {
    let fault = |step| Event::Fault {
        id: "f1-memory-hog".into(),
        kind: "memory-hog".into(),
        step,
    };
    let mut script = Script::started();
    script
        .add(
            1100,
            fault(FaultStep::Requested {
                targets: vec![node(0, 1)],
                takes: vec![node(0, 1)],
                effects: vec![Effect::MemoryPressed],
                lasts: Duration::from_secs(2),
            }),
        )
        .add(1150, fault(FaultStep::Acknowledged))
        .change(1200, 1, ContainerChange::OutOfMemory, false)
        .add(2000, fault(FaultStep::Healed));
    // Far beyond all budgets, in which blocks come.
    for round in 0..400 {
        let (millis, height) = (2100 + round * 200, 2 + round);
        script
            .block(millis, height, "bb")
            .heads(millis + 10, height, height + 1, Some(true));
    }
    let findings = script.findings();
    let kill = one(&findings, "oom-kill");
    assert_eq!(kill.excused_by.as_deref(), Some("f1-memory-hog"));
    assert!(
        kill.end
            .is_some_and(|end| end <= Elapsed::from_millis(2200))
    );
}

#[test]
fn lost_lines_are_counted() {
    let count = |lost| Event::LogCount {
        node: node(0, 1),
        lines: 100,
        bytes: 1,
        lost,
        cut: 0,
    };
    let mut script = Script::started();
    script
        .add(1010, count(0))
        .add(1020, count(7))
        .add(1030, count(7));
    let findings = script.findings();
    assert_eq!(
        names(&findings),
        [("log-lines-lost", Severity::Info, "s0-n01")]
    );
    assert!(findings[0].summary.starts_with("7 "));
    assert!(findings[0].end.is_some());
}

#[test]
fn what_was_lost_before_a_takeover_stays_counted() {
    let count = |lines, lost| Event::LogCount {
        node: node(0, 1),
        lines,
        bytes: 1,
        lost,
        cut: 0,
    };
    let forms = |dropped| Event::TemplateCounts {
        node: node(0, 1),
        counts: Vec::new(),
        rest: 0,
        dropped,
    };
    let cost = |dropped| {
        Event::Cost(crate::journal::event::Cost {
            dropped,
            ..Default::default()
        })
    };
    let mut script = Script::started();
    script
        .add(1010, count(100, 7))
        .add(1011, forms(3))
        .add(1012, cost(2))
        .add(1020, count(110, 7))
        .add(
            1030,
            Event::Attached {
                wall: crate::time::WallTime(0),
            },
        )
        .add(1040, count(10, 0))
        .add(1050, count(20, 5))
        .add(1051, forms(1))
        .add(1052, cost(1))
        .add(1060, count(30, 5));
    let mut plan = shape();
    plan.shards = 1;
    let judgement = taken_over(&plan.plan(), &script.entries);
    assert_eq!(judgement.nodes[1].lines, (140, 12));
    assert_eq!(judgement.nodes[1].lines_passed_over, 4);
    assert_eq!(judgement.cost.dropped, 3);
    let lost: Vec<&str> = judgement
        .findings
        .iter()
        .filter(|finding| finding.kind == "log-lines-lost")
        .map(|finding| finding.summary.split(' ').next().unwrap())
        .collect();
    assert_eq!(lost, ["7", "5"]);
}

#[test]
fn a_log_that_cannot_be_read_is_blindness_of_that_node() {
    let mut script = Script::started();
    script.add(
        1100,
        Event::ProbeFailed {
            node: node(0, 1),
            probe: ProbeKind::Log,
            error: crate::journal::event::ProbeError::Ended,
            failures: 1,
        },
    );
    for round in 0..30 {
        script.block(1200 + round * 200, 2 + round, "bb").heads(
            1210 + round * 200,
            2 + round,
            3 + round,
            Some(true),
        );
    }
    let findings = script.findings();
    assert_eq!(names(&findings), [("blind", Severity::Info, "s0-n01")]);
}

#[test]
fn an_overloaded_canary_is_told() {
    let cost = |seconds: u64, cpu: u64, memory| {
        let cost = crate::journal::event::Cost {
            canary_cpu: cpu,
            canary_memory: memory,
            ..Default::default()
        };
        (seconds * 1000, Event::Cost(cost))
    };
    let run = |cpu_per_second: u64, memory: u64| {
        let mut script = Script::started();
        script.add(1001, Event::Stage { stage: Stage::Soak });
        for seconds in 2..100 {
            let (millis, event) = cost(seconds, seconds * cpu_per_second, memory);
            script
                .block(millis - 1, seconds * 5, "dd")
                .add(millis, event);
        }
        script
            .findings()
            .into_iter()
            .filter(|finding| finding.kind == "canary-overloaded")
            .count()
    };
    assert_eq!(run(90_000, 70 << 20), 0);
    assert_eq!(run(110_000, 70 << 20), 1, "11 % of a core");
    assert_eq!(run(90_000, 81 << 20), 1, "81 MiB");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Panics;

impl Detector for Panics {
    fn step(
        &mut self,
        entry: &Entry,
        _: &super::super::world::World,
        _: &mut super::super::Findings,
    ) {
        assert!(entry.seq.0 < 3, "a bug");
    }
}

#[test]
fn a_detector_that_panics_is_a_doubt_and_nothing_else() {
    let plan = shape().plan();
    let new = || Judge::with_detectors(&plan, vec![("panics", Box::new(Panics))]);
    let mut judge = new();
    for entry in Generator::new(&shape(), 1, Vec::new()) {
        judge.step(&entry);
        if entry.seq.0 == 100 {
            // Who takes the run over does not hear of it again.
            judge = new().with_state(&judge.keep().unwrap()).unwrap();
        }
    }
    let judgement = judge.finish();
    let told = judgement.doubts.iter().filter(|doubt| doubt.decisive);
    assert_eq!(told.count(), 1);
    let doubt = &judgement.doubts[0];
    assert!(doubt.decisive && doubt.detector == "panics");
    assert!(judgement.coverage.blocks > 100, "the rest went on");
    let verdict = crate::verdict::decide(&plan, &judgement);
    assert_eq!(verdict.outcome, crate::verdict::Outcome::Inconclusive);
}

/// Node 1 with its head at `height`, agreeing on `agreeing`.
fn position(script: &mut Script, millis: u64, height: u64, agreeing: u64, mode: Mode) {
    let head = NodeHead {
        node: node(0, 1),
        height: Height(height),
        view: Some(ViewId(5)),
        agreeing: Some(Height(agreeing)),
        mode: Some(mode),
        leads: None,
    };
    let (shard, nodes) = (ShardId(0), vec![head]);
    script.add(millis, Event::Heads { shard, nodes });
}

fn mismatches(positions: &[(u64, u64, u64, Mode)]) -> Vec<Finding> {
    let mut script = Script::started();
    for (millis, height, agreeing, mode) in positions {
        position(&mut script, *millis, *height, *agreeing, *mode);
    }
    let mut findings = script.findings();
    findings.retain(|finding| finding.kind == "height-mismatch");
    findings
}

#[test]
fn memory_and_disk_that_disagree_at_two_looks_are_a_mismatch() {
    use Mode::{Normal, Syncing};
    let found = mismatches(&[(2_000, 7, 9, Normal), (2_200, 7, 9, Syncing)]);
    assert_eq!(
        names(&found),
        [("height-mismatch", Severity::Critical, "s0-n01")]
    );
    assert_eq!(found[0].start, Elapsed::from_millis(2_000));
    assert!(found[0].summary.contains("block 7") && found[0].summary.contains("on 9"));
    let over = mismatches(&[
        (2_000, 7, 9, Normal),
        (3_000, 7, 9, Normal),
        (4_000, 9, 10, Normal),
    ]);
    assert_eq!(over[0].end, Some(Elapsed::from_millis(4_000)));
}

#[test]
fn one_look_and_a_node_that_catches_up_are_no_mismatch() {
    use Mode::{Normal, Syncing};
    for quiet in [
        // Once; twice within a block; not the same; the ordinary; a consensus that waits for the end of a sync.
        &[(2_000, 7, 9, Normal), (3_000, 9, 10, Normal)][..],
        &[(2_000, 7, 9, Normal), (2_199, 7, 9, Normal)],
        &[(2_000, 7, 9, Normal), (3_000, 8, 10, Normal)],
        &[(2_000, 7, 8, Normal), (3_000, 7, 8, Normal)],
        &[(2_000, 70, 8, Syncing), (3_000, 70, 8, Syncing)],
    ] {
        assert_eq!(mismatches(quiet), [], "{quiet:?}");
    }
}

#[test]
fn no_fault_excuses_a_mismatch() {
    use crate::journal::{effect::Effect, event::FaultStep};
    let mut script = Script::started();
    for step in [
        FaultStep::Requested {
            targets: vec![node(0, 1)],
            takes: vec![node(0, 1)],
            effects: vec![Effect::DiskFull],
            lasts: Duration::from_secs(60),
        },
        FaultStep::Acknowledged,
    ] {
        let (id, kind) = ("f1".into(), "disk-fill".into());
        script.add(1_500, Event::Fault { id, kind, step });
    }
    position(&mut script, 2_000, 7, 9, Mode::Normal);
    position(&mut script, 3_000, 7, 9, Mode::Normal);
    let found = script.findings();
    assert_eq!(one(&found, "height-mismatch").excused_by, None);
}

#[test]
fn two_blocks_of_one_view_are_told_by_who_was_sent_both() {
    let mut script = Script::started();
    script.add(
        2_000,
        Event::Log {
            node: node(0, 2),
            level: "warn".into(),
            rule: "two-blocks-in-one-view".into(),
            class: crate::journal::event::LogClass::DoubleProposal,
            message: "Leader is malicious".to_owned(),
            error: None,
            time: None,
            at: None,
        },
    );
    let found = script.findings();
    let double = one(&found, "double-proposal");
    assert_eq!(
        (double.severity, &double.nodes[..]),
        (Severity::Critical, &[node(0, 2)][..])
    );
}
