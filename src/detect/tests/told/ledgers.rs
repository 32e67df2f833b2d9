//! What nodes hold: states, transactions, value.

use super::*;

#[test]
fn a_node_that_holds_another_state_is_found_by_its_own_block_and_by_the_others() {
    let mut own = Chain::new();
    own.blocks(10);
    own.ledger(0, 1, |ledger| {
        ledger.state = Some("aa".into());
        ledger.block_state = Some("bb".into());
    });
    let finding = own.finds("state-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("its own block 10"),
        "{}",
        finding.summary
    );
    let mut others = Chain::new();
    others.blocks(10);
    for (index, state) in [(0, "aa"), (1, "aa"), (2, "cc")] {
        others.ledger(0, index, |ledger| ledger.state = Some(state.into()));
    }
    let finding = others.finds("state-mismatch", Severity::Critical);
    assert_eq!(finding.nodes, [node(0, 2), node(0, 0)]);
    others.blocks(1);
    others.ledger(0, 2, |ledger| ledger.state = Some("dd".into()));
    assert!(
        others.findings()[0].end.is_some(),
        "another height, and nobody contradicts"
    );
}

#[test]
fn states_of_different_heights_may_differ_and_no_fault_excuses_a_mismatch() {
    let mut chain = Chain::new();
    for height in 0..100_u64 {
        chain.blocks(1);
        let state = format!("{height:04x}");
        for index in 0..2 {
            chain.ledger(0, index, |ledger| {
                ledger.state = Some(state.as_str().into());
                ledger.block_state = Some(state.as_str().into());
            });
        }
    }
    chain.is_quiet();
    chain.fault(3, Effect::LostWrites, FaultStep::Acknowledged);
    chain.ledger(0, 3, |ledger| ledger.state = Some("ffff".into()));
    chain.finds("state-mismatch", Severity::Critical);
}

#[test]
fn transactions_that_are_gone_are_found_and_those_still_to_come_are_not() {
    let executed = |chain: &mut Chain, index, transfers| {
        chain.ledger(0, index, |ledger| ledger.transfers = Some(transfers));
    };
    let mut chain = Chain::new();
    chain.blocks(10);
    executed(&mut chain, 0, 500);
    // A node that is behind has executed fewer.
    chain.ledger(0, 1, |ledger| {
        ledger.height = Some(Height(9));
        ledger.transfers = Some(450);
    });
    chain.is_quiet();
    chain.blocks(5);
    executed(&mut chain, 2, 499);
    let finding = chain.finds("tx-lost", Severity::Critical);
    assert_eq!(finding.heights, Some((Height(10), Height(15))));
    chain.blocks(5);
    executed(&mut chain, 2, 500);
    assert!(chain.findings()[0].end.is_some());
}

fn sums(chain: &mut Chain, shard: u64, balance: u64, rewards: u64, sent: u64, received: u64) {
    let other = ShardId(1 - shard);
    chain.ledger(shard, 0, |ledger| {
        ledger.balance = Some(balance);
        ledger.rewards = Some(rewards);
        ledger.sent = vec![(other, sent, sent * 10)];
        ledger.received = vec![(other, received, received * 10)];
    });
}

#[test]
fn value_is_conserved_through_rewards_and_receipts_in_flight() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    sums(&mut chain, 0, 1_000, 0, 0, 0);
    sums(&mut chain, 1, 2_000, 0, 0, 0);
    chain.blocks(5);
    // Shard 0 paid 7 and sent 30; shard 1 has received 20 of them.
    sums(&mut chain, 0, 977, 7, 3, 0);
    sums(&mut chain, 1, 2_020, 0, 0, 2);
    chain.is_quiet();
    chain.blocks(5);
    sums(&mut chain, 1, 2_031, 0, 0, 3);
    let finding = chain.finds("value-not-conserved", Severity::Critical);
    assert!(
        finding.summary.starts_with("1 too much"),
        "{}",
        finding.summary
    );
    assert_eq!(finding.shard, Some(ShardId(1)));
}

#[test]
fn receipts_are_worth_the_same_on_both_sides() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    chain.ledger(0, 0, |ledger| ledger.sent = vec![(ShardId(1), 3, 30)]);
    chain.ledger(0, 0, |ledger| ledger.sent = vec![(ShardId(1), 4, 45)]);
    chain.ledger(1, 0, |ledger| ledger.received = vec![(ShardId(0), 3, 30)]);
    chain.is_quiet();
    chain.ledger(1, 1, |ledger| ledger.received = vec![(ShardId(0), 4, 44)]);
    let finding = chain.finds("value-not-conserved", Severity::Critical);
    assert!(
        finding.summary.contains("worth 45 when sent and 44"),
        "{}",
        finding.summary
    );
}
