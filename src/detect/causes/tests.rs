use std::time::Duration;

use super::*;
use crate::{
    detect::tests::{at, judge, node, one, shape, soak},
    journal::{
        effect::Effect,
        event::{FaultStep, LogClass, Sample},
        generate::{Generator, Incident, What},
    },
};

fn fact(seconds: f64, event: Event) -> Incident {
    at(seconds, What::Fact(Box::new(event)))
}

/// The incident in one shard: a scraper, ghost bytes, a failed write, the leader's end, and no quorum.
fn story(told: bool) -> Vec<Incident> {
    let leader = node(1, 0);
    let step = |step| Event::Fault {
        id: "f1-log-scraper".into(),
        kind: "log-scraper".into(),
        step,
    };
    let ghosts = |free| {
        Event::Sample(Sample {
            node: Some(leader.clone()),
            disk_used: 90 << 20,
            disk_free: free,
            visible: 10 << 20,
            ..Sample::default()
        })
    };
    let failed = Event::Log {
        node: leader.clone(),
        level: "error".into(),
        rule: "no-space-left".into(),
        class: LogClass::DiskFull,
        message: "Failed to store prepared block".to_owned(),
        error: Some("no space left on device".to_owned()),
        time: None,
        at: None,
    };
    let mut incidents = vec![
        fact(11.31, ghosts(1 << 20)),
        fact(11.32, ghosts(1 << 20)),
        fact(12.0, failed),
        at(12.1, What::Exit(leader.clone(), 1)),
        at(12.2, What::Exit(node(1, 2), 1)),
        at(12.3, What::Exit(node(0, 3), 1)),
    ];
    if told {
        let requested = FaultStep::Requested {
            targets: vec![leader.clone()],
            takes: vec![leader],
            effects: vec![Effect::GhostBytes],
            lasts: Duration::from_secs(20),
        };
        incidents.insert(0, fact(10.0, step(requested)));
        incidents.insert(1, fact(10.1, step(FaultStep::Acknowledged)));
    }
    incidents
}

fn kinds(chain: &[Cause]) -> Vec<&str> {
    chain.iter().map(|cause| cause.kind.as_str()).collect()
}

#[test]
fn a_stall_tells_its_story_in_order_and_in_all_clocks() {
    let judgement = judge(Generator::new(&shape(), 7, story(true)));
    let stall = one(&judgement.findings, "stall");
    let chain = &stall.chain;
    assert_eq!(
        kinds(chain),
        [
            "fault",
            "ghost-bytes",
            "disk-level",
            "failed-write",
            "disk-full",
            "crash",
            "crash",
            "view-change"
        ],
        "{chain:#?}"
    );
    assert!(
        chain[0].what.starts_with("log-scraper s1-n00"),
        "{}",
        chain[0].what
    );
    assert_eq!(
        chain[2].what,
        "the data disk of s1-n00 (leader) passed 92 %"
    );
    let broken = &chain[3];
    assert_eq!((&broken.node, broken.at), (&Some(node(1, 0)), soak(12.0)));
    assert_eq!(broken.after, Duration::from_secs(2));
    assert_eq!(broken.blocks, 10);
    assert_eq!(broken.mainnet, Duration::from_secs(80));
    assert!(broken.what.contains("no space left on device"));
    assert!(stall.raised.is_some_and(|at| at > stall.noticed));
}

#[test]
fn the_first_cause_is_found_without_being_told_of_the_fault() {
    let judgement = judge(Generator::new(&shape(), 7, story(false)));
    let stall = one(&judgement.findings, "stall");
    let first = &stall.chain[0];
    assert_eq!(
        (first.kind.as_str(), &first.node),
        ("ghost-bytes", &Some(node(1, 0)))
    );
    assert_eq!(first.at, soak(11.31));
}

#[test]
fn what_is_about_a_node_is_caused_on_that_node_and_before() {
    let judgement = judge(Generator::new(&shape(), 7, story(true)));
    let of = |name: NodeName| {
        let mut crashes = judgement.findings.iter();
        let crash =
            crashes.find(|finding| finding.kind == "crash" && finding.nodes == [name.clone()]);
        kinds(&crash.expect("a crash").chain)
    };
    assert_eq!(
        of(node(1, 0)),
        [
            "fault",
            "ghost-bytes",
            "disk-level",
            "failed-write",
            "disk-full"
        ]
    );
    assert_eq!(of(node(1, 2)), Vec::<&str>::new(), "another node's trouble");
    assert_eq!(of(node(0, 3)), Vec::<&str>::new(), "another shard's");
}

#[test]
fn what_lies_too_far_back_is_no_cause() {
    let incidents = vec![
        fact(
            5.0,
            Event::Log {
                node: node(0, 1),
                level: "error".into(),
                rule: "no-space-left".into(),
                class: LogClass::DiskError,
                message: "input/output error".to_owned(),
                error: None,
                time: None,
                at: None,
            },
        ),
        at(40.0, What::Kill(node(0, 1))),
        at(40.0, What::Kill(node(0, 2))),
    ];
    let judgement = judge(Generator::new(&shape(), 7, incidents));
    let stall = one(&judgement.findings, "stall");
    assert_eq!(kinds(&stall.chain), ["crash", "crash", "view-change"]);
}

#[test]
fn marks_are_bounded_and_repetition_is_one() {
    let plan = shape().plan();
    let mut causes = Causes::new(&plan, &World::new(&plan));
    let mark = |millis: u64, key: u64| Mark {
        kind: "failed-write".into(),
        begins: true,
        rank: 0,
        draft: rules::tests::draft(Elapsed::from_millis(millis), key),
        seq: Seq(millis),
    };
    (0..100).for_each(|millis| causes.mark(mark(millis, 0)));
    assert_eq!(causes.shards[0].len(), 1);
    (0..1_000).for_each(|key| causes.mark(mark(200, key)));
    assert_eq!(causes.shards[0].len(), MOST_MARKS);
}
