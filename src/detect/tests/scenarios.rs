//! Whole runs: what the issue asks of the judge, and what must stay quiet.

use super::*;
use Severity::{Critical, Info, Major, Minor};

use crate::journal::{Event, event::ProbeKind};

#[test]
fn a_healthy_run_has_no_finding() {
    let judgement = judge(Generator::new(&shape(), 1, Vec::new()));
    assert_eq!(names(&judgement.findings), []);
    assert_eq!(judgement.pages, []);
    let shard = &judgement.shards[1];
    assert!(
        (0.195..0.205).contains(&shard.whole.mean.as_secs_f64()),
        "{:?}",
        shard.whole
    );
    assert_eq!(shard.signers_mean, Some(4.0));
    assert!((39.0..41.0).contains(&judgement.acceleration.measured));
    assert!(judgement.coverage.blocks > 600 && judgement.coverage.epochs >= 4);
    assert_eq!(judgement.coverage.blind_share, 0.0);
}

#[test]
fn one_validator_killed_by_hand_and_left_down_is_two_minor_findings() {
    for victim in 0..4 {
        let findings = check(vec![at(10.0, What::Kill(node(1, victim)))]);
        let name = format!("s1-n0{victim}");
        assert_eq!(
            names(&findings),
            [
                ("crash", Minor, name.as_str()),
                ("low-signers", Minor, name.as_str())
            ],
            "{findings:#?}"
        );
        assert!(findings[0].summary.contains("outside hand"));
        assert_eq!(findings[0].end, None, "it was left down");
    }
}

#[test]
fn two_of_four_killed_by_hand_is_a_critical_stall_within_the_window_and_an_interval() {
    let incidents = vec![
        at(10.0, What::Kill(node(1, 1))),
        at(10.1, What::Kill(node(1, 2))),
    ];
    let mut judge = Judge::new(&shape().plan());
    let (mut raised, mut last_block, mut paged) = (None, Elapsed::default(), None);
    for entry in Generator::new(&shape(), 3, incidents) {
        if let crate::journal::Event::Block { shard, .. } = &entry.event
            && shard.0 == 1
        {
            last_block = entry.elapsed;
        }
        for change in judge.step(&entry) {
            match change.kind {
                crate::detect::ChangeKind::Raised => raised = Some(entry.elapsed),
                crate::detect::ChangeKind::Paged => paged = Some(entry.elapsed),
                _ => {}
            }
        }
    }
    let plan = shape().plan();
    let window = plan.thresholds.stall + plan.clocks.block_interval;
    let raised = raised.expect("raised").since(last_block);
    assert!(raised <= window, "{raised:?}");
    let paged = paged.expect("paged").since(last_block);
    assert!(
        paged <= plan.thresholds.page + plan.clocks.block_interval,
        "{paged:?}"
    );
    let judgement = judge.finish();
    let stall = one(&judgement.findings, "stall");
    assert_eq!((stall.severity, stall.shard), (Critical, Some(ShardId(1))));
    assert_eq!(stall.nodes, [node(1, 1), node(1, 2)]);
    assert_eq!(
        stall.start, last_block,
        "counted from the last block's arrival"
    );
    assert_eq!(stall.excused_by, None);
    let kinds: Vec<_> = judgement
        .findings
        .iter()
        .map(|finding| finding.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        ["crash", "crash", "stall"],
        "no loop, no missing leader, no lag"
    );
    assert_eq!(
        judgement.shards[1].sight,
        crate::detect::judgement::Sight::Stalled
    );
    assert_eq!(judgement.shards[1].recovery.stalls, 1);
}

#[test]
fn two_of_four_that_come_back_recover_and_the_time_is_measured_from_the_quorum() {
    let findings = vec![
        at(10.0, What::Kill(node(0, 1))),
        at(10.0, What::Kill(node(0, 2))),
        at(30.0, What::Start(node(0, 1))),
        at(30.0, What::Start(node(0, 2))),
    ];
    let judgement = judge(Generator::new(&shape(), 3, findings));
    let stall = one(&judgement.findings, "stall");
    assert!(stall.end.is_some());
    assert!(stall.duration > Duration::from_secs(19));
    let recovery = judgement.shards[0].recovery;
    assert_eq!((recovery.stalls, recovery.recovered), (1, 1));
    assert!(recovery.p99 < Duration::from_secs(3), "{recovery:?}");
    assert!(judgement.measures["recovery.p99"].value < 3000.0);
    for finding in &judgement.findings {
        assert!(
            finding.kind == "stall" || finding.severity <= Minor,
            "{} {}",
            finding.kind,
            finding.summary
        );
    }
}

#[test]
fn two_of_four_that_end_by_themselves_are_crashes_and_an_unexcused_stall() {
    let findings = check(vec![
        at(10.0, What::Exit(node(0, 0), 1)),
        at(10.0, What::Exit(node(0, 3), 101)),
    ]);
    assert_eq!(
        names(&findings),
        [
            ("crash", Major, "s0-n00"),
            ("crash", Major, "s0-n03"),
            ("stall", Critical, "s0-n00")
        ]
    );
    assert!(findings.iter().all(|finding| finding.excused_by.is_none()));
    assert!(
        findings[2]
            .causes
            .iter()
            .any(|cause| cause.contains("ended by itself"))
    );
}

#[test]
fn a_full_disk_names_the_node_at_the_first_failed_write_and_lag_follows_its_budget() {
    let findings = check(vec![at(10.0, What::DiskFull(node(1, 2)))]);
    let full = one(&findings, "disk-full");
    assert_eq!((full.severity, full.noticed), (Major, soak(10.0)));
    assert_eq!(full.nodes, [node(1, 2)]);
    let lag = one(&findings, "node-lagging");
    assert_eq!((lag.severity, &lag.nodes[..]), (Major, &[node(1, 2)][..]));
    assert!(
        lag.causes.iter().any(|cause| cause.contains("disk")),
        "{lag:#?}"
    );
    let kinds: Vec<_> = names(&findings).iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(
        kinds,
        ["disk-full", "node-lagging", "low-signers"],
        "no stuck-syncing"
    );
    assert_eq!(
        one(&findings, "low-signers").severity,
        Major,
        "a full disk is no node that is known to be down"
    );
}

#[test]
fn a_full_disk_that_recovers_is_closed_and_lag_stays_minor() {
    let findings = check(vec![
        at(10.0, What::DiskFull(node(1, 2))),
        at(18.0, What::DiskRecovered(node(1, 2))),
    ]);
    let full = one(&findings, "disk-full");
    assert_eq!(full.end, Some(soak(18.0)));
    assert!(
        findings
            .iter()
            .all(|finding| finding.kind != "node-lagging" || finding.severity == Minor)
    );
}

#[test]
fn a_full_disk_is_not_the_nodes_when_the_host_is_dry() {
    use crate::journal::{Event, event::LogClass};
    let dry = Event::HostDisk {
        engine_free: 0,
        run_free: 0,
    };
    let says = |seconds: f64, class: LogClass| {
        let line = Event::Log {
            node: node(1, 2),
            level: "error".into(),
            rule: "rule".into(),
            class,
            message: "it is so".to_owned(),
            error: None,
            time: None,
            at: None,
        };
        at(seconds, What::Fact(Box::new(line)))
    };
    let judgement = judge(Generator::new(
        &shape(),
        7,
        vec![
            at(9.0, What::Fact(Box::new(dry.clone()))),
            at(10.0, What::DiskFull(node(1, 2))),
            says(10.1, LogClass::DiskError),
            says(10.2, LogClass::DoubleProposal),
            says(10.3, LogClass::CommitSignaturesLost),
            says(10.4, LogClass::InvalidAnnounce),
            at(11.0, What::Fact(Box::new(dry))),
        ],
    ));
    let found = |kind: &str| {
        judgement
            .findings
            .iter()
            .any(|finding| finding.kind == kind)
    };
    assert!(!found("disk-full") && !found("disk-error"));
    // A full host explains nothing of these.
    assert!(
        found("double-proposal") && found("commit-signatures-lost") && found("invalid-announce")
    );
    // It is ours to answer for, and told once.
    let infra: Vec<_> = judgement
        .infra
        .iter()
        .map(|note| (&*note.what, note.fatal))
        .collect();
    assert_eq!(infra, [("host-disk", true)]);
    let verdict = crate::verdict::decide(&shape().plan(), &judgement);
    let infra = |reason: &crate::verdict::Reason| reason.outcome == crate::verdict::Outcome::Infra;
    assert!(verdict.reasons.iter().any(infra), "{:?}", verdict.reasons);
}

#[test]
fn memory_is_an_oom_kill_and_no_crash() {
    let findings = check(vec![at(10.0, What::OutOfMemory(node(0, 1)))]);
    assert_eq!(
        names(&findings),
        [
            ("oom-kill", Major, "s0-n01"),
            ("low-signers", Minor, "s0-n01")
        ]
    );
}

#[test]
fn a_node_that_ends_three_times_is_a_loop() {
    let mut incidents = Vec::new();
    for round in 0..3 {
        incidents.push(at(10.0 + f64::from(round) * 5.0, What::Exit(node(0, 1), 1)));
        incidents.push(at(11.0 + f64::from(round) * 5.0, What::Start(node(0, 1))));
    }
    let findings = check(incidents.clone());
    let ending = one(&findings, "crash-loop");
    assert_eq!((ending.severity, ending.noticed), (Critical, soak(20.0)));
    assert_eq!(
        findings
            .iter()
            .filter(|finding| finding.kind == "crash")
            .count(),
        3
    );
    incidents.truncate(4);
    assert!(
        check(incidents)
            .iter()
            .all(|finding| finding.kind != "crash-loop"),
        "twice"
    );
}

#[test]
fn a_silent_node_is_hung_and_never_blind() {
    let findings = check(vec![
        at(10.0, What::Hang(node(0, 2))),
        at(40.0, What::Unhang(node(0, 2))),
    ]);
    let hung = one(&findings, "hung");
    assert_eq!((hung.severity, &hung.nodes[..]), (Major, &[node(0, 2)][..]));
    assert!(hung.end.is_some());
    assert!(findings.iter().all(|finding| finding.kind != "blind"));
    let short = check(vec![
        at(10.0, What::Hang(node(0, 2))),
        at(15.0, What::Unhang(node(0, 2))),
    ]);
    assert!(
        short.iter().all(|finding| finding.kind != "hung"),
        "{short:#?}"
    );
}

#[test]
fn a_shard_of_which_nobody_answers_is_blind_and_not_stalled() {
    let all = |what: fn(NodeName) -> What| {
        move |seconds: f64| {
            (0..2).flat_map(move |shard| {
                (0..4).map(move |index| at(seconds, what(node(shard, index))))
            })
        }
    };
    let mut incidents: Vec<_> = all(What::Mute)(20.0).collect();
    incidents.extend(all(What::Unhang)(40.0));
    let judgement = judge_allowing_doubts(incidents);
    let kinds: Vec<_> = names(&judgement.findings)
        .iter()
        .map(|found| found.0)
        .collect();
    assert_eq!(kinds, ["blind", "blind"], "{:#?}", judgement.findings);
    assert!(
        judgement.coverage.blind_share > 0.2,
        "{:?}",
        judgement.coverage
    );
}

fn judge_allowing_doubts(incidents: Vec<Incident>) -> Judgement {
    let mut judge = Judge::new(&shape().plan());
    for entry in Generator::new(&shape(), 7, incidents) {
        judge.step(&entry);
    }
    judge.finish()
}

#[test]
fn a_watcher_that_dies_is_blindness_with_or_without_its_word() {
    for said in [true, false] {
        let mut incidents = vec![at(20.0, What::LoseSight), at(35.0, What::RegainSight)];
        if !said {
            let still = crate::journal::Event::Sight {
                seeing: true,
                detail: String::new(),
            };
            incidents.insert(1, at(20.0, What::Fact(Box::new(still))));
        }
        let judgement = judge_allowing_doubts(incidents);
        assert!(
            judgement
                .findings
                .iter()
                .all(|finding| finding.kind == "blind" && finding.severity == Info),
            "said {said}: {:#?}",
            judgement.findings
        );
        assert!(!judgement.findings.is_empty(), "said {said}");
        assert!(
            judgement.coverage.blind_share > 0.15,
            "{:?}",
            judgement.coverage
        );
    }
}

#[test]
fn a_machine_that_slept_is_a_gap_and_no_stall() {
    let judgement = judge(Generator::new(
        &shape(),
        1,
        vec![at(20.0, What::Suspend(Duration::from_secs(8 * 3600)))],
    ));
    assert_eq!(names(&judgement.findings), []);
    assert_eq!(judgement.coverage.gaps, 1);
    assert!(
        judgement.shards[0].whole.longest < Duration::from_secs(2),
        "{:?}",
        judgement.shards[0].whole
    );
}

#[test]
fn a_canary_that_stood_still_restarts_its_windows() {
    let entries = Generator::new(&shape(), 1, Vec::new())
        .filter(|entry| entry.elapsed < soak(20.0) || entry.elapsed > soak(40.0));
    let judgement = judge(entries);
    assert_eq!(names(&judgement.findings), []);
    assert_eq!(judgement.coverage.gaps, 1);
    assert!(!judgement.doubts.is_empty());
}

#[test]
fn watching_that_was_switched_off_on_purpose_is_not_judged_and_not_blind() {
    use crate::journal::Event;
    let incidents = vec![
        at(20.0, What::Fact(Box::new(Event::WatchPaused))),
        at(40.0, What::Fact(Box::new(Event::WatchResumed))),
    ];
    let entries = Generator::new(&shape(), 1, incidents).filter(|entry| {
        let of_the_watcher = matches!(
            entry.event,
            Event::Block { .. } | Event::Heads { .. } | Event::Sample(_)
        );
        !of_the_watcher || entry.elapsed < soak(20.0) || entry.elapsed > soak(40.5)
    });
    let judgement = judge(entries);
    assert_eq!(names(&judgement.findings), []);
    assert!(
        judgement.coverage.blind_share < 0.02,
        "{:?}",
        judgement.coverage
    );
    assert!(judgement.coverage.watched < Duration::from_secs(41));
    assert!(judgement.cost.engine_cpu_share_unwatched.is_some());
}

#[test]
fn ticks_only_are_no_verdict_on_a_shard_that_was_never_seen() {
    let judgement = judge_allowing_doubts(vec![Incident {
        at: Elapsed::default(),
        what: What::LoseSight,
    }]);
    assert!(
        judgement
            .findings
            .iter()
            .all(|finding| finding.kind == "blind"),
        "{:#?}",
        judgement.findings
    );
}

#[test]
fn a_shard_without_a_first_block_never_started() {
    let incidents = (0..2)
        .map(|index| Incident {
            at: Elapsed::from_millis(420 + index),
            what: What::StickSyncing(node(1, index as u32)),
        })
        .collect();
    // Stuck before the first block: three of four are needed.
    let entries = Generator::new(&shape(), 1, incidents).filter(
        |entry| !matches!(&entry.event, crate::journal::Event::Block { shard, .. } if shard.0 == 1),
    );
    let mut judge = Judge::new(&shape().plan());
    for mut entry in entries {
        if let crate::journal::Event::Heads { shard, nodes } = &mut entry.event
            && shard.0 == 1
        {
            for head in nodes {
                head.height = crate::ids::Height(0);
            }
        }
        judge.step(&entry);
    }
    let judgement = judge.finish();
    let never = one(&judgement.findings, "never-started");
    assert_eq!((never.severity, never.shard), (Critical, Some(ShardId(1))));
    assert!(
        judgement
            .findings
            .iter()
            .all(|finding| finding.shard == Some(ShardId(1)))
    );
}

#[test]
fn safety_is_owed_always() {
    let findings = check(vec![
        at(10.0, What::Fork(node(0, 1))),
        at(10.5, What::Fork(node(0, 2))),
        at(20.0, What::GoBack(node(1, 3), 7)),
    ]);
    let forks: Vec<_> = findings
        .iter()
        .filter(|finding| finding.kind == "fork" && finding.shard == Some(ShardId(0)))
        .collect();
    assert!((1..=2).contains(&forks.len()) && forks.iter().all(|fork| fork.severity == Critical));
    // The generated node shows another hash at a height that is known: both, of which the fork is told.
    assert!(
        findings
            .iter()
            .any(|finding| finding.shard == Some(ShardId(1))
                && (finding.kind == "height-regression" || finding.kind == "fork"))
    );
}

#[test]
fn slow_blocks_are_major_and_end_with_the_pace() {
    let findings = check(vec![at(10.0, What::Pace(180)), at(35.0, What::Pace(100))]);
    assert_eq!(names(&findings).len(), 2, "{:#?}", names(&findings));
    for finding in &findings {
        assert_eq!(
            (finding.kind.as_str(), finding.severity),
            ("slow-blocks", Major)
        );
        assert!(finding.end.is_some());
    }
    assert_eq!(
        names(&check(vec![at(10.0, What::Pace(140))])),
        [],
        "within the factor"
    );
}

#[test]
fn a_node_stuck_in_sync_mode_is_found_beside_its_lag() {
    let findings = check(vec![at(10.0, What::StickSyncing(node(0, 1)))]);
    let stuck = one(&findings, "stuck-syncing");
    assert_eq!(
        (stuck.severity, &stuck.nodes[..]),
        (Major, &[node(0, 1)][..])
    );
    assert_eq!(one(&findings, "node-lagging").severity, Major);
}

#[test]
fn a_node_that_answers_without_a_height_lags_from_where_it_stood() {
    let silent = node(0, 1);
    let entries = Generator::new(&shape(), 7, Vec::new()).map(|mut entry| {
        if entry.elapsed < soak(10.0) {
            return entry;
        }
        match &mut entry.event {
            Event::Heads { nodes, .. } => nodes.retain(|head| head.node != silent),
            // One of the node's own facts in each second becomes what a node without a block is told of.
            Event::Sample(sample) if sample.node.as_ref() == Some(&silent) => {
                entry.event = Event::ProbeAnswered {
                    node: silent.clone(),
                    probe: ProbeKind::Rpc,
                    silent_for: Duration::ZERO,
                };
            }
            _ => {}
        }
        entry
    });
    let judgement = judge(entries);
    let lag = one(&judgement.findings, "node-lagging");
    assert_eq!((lag.severity, &lag.nodes[..]), (Major, &[silent][..]));
    assert!(lag.start > soak(10.0), "from when it was seen behind");
}

#[test]
fn what_the_canary_asked_for_is_no_finding() {
    let findings = check(Vec::new());
    assert_eq!(findings, [], "the teardown kills every node, requested");
}

#[test]
fn half_a_day_of_a_slow_chain_has_no_finding() {
    // The whole month, at canary intervals, is judged by `benches/judge.rs`.
    let shape = Shape {
        shards: 1,
        validators: 4,
        interval: Duration::from_secs(2),
        soak: Duration::from_secs(12 * 3600),
    };
    let mut judge = Judge::new(&shape.plan());
    for entry in Generator::new(&shape, 11, Vec::new()) {
        judge.step(&entry);
    }
    let judgement = judge.finish();
    assert_eq!(names(&judgement.findings), []);
    assert!(judgement.coverage.blocks > 21_000);
    let slope = judgement.nodes[0].disk_slope.expect("a slope");
    assert!(slope.flat, "{slope:?}");
}

/// The soak is taken over after half of it, as runs did it that told the stage again, and in the middle of a settle that
/// is then begun again later.
#[test]
fn what_was_measured_before_a_takeover_counts() {
    use crate::{
        detect::world::Series,
        journal::event::{Event, Stage},
        time::WallTime,
    };
    let fact = |seconds: f64, event: Event| at(seconds, What::Fact(Box::new(event)));
    let stage = |seconds: f64, stage: Stage| fact(seconds, Event::Stage { stage });
    let attached = |seconds: f64| {
        let wall = WallTime(1_893_456_000_000).plus(soak(seconds).as_duration());
        fact(seconds, Event::Attached { wall })
    };
    let judged = |incidents: Vec<Incident>| {
        let mut judge = Judge::new(&shape().plan());
        for entry in Generator::new(&shape(), 1, incidents) {
            judge.step(&entry);
        }
        let points = judge.world().trends.points(Series::Disk, 0).points.len();
        (judge.finish(), points)
    };
    let (whole, all_points) = judged(Vec::new());
    let (taken, points) = judged(vec![attached(30.0), stage(30.0, Stage::Soak)]);
    let (settled, _) = judged(vec![
        stage(30.0, Stage::Settle),
        fact(30.0, Event::WatchPaused),
        attached(32.0),
        stage(32.0, Stage::Soak),
    ]);
    for (judgement, what) in [(&taken, "soak"), (&settled, "settle")] {
        let (seen, all) = (&judgement.coverage, &whole.coverage);
        assert_eq!(seen.soak, all.soak, "{what}");
        assert!(
            seen.watched + Duration::from_secs(3) > all.watched,
            "{what}: {seen:?}"
        );
        let (seen, all) = (&judgement.shards[0].whole, &whole.shards[0].whole);
        assert!(seen.count + 20 > all.count, "{what}: {seen:?}");
        let (seen, all) = (judgement.acceleration.mainnet, whole.acceleration.mainnet);
        assert_eq!(seen, all, "{what}");
        assert_eq!(names(&judgement.findings), [], "{what}");
    }
    assert!(points + 2 >= all_points, "{points} of {all_points}");
    assert!(all_points > 10, "{all_points}");
}
