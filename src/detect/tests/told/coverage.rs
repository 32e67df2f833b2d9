//! Epochs, leaders and what was judged.

use super::*;

#[test]
fn epochs_that_begin_late_three_times_in_a_row_are_slow_blocks() {
    let begin = |extra: &[u64]| {
        let mut chain = Chain::new();
        for extra in extra {
            let rest = 99 - chain.height % 100;
            chain.blocks(rest);
            chain.millis += extra;
            chain.blocks(2);
        }
        chain
    };
    let late = |chain: &Chain| {
        let findings = chain.findings();
        findings
            .iter()
            .filter(|finding| finding.kind == "slow-blocks")
            .count()
    };
    // The budget is 1,012 ms, a block of it 200.
    assert_eq!(late(&begin(&[800, 800, 800, 800])), 0);
    assert_eq!(late(&begin(&[900, 900, 0, 900, 900])), 0);
    let chain = begin(&[900, 900, 900]);
    assert_eq!(late(&chain), 1);
    let judgement = chain.judgement();
    assert_eq!(judgement.shards[0].traffic.boundaries.count, 3);
    assert!(judgement.measures["epoch-boundary.p50"].value > 1_000.0);
}

#[test]
fn leaders_and_rewards_are_counted() {
    let mut chain = Chain::new();
    chain.blocks(50);
    chain.leader = ["s0-n01"; 2];
    chain.view_changes = 1;
    chain.signed = "0d";
    chain.blocks(30);
    chain.leader = ["s0-n02"; 2];
    chain.signed = "0f";
    chain.blocks(20);
    let judgement = chain.judgement();
    let part = |index: usize| judgement.nodes[index].participation;
    assert_eq!(
        (part(0).led, part(0).turns, part(0).missed_turns),
        (50, 1, 1)
    );
    assert_eq!(
        (part(1).led, part(1).turns, part(1).missed_turns),
        (30, 1, 0)
    );
    assert_eq!((part(1).signed, part(1).longest_unsigned), ((70, 100), 30));
    assert_eq!(part(1).share(), Some(0.7));
    assert_eq!(part(3).led, 0);
    assert_eq!(judgement.measures["rewards.least"].value, 0.7);
    assert_eq!(judgement.shards[0].traffic.transactions, 500);
}

#[test]
fn a_blind_source_leaves_the_coverage_of_its_detectors_only() {
    let mut chain = Chain::new();
    chain.blocks(50);
    chain.add(Event::ProbeFailed {
        node: node(0, 1),
        probe: crate::journal::event::ProbeKind::Log,
        error: crate::journal::event::ProbeError::Ended,
        failures: 1,
    });
    chain.blocks(50);
    let judgement = chain.judgement();
    let judged = |id: &str| {
        let view = judgement.detectors.iter().find(|view| view.id == id);
        view.unwrap().judged
    };
    assert_eq!(judged("stall"), 1.0);
    assert_eq!(judged("ghost-bytes"), 1.0);
    assert!(
        (0.4..0.6).contains(&judged("disk-error")),
        "{}",
        judged("disk-error")
    );
    assert!((0.4..0.6).contains(&judged("disk-full")), "needs both");
}

#[test]
fn leaders_that_a_fault_ends_are_counted() {
    let mut chain = Chain::new();
    chain.blocks(20);
    chain.fault(0, Effect::Down, FaultStep::Acknowledged);
    chain.fault(1, Effect::Down, FaultStep::Acknowledged);
    chain.fault(0, Effect::CpuStarved, FaultStep::Acknowledged);
    assert_eq!(chain.judgement().coverage.leader_kills, 1);
}
