//! What load is told of.

use super::*;

fn waits(chain: &mut Chain, seconds: f64) {
    chain.figures(1, |figures| figures.oldest = Some((seconds * 1e6) as u64));
}

#[test]
fn a_transaction_that_no_block_takes_is_found_after_the_window() {
    // 16.2 s.
    let mut chain = Chain::new();
    chain.blocks(100);
    waits(&mut chain, 16.1);
    chain.is_quiet();
    chain.blocks(2);
    waits(&mut chain, 16.5);
    let finding = chain.finds("tx-not-included", Severity::Major);
    assert_eq!(finding.nodes, [node(0, 1)]);
    chain.blocks(2);
    waits(&mut chain, 0.3);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn a_stall_is_no_transaction_that_is_not_included() {
    let mut chain = Chain::new();
    chain.blocks(100);
    chain.millis += 60_000;
    chain.blocks(20);
    waits(&mut chain, 64.0);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "tx-not-included")
    );
}

#[test]
fn a_fault_in_the_shard_excuses_transactions_that_wait() {
    let mut chain = Chain::new();
    chain.blocks(100);
    chain.fault(1, Effect::CutOff, FaultStep::Acknowledged);
    chain.blocks(2);
    waits(&mut chain, 17.0);
    assert_eq!(
        chain.kinds(),
        [("tx-not-included".to_owned(), Severity::Major, true)]
    );
}

fn ready(chain: &mut Chain, count: u64) {
    for index in 0..4 {
        chain.figures(index, |figures| figures.ready = Some(count));
    }
}

#[test]
fn empty_blocks_while_transactions_wait_are_found() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.transactions = 0;
    chain.blocks(1);
    ready(&mut chain, 7);
    chain.blocks(19);
    ready(&mut chain, 7);
    chain.is_quiet();
    chain.blocks(1);
    ready(&mut chain, 8);
    let finding = chain.finds("empty-blocks", Severity::Major);
    assert_eq!(finding.heights, Some((Height(11), Height(31))));
    chain.transactions = 3;
    chain.blocks(1);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn empty_blocks_without_load_or_with_a_falling_pool_are_nothing() {
    let mut idle = Chain::new();
    idle.transactions = 0;
    for _ in 0..10 {
        idle.blocks(25);
        ready(&mut idle, 0);
    }
    idle.is_quiet();
    let mut falling = Chain::new();
    falling.transactions = 0;
    for round in 0..10 {
        falling.blocks(25);
        ready(&mut falling, 100 - round);
    }
    falling.is_quiet();
    let mut alone = Chain::new();
    alone.transactions = 0;
    for _ in 0..10 {
        alone.blocks(25);
        for index in 0..4 {
            alone.figures(index, |figures| figures.ready = Some(u64::from(index == 0)));
        }
    }
    alone.is_quiet();
}

#[test]
fn a_generator_that_is_late_is_the_canarys_and_excused_by_a_fault_on_its_node() {
    let told = |chain: &mut Chain, made: u64, missed: u64| {
        chain.figures(2, |figures| {
            figures.made = Some(made);
            figures.held_back = Some(0);
            figures.missed = Some(missed);
        });
    };
    let late = |faulted: bool| {
        let mut chain = Chain::new();
        chain.blocks(5);
        if faulted {
            chain.fault(2, Effect::CpuStarved, FaultStep::Acknowledged);
        }
        told(&mut chain, 100, 0);
        chain.blocks(25);
        told(&mut chain, 190, 10);
        assert_eq!(chain.kinds(), [], "a tenth is allowed");
        chain.blocks(25);
        told(&mut chain, 240, 60);
        chain
    };
    let chain = late(false);
    let finding = chain.finds("canary-overloaded", Severity::Info);
    assert_eq!(finding.nodes, [node(0, 2)]);
    let judgement = chain.judgement();
    let share = judgement.coverage.load_share.unwrap();
    assert!((share - 240.0 / 300.0).abs() < 1e-9, "{share}");
    let excused = late(true);
    assert_eq!(
        excused.kinds(),
        [("canary-overloaded".to_owned(), Severity::Info, true)]
    );
    assert_eq!(excused.judgement().coverage.load_share, Some(1.0));
}

#[test]
fn load_that_is_not_offered_is_infra_and_inclusion_is_a_limit() {
    let mut chain = Chain::new();
    chain.blocks(5);
    for (made, missed) in [(0, 0), (800, 200)] {
        chain.figures(2, |figures| {
            figures.made = Some(made);
            figures.held_back = Some(0);
            figures.missed = Some(missed);
            figures.inclusion = vec![(250_000, made), (900_000, made / 10)];
        });
        chain.blocks(5);
    }
    let judgement = chain.judgement();
    assert_eq!(judgement.measures["tx-inclusion.p50"].value, 250.0);
    assert_eq!(judgement.measures["tx-inclusion.p95"].value, 900.0);
    let mut plan = shape().plan();
    let outcome = |plan: &crate::plan::Plan| {
        let verdict = crate::verdict::decide(plan, &judgement);
        let gate = verdict
            .gates
            .iter()
            .find(|gate| gate.gate == "load offered");
        gate.map(|gate| gate.outcome)
    };
    assert_eq!(outcome(&plan), None, "not asked for");
    plan.gate.coverage.exercised.load_share = 0.9;
    assert_eq!(outcome(&plan), Some(crate::verdict::Outcome::Infra));
    plan.gate.coverage.exercised.load_share = 0.8;
    assert_eq!(outcome(&plan), Some(crate::verdict::Outcome::Pass));
}
