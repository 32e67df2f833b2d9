//! Receipts between shards.

use super::*;

fn crossing(chain: &mut Chain, sent: u64, received: u64) {
    chain.ledger(1, 0, |ledger| {
        ledger.sent = vec![(ShardId(0), sent, sent * 9)]
    });
    chain.ledger(0, 0, |ledger| {
        ledger.received = vec![(ShardId(1), received, received * 9)]
    });
}

/// Receipts that wait at shard 0 for so many blocks.
fn stuck(blocks: u64) -> Chain {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 5, 5);
    for _ in 0..blocks / 10 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    chain
}

#[test]
fn receipts_that_do_not_move_are_found_after_the_window_and_not_before() {
    // 16.2 s are 81 blocks.
    stuck(80).is_quiet();
    let mut chain = stuck(100);
    let finding = chain.finds("cross-shard-stall", Severity::Critical);
    assert_eq!(finding.shard, Some(ShardId(0)));
    assert!(
        finding
            .summary
            .starts_with("3 batches of receipts of shard 1"),
        "{}",
        finding.summary
    );
    chain.blocks(5);
    crossing(&mut chain, 9, 9);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn receipts_that_move_slowly_are_no_stall() {
    let mut chain = Chain::of(2);
    for round in 0..20 {
        chain.blocks(20);
        crossing(&mut chain, 10 + round, 5 + round);
    }
    chain.is_quiet();
}

#[test]
fn a_shard_that_stands_is_no_stall_between_shards() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 8, 5);
    // Nothing comes from either shard for a long time.
    chain.millis += 60_000;
    crossing(&mut chain, 8, 5);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "cross-shard-stall")
    );
}

#[test]
fn a_link_that_stays_behind_is_a_stall_between_shards() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    for _ in 0..25 {
        chain.blocks(10);
        chain.ledger(0, 1, |ledger| ledger.links = vec![(ShardId(1), Height(7))]);
    }
    let finding = chain.finds("cross-shard-stall", Severity::Critical);
    assert!(
        finding.summary.contains("takes no note"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_fault_excuses_what_does_not_cross_and_only_as_long_as_it_lasts() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 5, 5);
    chain.fault(1, Effect::CutOff, FaultStep::Acknowledged);
    for _ in 0..10 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    assert_eq!(
        chain.kinds(),
        [("cross-shard-stall".to_owned(), Severity::Critical, true)]
    );
    chain.fault(1, Effect::CutOff, FaultStep::Healed);
    for _ in 0..20 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    assert_eq!(
        chain.kinds(),
        [("cross-shard-stall".to_owned(), Severity::Critical, false)]
    );
}
