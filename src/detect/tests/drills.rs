//! The canary's test of itself: found, set apart, in no statistic; and what is real beside it counts.

use std::time::Duration;

use super::{at, judge, node, one, shape};
use crate::{
    detect::{Judgement, Severity},
    ids::ShardId,
    journal::{
        Event,
        event::ContainerChange,
        generate::{Generator, Incident, What},
    },
    plan::faults::PlannedDrill,
    verdict::{Outcome, decide},
};

fn fact(seconds: f64, event: Event) -> Incident {
    at(seconds, What::Fact(Box::new(event)))
}

fn drill_event(begins: bool) -> Event {
    Event::Drill {
        shard: ShardId(1),
        nodes: (0..4).map(|index| node(1, index)).collect(),
        begins,
    }
}

/// The canary pauses a shard at this second, for so long.
fn drill(begins: f64, lasts: f64) -> Vec<Incident> {
    let mut incidents = vec![fact(begins, drill_event(true))];
    for index in 0..4 {
        for (when, change, what) in [
            (begins, ContainerChange::Paused, What::Hang(node(1, index))),
            (
                begins + lasts,
                ContainerChange::Unpaused,
                What::Unhang(node(1, index)),
            ),
        ] {
            let container = Event::Container {
                node: node(1, index),
                change,
                requested: true,
            };
            incidents.push(fact(when, container));
            incidents.push(at(when, what));
        }
    }
    incidents.push(fact(begins + lasts, drill_event(false)));
    incidents
}

fn run(incidents: Vec<Incident>) -> Judgement {
    judge(Generator::new(&shape(), 7, incidents))
}

fn verdict(judgement: &Judgement) -> (Outcome, Vec<String>) {
    let mut plan = shape().plan();
    plan.drill = Some(PlannedDrill {
        at: Duration::from_secs(20),
        lasts: Duration::from_secs(8),
        shard: ShardId(1),
    });
    let verdict = decide(&plan, judgement);
    let reasons = verdict.reasons.into_iter().map(|reason| reason.text);
    (verdict.outcome, reasons.collect())
}

#[test]
fn a_drill_is_found_and_changes_no_figure() {
    let with = run(drill(20.0, 8.0));
    let found = with.drills[0].found.expect("it is found");
    assert!(found > with.drills[0].begins);
    let stall = one(&with.findings, "stall");
    assert_eq!(stall.severity, Severity::Critical);
    assert_eq!(stall.excused_by.as_deref(), Some("drill on shard 1"));
    let (outcome, reasons) = verdict(&with);
    assert_eq!(outcome, Outcome::Pass, "{reasons:?}");
    // Nothing that limits are set on knows of it.
    let without = run(Vec::new());
    for shard in [0, 1] {
        let (with, without) = (&with.shards[shard], &without.shards[shard]);
        assert_eq!(with.recovery, without.recovery);
        assert_eq!(with.view_changes, without.view_changes);
        assert_eq!(with.whole.p99, without.whole.p99);
        assert_eq!(with.whole.longest, without.whole.longest);
        assert_eq!(with.signers_share, without.signers_share);
    }
    for (name, measure) in &without.measures {
        if name.starts_with("block-interval") || name.starts_with("recovery") || name == "blind" {
            // Of other blocks, whose intervals vary a little: a stall of seconds would show.
            let off = (with.measures[name].value - measure.value).abs();
            assert!(off <= measure.value * 0.001, "{name}: {off}");
        }
    }
    assert!(!with.measures.contains_key("recovery.p99"));
}

#[test]
fn a_drill_that_nobody_found_or_that_never_came_is_infra() {
    // The nodes were not paused: nothing was there to be found.
    let hidden = run(vec![
        fact(20.0, drill_event(true)),
        fact(28.0, drill_event(false)),
    ]);
    assert_eq!(hidden.drills[0].found, None);
    let (outcome, reasons) = verdict(&hidden);
    assert_eq!(outcome, Outcome::Infra);
    assert!(reasons[0].contains("did not report its own fake stall"));
    let (outcome, reasons) = verdict(&run(Vec::new()));
    assert_eq!(outcome, Outcome::Infra);
    assert!(reasons[0].contains("never made"), "{reasons:?}");
}

#[test]
fn a_real_stall_that_overlaps_a_drill_still_counts() {
    // It began before: nothing of it is of the drill's making, and it proves nothing of the canary.
    let mut before = vec![
        at(18.0, What::Hang(node(1, 0))),
        at(18.0, What::Hang(node(1, 1))),
    ];
    before.extend(drill(20.0, 8.0));
    let judgement = run(before);
    let stall = one(&judgement.findings, "stall");
    assert_eq!(stall.excused_by, None, "{stall:?}");
    assert_eq!(verdict(&judgement).0, Outcome::Fail);

    // It outlives the drill and the time to come back from it.
    let mut after = drill(20.0, 8.0);
    for index in [0, 1] {
        after.push(at(28.1, What::Hang(node(1, index))));
    }
    let judgement = run(after);
    let stall = one(&judgement.findings, "stall");
    assert_eq!(stall.end, None);
    assert_eq!(stall.excused_by, None, "{stall:?}");
    assert_eq!(verdict(&judgement).0, Outcome::Fail);

    // In another shard.
    let mut elsewhere = drill(20.0, 8.0);
    for index in [0, 1] {
        elsewhere.push(at(21.0, What::Hang(node(0, index))));
        elsewhere.push(at(30.0, What::Unhang(node(0, index))));
    }
    let judgement = run(elsewhere);
    let of = |shard| {
        let mut stalls = judgement.findings.iter();
        stalls.find(|finding| finding.kind == "stall" && finding.shard == Some(ShardId(shard)))
    };
    assert!(of(0).is_some_and(|stall| stall.excused_by.is_none()));
    assert!(of(1).is_some_and(|stall| stall.excused_by.is_some()));
    assert_eq!(verdict(&judgement).0, Outcome::Fail);
}
