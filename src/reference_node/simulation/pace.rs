//! A shard in health: its pace, its signers, its log. And single faults with an exact answer.

use super::schedule::{budget, network};
use super::world::{CALM, CLOCKS, Clocks, MILLISECOND, Weather, World};
use crate::reference_node::consensus::Mode;
use crate::reference_node::crypto::FakeCrypto;
use crate::reference_node::log::Level;
use crate::reference_node::types::NodeId;

type Healthy = World<FakeCrypto, fn(NodeId) -> FakeCrypto>;

fn healthy(validators: u16, explorers: u16, epoch_length: u64, clocks: Clocks) -> Healthy {
    let mut world = World::new(
        7,
        &network(validators, explorers, epoch_length, None),
        clocks,
        1_000,
        FakeCrypto::new as _,
    );
    world.keep_lines = true;
    for node in 0..world.len() {
        world.start_at(node, 10 * MILLISECOND * node as u64);
    }
    world
}

const FAST: Clocks = Clocks {
    interval: 50 * MILLISECOND,
    timeout: 170 * MILLISECOND,
    timeout_max: 4 * 170 * MILLISECOND,
};

#[test]
fn a_healthy_shard_keeps_its_pace_over_epochs_and_all_sign() {
    let mut world = healthy(4, 1, 20, FAST);
    // Writes that take up to two fifths of the interval each, as on a slow disk.
    world.weather = Weather {
        write: 10 * MILLISECOND,
        ..CALM
    };
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 201);
    let times = &world.checks.times;
    let (first, last) = (times[0], *times.last().expect("blocks were made"));
    assert_eq!(last.0, 201);
    let mean = (last.1 - first.1) as f64 / (last.0 - first.0) as f64;
    let error = (mean - 50_000.0).abs() / 50_000.0;
    assert!(error < 0.005, "mean interval {mean} us");
    assert_eq!(world.checks.new_views, 0, "no view change in health");
    assert!(
        world
            .checks
            .signers
            .iter()
            .skip(2)
            .all(|signers| *signers == 4),
        "all sign every block but the first ones"
    );
    for node in 0..4 {
        assert_eq!(world.mode(node), Some(Mode::Normal));
    }
    assert_eq!(
        world.mode(4),
        Some(Mode::Listening),
        "an explorer follows and never signs"
    );
    assert!(world.height(4) >= 200);
}

#[test]
fn a_healthy_shard_says_few_lines() {
    let mut world = healthy(4, 0, 100, CLOCKS);
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 50);
    for node in 0..4 {
        let lines = world
            .lines
            .iter()
            .filter(|(of, event)| *of == node && event.level >= Level::Info)
            .count();
        assert!(
            lines <= 4 * 51,
            "node {node} said {lines} lines in 50 blocks"
        );
    }
    assert!(
        world
            .lines
            .iter()
            .all(|(_, event)| event.level == Level::Info),
        "nothing to warn of in health"
    );
}

#[test]
fn the_death_of_a_leader_costs_one_view_change_and_its_half_finished_block_is_finished() {
    for trap in [super::world::Trap::Prepared, super::world::Trap::Committed] {
        let mut world = healthy(4, 0, 100, CLOCKS);
        world.run_until(60_000 * MILLISECOND, |world| world.best() >= 10);
        world.trap = Some(trap);
        world.run_until(60_000 * MILLISECOND, |world| !world.is_up(0));
        let died = world.now;
        let before = world.best();
        assert!(world.run_until(died + budget(CLOCKS), |world| world.best() >= before + 4));
        // One timeout, and at most one interval and a few messages per block: the dead leader is not waited for twice,
        // though the block that was carried over names it.
        let gap = world.now - died;
        assert!(
            gap < CLOCKS.timeout + 5 * CLOCKS.interval,
            "four blocks took {gap} us"
        );
    }
}

#[test]
fn a_full_disk_stops_its_node_and_nobody_else_and_heals() {
    let mut world = healthy(4, 0, 100, CLOCKS);
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 5);
    world.set_failing(2, true);
    world.run_for(20 * CLOCKS.interval);
    let behind = world.height(2);
    assert!(world.best() >= behind + 15, "the others go on");
    let said = |world: &Healthy| {
        world.lines.iter().any(|(node, event)| {
            *node == 2
                && event
                    .error
                    .as_deref()
                    .is_some_and(|error| error.contains("no space left on device"))
        })
    };
    assert!(said(&world), "the node says that its disk is full");
    world.set_failing(2, false);
    let target = world.best();
    let healed = world.now;
    assert!(world.run_until(healed + budget(CLOCKS), |world| world.height(2) >= target));
    assert_eq!(world.mode(2), Some(Mode::Normal));
}

#[test]
fn two_of_four_down_and_back() {
    let mut world = healthy(4, 0, 100, CLOCKS);
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 5);
    world.crash(1);
    world.crash(2);
    world.run_for(2 * CLOCKS.interval);
    let stalled = world.best();
    world.run_for(60 * CLOCKS.timeout);
    assert_eq!(world.best(), stalled, "two of four are no quorum");
    let now = world.now;
    world.start_at(1, now);
    world.start_at(2, now);
    assert!(world.run_until(now + budget(CLOCKS), |world| world.best() > stalled));
    let recovery = world.now - now;
    assert!(
        recovery < 3 * CLOCKS.timeout,
        "however long the outage was: {recovery} us"
    );
}

#[test]
fn a_node_that_lost_its_disk_comes_back() {
    let mut world = healthy(4, 0, 100, CLOCKS);
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 12);
    world.crash(3);
    world.wipe(3, &network(4, 0, 100, None));
    let now = world.now;
    world.start_at(3, now);
    assert!(
        world.run_until(now + budget(CLOCKS), |world| world.height(3)
            == world.best())
    );
    world.run_for(5 * CLOCKS.interval);
    assert_eq!(world.checks.signers.last(), Some(&4), "it signs again");
    assert_eq!(world.checks.new_views, 0);
}

#[test]
fn transfers_are_executed_once_whoever_leads() {
    use crate::reference_node::types::{ShardId, Transaction};
    let network = network(4, 0, 3, None);
    let key = network.genesis.faucet_key(ShardId::BEACON, 0);
    let sender = network.genesis.faucet_address(ShardId::BEACON, 0);
    let to = network.genesis.faucet_address(ShardId::BEACON, 0);
    let shards = (ShardId::BEACON, ShardId::BEACON);
    let mut world = healthy(4, 0, 3, CLOCKS);
    // Every leader is offered all of them, again and again.
    world.payload.transactions = (0..20)
        .map(|nonce| Transaction::transfer(&key, nonce, shards, to, 1))
        .collect();
    world.run_until(60_000 * MILLISECOND, |world| world.best() >= 8);
    world.run_for(CLOCKS.interval);
    for node in 0..4 {
        let core = world.core(node).expect("all are up");
        assert_eq!(core.state().account(&sender).nonce, 20, "node {node}");
    }
}
