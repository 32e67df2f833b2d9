//! What the order of arrival must not decide: observations of different nodes within one tick may come in any order,
//! and the verdict is the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use canarynet::{
    detect::{Judge, Severity},
    ids::{NodeName, Seq, ShardId},
    journal::{
        Entry, Event,
        effect::Effect,
        event::FaultStep,
        generate::{Generator, Incident, Shape, What},
    },
    time::Elapsed,
    verdict::{Outcome, decide},
};
use proptest::prelude::*;

/// Observations that arrive within this time are of one tick: half the time between two looks of the judge's timers.
const TICK_MICROS: u64 = 50_000;

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

/// The nodes that an entry observes; `None` if it is about something else, whose place is fixed.
fn observed(event: &Event) -> Option<Vec<&NodeName>> {
    match event {
        Event::Block { node, .. }
        | Event::Head { node, .. }
        | Event::Container { node, .. }
        | Event::ProbeAnswered { node, .. }
        | Event::ProbeFailed { node, .. }
        | Event::Log { node, .. }
        | Event::LogCount { node, .. } => Some(vec![node]),
        Event::Sample(sample) => sample.node.as_ref().map(|node| vec![node]),
        Event::Heads { nodes, .. } => Some(nodes.iter().map(|head| &head.node).collect()),
        _ => None,
    }
}

fn may_change_places(one: &Event, other: &Event) -> bool {
    match (observed(one), observed(other)) {
        (Some(one), Some(other)) => !one.iter().any(|node| other.contains(node)),
        _ => false,
    }
}

/// All that arrives within a tick is given the tick's time.
fn in_ticks(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    entries
        .map(|entry| Entry {
            elapsed: Elapsed(entry.elapsed.0 / TICK_MICROS * TICK_MICROS),
            ..entry
        })
        .collect()
}

/// Neighbours of one tick that observe different nodes change places, again and again, as the bits say.
fn shuffled(entries: &[Entry], mut bits: u64) -> Vec<Entry> {
    let mut shuffled = entries.to_vec();
    for _ in 0..8 {
        for place in 1..shuffled.len() {
            // A step of a linear congruential generator (Knuth's): its high bits are good enough for coins.
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (before, after) = (&shuffled[place - 1], &shuffled[place]);
            if bits >> 63 == 1
                && before.elapsed == after.elapsed
                && may_change_places(&before.event, &after.event)
            {
                shuffled.swap(place - 1, place);
            }
        }
    }
    for (place, entry) in shuffled.iter_mut().enumerate() {
        entry.seq = Seq(place as u64);
    }
    shuffled
}

type Told = (String, Severity, Option<ShardId>, Vec<NodeName>, bool, bool);

/// Outcome, and of each finding what a gate, a waiver or a person goes by.
fn verdict(entries: &[Entry]) -> (Outcome, Vec<Told>) {
    let plan = shape().plan();
    let mut judge = Judge::new(&plan);
    for entry in entries {
        judge.step(entry);
    }
    let judgement = judge.finish();
    let outcome = decide(&plan, &judgement).outcome;
    let mut told: Vec<Told> = judgement
        .findings
        .into_iter()
        .map(|finding| {
            let mut nodes = finding.nodes;
            nodes.sort();
            (
                finding.kind,
                finding.severity,
                finding.shard,
                nodes,
                finding.end.is_some(),
                finding.excused_by.is_some(),
            )
        })
        .collect();
    told.sort();
    (outcome, told)
}

fn incidents(script: &[(u64, u64, u32, u8)]) -> Vec<Incident> {
    let start = Generator::soak_start(&shape());
    script
        .iter()
        .map(|&(millis, shard, index, what)| {
            let node = node(shard, index);
            let what = match what {
                0 => What::Kill(node),
                1 => What::Exit(node, 1),
                2 => What::DiskFull(node),
                3 => What::DiskRecovered(node),
                4 => What::Hang(node),
                5 => What::Unhang(node),
                6 => What::OutOfMemory(node),
                7 => What::Start(node),
                8 => What::GoBack(node, 3),
                9 => What::StickSyncing(node),
                _ => What::Fork(node),
            };
            Incident {
                at: start + Duration::from_millis(millis),
                what,
            }
        })
        .collect()
}

/// A fault that takes a node from this second on, for five seconds.
fn fault(second: u64, node: &NodeName) -> Vec<Incident> {
    let start = Generator::soak_start(&shape());
    let step = |millis: u64, step: FaultStep| Incident {
        at: start + Duration::from_millis(second * 1_000 + millis),
        what: What::Fact(Box::new(Event::Fault {
            id: format!("kill-{second}").into(),
            kind: "kill".into(),
            step,
        })),
    };
    let requested = FaultStep::Requested {
        targets: vec![node.clone()],
        takes: vec![node.clone()],
        effects: vec![Effect::Down],
        lasts: Duration::from_secs(5),
    };
    vec![
        step(0, requested),
        step(10, FaultStep::Acknowledged),
        step(5_000, FaultStep::Healed),
    ]
}

#[test]
fn there_is_something_to_shuffle() {
    let entries = in_ticks(Generator::new(&shape(), 1, Vec::new()));
    let moved = shuffled(&entries, 1);
    let differ = entries
        .iter()
        .zip(&moved)
        .filter(|(a, b)| a.event != b.event)
        .count();
    assert!(differ > entries.len() / 4, "{differ} of {}", entries.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_order_within_a_tick_never_changes_the_verdict(
        seed in any::<u64>(),
        script in proptest::collection::vec((0_u64..35_000, 0_u64..2, 0_u32..4, 0_u8..11), 0..6),
        faulty in proptest::option::of((1_u64..30, 0_u64..2, 0_u32..4)),
        bits in any::<u64>(),
    ) {
        let mut incidents = incidents(&script);
        if let Some((second, shard, index)) = faulty {
            incidents.extend(fault(second, &node(shard, index)));
        }
        let entries = in_ticks(Generator::new(&shape(), seed, incidents));
        prop_assert_eq!(verdict(&entries), verdict(&shuffled(&entries, bits)));
    }
}
