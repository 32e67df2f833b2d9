//! No value is made or lost between shards, whatever happens to batches and crosslinks on the way.

use super::harness::{ALL, Net};
use crate::reference_node::chain::Payload;
use crate::reference_node::types::{CrossLink, ReceiptBatch, ShardId};
use proptest::prelude::*;

/// Small choices out of one random number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What is under way between shards and may be lost, doubled and reordered.
#[derive(Default)]
struct Wire {
    batches: Vec<ReceiptBatch>,
    links: Vec<CrossLink>,
}

impl Wire {
    /// A random part in random order; some of it stays on the wire and comes again, some is lost.
    fn draw(&mut self, dice: &mut Dice) -> (Vec<ReceiptBatch>, Vec<CrossLink>) {
        fn some<T: Clone>(all: &mut Vec<T>, dice: &mut Dice) -> Vec<T> {
            let mut drawn = Vec::new();
            for _ in 0..dice.roll(6) {
                if all.is_empty() {
                    break;
                }
                let position = dice.roll(all.len() as u64) as usize;
                match dice.roll(4) {
                    0 => drop(all.swap_remove(position)),
                    1 => drawn.push(all[position].clone()),
                    _ => drawn.push(all.swap_remove(position)),
                }
            }
            drawn
        }
        (some(&mut self.batches, dice), some(&mut self.links, dice))
    }
}

fn random_block(net: &mut Net, wire: &mut Wire, shard: u16, dice: &mut Dice) {
    let (incoming, crosslinks) = wire.draw(dice);
    let shards = net.shards.len() as u64;
    let transactions = (0..dice.roll(4)).map(|index| {
        let to = dice.roll(shards) as u16;
        net.transfer(
            shard,
            index as u16,
            dice.roll(8) / 7,
            to,
            1 + dice.roll(400_000_000_000),
        )
    });
    let payload = Payload {
        transactions: transactions.collect(),
        incoming,
        crosslinks,
    };
    let signers = if dice.roll(3) == 0 { &ALL[1..] } else { &ALL };
    let batches = net.advance(usize::from(shard), &payload, signers);
    wire.batches.extend(batches);
    wire.links
        .extend(net.shards[usize::from(shard)].crosslink());
    // The source pushes again what was not acknowledged.
    if dice.roll(3) == 0 {
        let state = &net.shards[usize::from(shard)].state;
        state
            .unacknowledged()
            .for_each(|destination| wire.batches.extend(state.outbox(destination).take(3)));
    }
    wire.batches.truncate(200);
    wire.links.truncate(100);
}

/// A round without loss: everybody offers everything to everybody.
fn calm_round(net: &mut Net) {
    for shard in 0..net.shards.len() {
        let own = ShardId(shard as u16);
        let payload = Payload {
            transactions: Vec::new(),
            incoming: net
                .shards
                .iter()
                .flat_map(|other| other.state.outbox(own).collect::<Vec<_>>())
                .collect(),
            crosslinks: net
                .shards
                .iter()
                .filter_map(|other| other.crosslink())
                .collect(),
        };
        net.advance(shard, &payload, &ALL);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn value_is_conserved_over_all_shards(
        shards in 2_u16..5,
        blocks in prop::collection::vec((0_u16..4, any::<u64>()), 1..80),
    ) {
        let mut net = Net::new(shards);
        let mut wire = Wire::default();
        for (shard, seed) in blocks {
            random_block(&mut net, &mut wire, shard % shards, &mut Dice(seed));
            let (found, expected) = net.books();
            prop_assert_eq!(found, expected);
        }
        let mut rounds = 0;
        while net.shards.iter().any(|shard| shard.state.unacknowledged().next().is_some()) {
            calm_round(&mut net);
            rounds += 1;
            prop_assert!(rounds < 80, "receipts are stuck: {} in flight", net.in_flight());
        }
        prop_assert_eq!(net.in_flight(), 0);
        for shard in &net.shards {
            prop_assert!(net.genesis.shards().all(|other| shard.state.outbox(other).next().is_none()));
        }
        // The beacon comes to see that all has arrived.
        (0..5).for_each(|_| calm_round(&mut net));
        let pairs = net.shards[0].state.in_flight();
        prop_assert!(pairs.iter().all(|pair| pair.value == 0 && pair.sent_batches == pair.received_batches));
        let sent: usize = net.shards.iter().map(|shard| shard.state.sent().len()).sum();
        prop_assert_eq!(pairs.len(), sent);
        let (found, expected) = net.books();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_receipt_is_executed_once_and_in_order() {
    let mut net = Net::new(2);
    let mut batches = Vec::new();
    for _ in 0..3 {
        let transactions = vec![net.transfer(1, 0, 0, 0, 7)];
        batches.extend(net.advance(
            1,
            &Payload {
                transactions,
                ..Payload::default()
            },
            &ALL,
        ));
    }
    assert_eq!(net.in_flight(), 21);
    let offer = |incoming: &[ReceiptBatch]| Payload {
        incoming: incoming.to_vec(),
        ..Payload::default()
    };
    net.advance(0, &offer(&batches[1..]), &ALL);
    assert_eq!(net.shards[0].state.expected_from(ShardId(1)), 0);
    net.advance(
        0,
        &offer(&[batches[1].clone(), batches[0].clone(), batches[0].clone()]),
        &ALL,
    );
    assert_eq!(net.shards[0].state.expected_from(ShardId(1)), 2);
    net.advance(0, &offer(&batches), &ALL);
    assert_eq!(net.in_flight(), 0);
    assert!(
        batches
            .iter()
            .all(|batch| !net.shards[0].state.wants_batch(batch))
    );
    let crosslinks = vec![net.shards[0].crosslink().unwrap()];
    assert_eq!(
        net.shards[1].state.outbox(ShardId(0)).count(),
        2,
        "the newest has no proof before the next block"
    );
    net.advance(
        1,
        &Payload {
            crosslinks,
            ..Payload::default()
        },
        &ALL,
    );
    assert_eq!(net.shards[1].state.unacknowledged().count(), 0);
    assert_eq!(net.shards[1].state.outbox(ShardId(0)).count(), 0);
}

#[test]
fn signers_earn_and_the_absent_do_not() {
    let mut net = Net::new(1);
    let reward = net.genesis.config().block_reward;
    net.advance(0, &Payload::default(), &[0, 1, 3]);
    assert_eq!(net.shards[0].state.rewards(), [0; 4]);
    let committee = net
        .genesis
        .committee(ShardId(0), net.shards[0].header.epoch);
    net.advance(0, &Payload::default(), &ALL);
    for (position, member) in committee.members.iter().enumerate() {
        let expected = if position == 2 { 0 } else { reward };
        assert_eq!(
            net.shards[0].state.rewards()[usize::from(member.node.index)],
            expected
        );
        let address = net.genesis.node(member.node).unwrap().reward_address;
        assert_eq!(net.shards[0].state.account(&address).balance, expected);
    }
}
