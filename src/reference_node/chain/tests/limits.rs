//! The bounds: of a block, and of what waits for a silent shard.

use super::harness::{ALL, Net};
use crate::reference_node::chain::{
    Check, MAX_OUTBOX_BATCHES, MAX_OUTBOX_RECEIPTS, Payload, TransactionError,
};
use crate::reference_node::types::{Block, ShardId, Signature};
use std::time::{Duration, Instant};

#[test]
fn a_leader_never_exceeds_the_bounds_of_a_block() {
    let mut net = Net::new(2);
    for _ in 0..10 {
        let transactions = (0..400)
            .map(|ahead| net.transfer(1, 0, ahead, 0, 1))
            .collect();
        net.advance(
            1,
            &Payload {
                transactions,
                ..Payload::default()
            },
            &ALL,
        );
    }
    // The eleventh block may add no more receipts than the outbox has room for.
    let transactions = (0..400)
        .map(|ahead| net.transfer(1, 0, ahead, 0, 1))
        .collect();
    let built = net.build(
        1,
        &Payload {
            transactions,
            ..Payload::default()
        },
    );
    assert_eq!(built.block.transactions.len(), MAX_OUTBOX_RECEIPTS - 4_000);
    assert_eq!(
        built.rejected[0].1,
        TransactionError::OutboxFull(ShardId(0))
    );
    let payload = Payload {
        transactions: (0..600)
            .map(|ahead| net.transfer(0, 0, ahead, 1, 1))
            .collect(),
        incoming: net.shards[1].state.outbox(ShardId(0)).collect(),
        crosslinks: vec![net.shards[1].crosslink().unwrap()],
    };
    assert!(payload.incoming.len() > Block::MAX_INCOMING);
    let built = net.build(0, &payload);
    let size = built.block.size();
    assert!(size <= Block::MAX_BYTES, "{size} bytes");
    assert!(
        built.block.incoming.len() > 2,
        "{} batches",
        built.block.incoming.len()
    );
    assert!(net.check(0, &built.block, Check::Final).is_ok());
}

#[test]
fn a_silent_shard_fills_its_outbox_and_no_more() {
    let mut net = Net::new(2);
    for _ in 0..MAX_OUTBOX_BATCHES {
        let payload = Payload {
            transactions: vec![net.transfer(1, 0, 0, 0, 1)],
            ..Payload::default()
        };
        net.advance(1, &payload, &ALL);
    }
    let payload = Payload {
        transactions: vec![net.transfer(1, 0, 0, 0, 1)],
        ..Payload::default()
    };
    let built = net.build(1, &payload);
    assert_eq!(
        built.rejected[0].1,
        TransactionError::OutboxFull(ShardId(0))
    );
    assert!(built.rejected[0].1.may_pass_later());
    // Each batch that the destination takes makes room for another.
    net.advance(
        0,
        &Payload {
            incoming: net.shards[1].state.outbox(ShardId(0)).collect(),
            ..Payload::default()
        },
        &ALL,
    );
    let crosslinks = vec![net.shards[0].crosslink().unwrap()];
    net.advance(
        1,
        &Payload {
            crosslinks,
            ..payload
        },
        &ALL,
    );
    assert_eq!(
        net.shards[1].state.sent()[0].next_sequence,
        MAX_OUTBOX_BATCHES as u64 + 1
    );
}

#[test]
fn bad_offers_cannot_spoil_a_leaders_block() {
    let mut net = Net::new(2);
    let payload = Payload {
        transactions: vec![net.transfer(1, 0, 0, 0, 9)],
        ..Payload::default()
    };
    let good = net.advance(1, &payload, &ALL).remove(0);
    let mut forged = good.clone();
    forged.receipts[0].amount = 1_000_000;
    let mut unsigned = good.clone();
    unsigned.certificate.signature = Signature::ZERO;
    let mut link = net.shards[1].crosslink().unwrap();
    link.certificate.signature = Signature::ZERO;
    let mut transaction = net.transfer(0, 0, 0, 0, 5);
    transaction.amount = 6;
    let payload = Payload {
        transactions: vec![transaction, net.transfer(0, 1, 0, 0, 5)],
        incoming: vec![forged, unsigned, good],
        crosslinks: vec![link, net.shards[1].crosslink().unwrap()],
    };
    net.advance(0, &payload, &ALL);
    let block = &net.shards[0];
    assert_eq!(block.state.expected_from(ShardId(1)), 1);
    assert_eq!(block.state.links().count(), 1);
    assert_eq!(net.faucet(0, 1).nonce, 1);
    assert_eq!(net.faucet(0, 0).nonce, 0);
    assert_ne!(net.hash(0), net.hash(1));
    let (found, expected) = net.books();
    assert_eq!(found, expected);
}

/// Prints what a block costs besides its signatures. The bound is loose, for busy machines: it catches work that
/// grows with the number of accounts.
#[test]
fn a_block_costs_little_whatever_the_number_of_accounts() {
    const ROUNDS: u32 = 20;
    let cost = |faucets: u16| {
        let mut net = Net::with_faucets(2, faucets);
        net.advance(0, &Payload::default(), &ALL);
        let transactions = (0..10)
            .map(|faucet| net.transfer(0, faucet, 0, faucet % 2, 1))
            .collect();
        let payload = Payload {
            transactions,
            ..Payload::default()
        };
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| drop(net.build(0, &payload)));
        let build = start.elapsed() / ROUNDS;
        let block = net.build(0, &payload).block;
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| assert!(net.check(0, &block, Check::Final).is_ok()));
        (build, start.elapsed() / ROUNDS)
    };
    let (few, many) = (cost(20), cost(20_000));
    println!(
        "block of 10 transfers, build and execute: 20 accounts {few:?}, 20000 accounts {many:?}"
    );
    assert!(
        many.1 < few.1 * 20 + Duration::from_millis(5),
        "few {few:?}, many {many:?}"
    );
}
