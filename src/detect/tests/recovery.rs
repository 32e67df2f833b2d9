//! What is measured of heals: by kind, against the budget, from the moment blocks are owed.

use std::time::Duration;

use super::{at, judge, judge_with, node, shape, soak};
use crate::{
    detect::{Finding, Judge, Judgement, Severity},
    ids::NodeName,
    journal::{
        Event,
        effect::Effect,
        event::FaultStep,
        generate::{Generator, Incident, What},
    },
    plan::{Limit, foreign::EndsOn},
    verdict::{Outcome, decide},
};

fn step(seconds: f64, id: &str, kind: &str, step: FaultStep) -> Incident {
    let event = Event::Fault {
        id: id.into(),
        kind: kind.into(),
        step,
    };
    at(seconds, What::Fact(Box::new(event)))
}

/// These nodes hang from one second to another, by a fault that is healed at a third.
fn fault(
    id: &str,
    kind: &str,
    nodes: &[NodeName],
    from: f64,
    healed: f64,
    back: f64,
) -> Vec<Incident> {
    let mut incidents = vec![
        step(
            from,
            id,
            kind,
            FaultStep::Requested {
                targets: nodes.to_vec(),
                takes: nodes.to_vec(),
                effects: vec![Effect::Frozen],
                lasts: Duration::from_secs(5),
            },
        ),
        step(from, id, kind, FaultStep::Acknowledged),
        step(from, id, kind, FaultStep::effective("seen".to_owned())),
        step(healed, id, kind, FaultStep::HealRequested),
        step(healed, id, kind, FaultStep::Healed),
    ];
    for node in nodes {
        incidents.push(at(from, What::Hang(node.clone())));
        incidents.push(at(back, What::Unhang(node.clone())));
    }
    incidents
}

fn run(incidents: Vec<Incident>) -> Judgement {
    judge(Generator::new(&shape(), 7, incidents))
}

#[test]
fn heals_are_measured_by_kind_and_may_be_limited() {
    let two = [node(0, 0), node(0, 1)];
    // Back half a second after the heal, and four seconds after it.
    let mut incidents = fault("f1-pause", "pause", &two, 5.0, 10.0, 10.5);
    incidents.extend(fault("f2-pause", "pause", &two, 25.0, 30.0, 34.0));
    incidents.extend(fault("f3-kill", "kill", &[node(1, 1)], 40.0, 44.0, 44.0));
    let judgement = run(incidents);
    let kinds: Vec<&str> = judgement
        .kinds
        .iter()
        .map(|kind| kind.kind.as_str())
        .collect();
    assert_eq!(kinds, ["pause", "kill"]);
    let pause = &judgement.kinds[0];
    assert_eq!((pause.fired, pause.effective, pause.healed), (2, 2, 2));
    assert_eq!((pause.late, pause.never_back), (0, 0));
    assert_eq!(pause.first_block.count, 2);
    let near = |measured: Duration, expected: f64| {
        let off = measured.as_secs_f64() - expected;
        assert!(
            (-0.3..1.0).contains(&off),
            "{measured:?} is not near {expected} s"
        );
    };
    near(pause.first_block.p50, 0.5);
    near(pause.first_block.longest, 4.0);
    assert!(pause.caught_up.longest >= pause.first_block.longest);
    // The worst kind decides what is not asked by kind.
    let value = |name: &str| judgement.measures[name].value;
    assert_eq!(
        value("recovery.p99").round(),
        value("recovery.pause.p99").round()
    );
    assert!(value("recovery.kill.p99") < 1_000.0);
    assert!(value("catch-up.p99") >= value("catch-up.kill.p99"));
    let mut plan = shape().plan();
    let limit = |below| Limit {
        text: format!("< {below}ms"),
        below: true,
        value: below,
    };
    let held = |plan: &crate::plan::Plan, name: &str| {
        let gates = decide(plan, &judgement).gates;
        let gate = gates
            .into_iter()
            .find(|gate| gate.gate == format!("limit {name}"));
        gate.map(|gate| gate.outcome)
    };
    for (name, below, outcome) in [
        ("recovery.pause.p99", 3_000.0, Outcome::Fail),
        ("recovery.pause.p99", 6_000.0, Outcome::Pass),
        ("recovery.kill.max", 3_000.0, Outcome::Pass),
        ("recovery.stop.p99", 3_000.0, Outcome::Inconclusive),
    ] {
        plan.gate.limits.insert(name.to_owned(), limit(below));
        assert_eq!(held(&plan, name), Some(outcome), "{name} < {below}");
    }
}

#[test]
fn a_shard_that_does_not_come_back_is_late_and_over_every_limit() {
    let two = [node(0, 0), node(0, 1)];
    let judgement = run(fault("f1-pause", "pause", &two, 5.0, 10.0, 10_000.0));
    let kind = &judgement.kinds[0];
    assert_eq!(
        (kind.late, kind.never_back, kind.never_caught_up),
        (1, 1, 1)
    );
    assert!(
        judgement
            .findings
            .iter()
            .any(|finding| finding.kind == "no-recovery")
    );
    let mut plan = shape().plan();
    for name in ["recovery.p99", "recovery.pause.max", "catch-up.p50"] {
        let limit = Limit {
            text: "< 1h".to_owned(),
            below: true,
            value: 3_600_000.0,
        };
        plan.gate.limits.insert(name.to_owned(), limit);
    }
    let verdict = decide(&plan, &judgement);
    let limits = verdict
        .gates
        .iter()
        .filter(|gate| gate.gate.starts_with("limit "));
    for gate in limits {
        assert_eq!(gate.outcome, Outcome::Fail, "{gate:?}");
        assert!(gate.measured.starts_with("never (1 of"), "{gate:?}");
    }
}

#[test]
fn time_counts_from_when_blocks_are_owed() {
    // The first is healed while the second still takes the quorum away.
    let mut incidents = fault("f1-pause", "pause", &[node(0, 0)], 5.0, 10.0, 10.0);
    incidents.extend(fault(
        "f2-stop",
        "stop",
        &[node(0, 1), node(0, 2)],
        6.0,
        18.0,
        18.0,
    ));
    let judgement = run(incidents);
    for kind in &judgement.kinds {
        assert_eq!(kind.late, 0, "{kind:?}");
        assert!(
            kind.first_block.longest < Duration::from_secs(2),
            "{kind:?}"
        );
    }
}

#[test]
fn what_had_no_effect_recovers_from_nothing() {
    let mut incidents = fault("f1-kill", "kill", &[node(0, 1)], 5.0, 10.0, 5.0);
    incidents.retain(|incident| match &incident.what {
        What::Fact(event) => !matches!(
            **event,
            Event::Fault {
                step: FaultStep::Effective { .. },
                ..
            }
        ),
        _ => false,
    });
    let why = "nothing was seen".to_owned();
    incidents.push(step(5.1, "f1-kill", "kill", FaultStep::ineffective(why)));
    let judgement = run(incidents);
    let kind = &judgement.kinds[0];
    assert_eq!((kind.fired, kind.effective), (1, 0));
    assert_eq!(kind.first_block.count, 0);
}

#[test]
fn faults_that_follow_each_other_excuse_together_what_lasts_through_both() {
    // The node comes back from neither of them before the second one's end.
    let silent = |second: bool| {
        let one = [node(0, 1)];
        let mut incidents = fault("f1-pause", "pause", &one, 10.0, 20.0, 50.0);
        if second {
            incidents.extend(fault("f2-pause", "pause", &one, 22.0, 49.5, 50.0));
        }
        let found = run(incidents).findings.into_iter();
        found
            .filter(|finding| finding.kind == "hung")
            .map(|finding| (finding.noticed, finding.end, finding.excused_by))
            .collect::<Vec<_>>()
    };
    let together = silent(true);
    let [(noticed, end, excuse)] = together.as_slice() else {
        panic!("{together:?}");
    };
    assert!(*noticed < soak(20.0) && end.is_none_or(|end| end > soak(45.0)));
    assert_eq!(excuse.as_deref(), Some("f2-pause"));
    let alone = silent(false);
    assert!(
        alone.iter().all(|(.., excuse)| excuse.is_none()),
        "{alone:?}"
    );
}

/// A fault that takes fourteen seconds to be begun on all of its nodes, of which the first one froze at once.
#[test]
fn what_a_fault_does_while_it_is_being_begun_stops_nobody_and_is_excused_in_the_end() {
    let two = [node(0, 0), node(0, 1)];
    let mut incidents = fault("f1-pause", "pause", &two, 10.0, 40.0, 40.0);
    for incident in &mut incidents[1..3] {
        incident.at = soak(24.0);
    }
    // Back before the fault was acknowledged: what this made is over by then.
    incidents.push(at(18.0, What::Unhang(node(0, 0))));
    incidents.push(at(18.0, What::Unhang(node(0, 1))));
    incidents.sort_by_key(|incident| incident.at);
    let over = |incidents: &[Incident], until: f64| {
        let mut judge = Judge::new(&shape().plan());
        let entries = Generator::new(&shape(), 7, incidents.to_vec());
        let (mut over, mut undecided) = (0, 0);
        for entry in entries.take_while(|entry| entry.elapsed < soak(until)) {
            judge.step(&entry);
            over += usize::from(judge.over_gate().is_some());
            undecided = undecided.max(
                judge
                    .findings()
                    .iter()
                    .filter(|finding| judge.is_undecided(finding))
                    .count(),
            );
        }
        let excused =
            |finding: &Finding| finding.excused_by.is_some() || finding.severity < Severity::Major;
        (
            over,
            undecided > 0,
            judge.findings().iter().all(excused),
            judge.findings().len(),
        )
    };
    let (stops, undecided, excused, found) = over(&incidents, 30.0);
    assert!(undecided && found > 0);
    assert_eq!((stops, excused), (0, true));
    // One that turns out to have had no effect excused nothing, and holds nothing back any more.
    let mut without = incidents.clone();
    without.retain(|incident| incident.at != soak(24.0));
    let why = FaultStep::ineffective("it failed".to_owned());
    without.push(step(24.0, "f1-pause", "pause", why));
    let (stops, undecided, excused, _) = over(&without, 30.0);
    assert!(stops > 0 && undecided && !excused);
    // Nor does one of which nobody heard again.
    let mut plain = incidents;
    plain.retain(|incident| !matches!(incident.what, What::Fact(_)));
    let (stops, undecided, ..) = over(&plain, 20.0);
    assert!(stops > 0 && !undecided);
}

#[test]
fn a_node_that_ends_over_a_full_disk_is_excused_where_its_makers_want_it_so() {
    let mut incidents = fault("f1-fill", "disk-fill", &[], 10.0, 20.0, 20.0);
    incidents[0] = step(
        10.0,
        "f1-fill",
        "disk-fill",
        FaultStep::Requested {
            targets: vec![node(0, 1)],
            takes: vec![node(0, 1)],
            effects: vec![Effect::DiskFull],
            lasts: Duration::from_secs(10),
        },
    );
    incidents.push(at(12.0, What::Exit(node(0, 1), 1)));
    incidents.push(at(20.5, What::Start(node(0, 1))));
    // Long after the fault: the node's own doing, whatever its makers want.
    incidents.push(at(50.0, What::Exit(node(0, 2), 1)));
    let crashes = |ends_on: &[EndsOn]| -> Vec<(String, Option<String>)> {
        let mut plan = shape().plan();
        plan.network.foreign.ends_on = ends_on.to_vec();
        let run = Generator::new(&shape(), 7, incidents.clone());
        let judgement = judge_with(&plan, run);
        let crashes = judgement.findings.into_iter();
        let crashes = crashes.filter(|finding| finding.kind == "crash");
        crashes
            .map(|finding| (finding.nodes[0].to_string(), finding.excused_by))
            .collect()
    };
    let excused = |by: Option<&str>| {
        vec![
            ("s0-n01".to_owned(), by.map(str::to_owned)),
            ("s0-n02".to_owned(), None),
        ]
    };
    assert_eq!(crashes(&[EndsOn::DiskFull]), excused(Some("f1-fill")));
    assert_eq!(crashes(&[EndsOn::DiskError]), excused(None));
    assert_eq!(crashes(&[]), excused(None));
}
