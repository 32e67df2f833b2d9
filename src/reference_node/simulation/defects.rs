//! Defects in a simulated shard: each shows what it is for, and the same schedule without it shows nothing.

use super::disk::Network;
use super::schedule::{budget, network};
use super::world::{CALM, CLOCKS, MILLISECOND, Trap, Weather, World};
use crate::reference_node::consensus::{Micros, Mode};
use crate::reference_node::crypto::FakeCrypto;
use crate::reference_node::genesis::GenesisConfig;
use crate::reference_node::types::NodeId;

type Shard = World<FakeCrypto, fn(NodeId) -> FakeCrypto>;

const LONG: Micros = 60 * CLOCKS.timeout;

/// Four validators with these defects, ten blocks old.
fn shard(defects: &str) -> Shard {
    shard_on(&network(4, 0, 100, None), defects, 10)
}

fn shard_on(network: &Network, defects: &str, until: u64) -> Shard {
    let mut world = World::new(7, network, CLOCKS, 1_000, FakeCrypto::new as _);
    world.keep_lines = true;
    world.defects = defects.parse().expect("defects exist");
    for node in 0..world.len() {
        world.start_at(node, 10 * MILLISECOND * node as u64);
    }
    assert!(world.run_until(600_000 * MILLISECOND, |world| world.best() >= until));
    world
}

fn says(world: &Shard, text: &str) -> usize {
    let lines = world.lines.iter();
    lines
        .filter(|(_, event)| event.message.contains(text))
        .count()
}

/// Blocks made within so long.
fn blocks(world: &mut Shard, time: Micros) -> u64 {
    let before = world.best();
    world.run_for(time);
    world.best() - before
}

fn restart(world: &mut Shard, nodes: impl Iterator<Item = usize> + Clone) {
    nodes.clone().for_each(|node| world.crash(node));
    let now = world.now;
    nodes.for_each(|node| world.start_at(node, now));
}

#[test]
fn lose_commit_signatures_stops_a_shard_that_was_restarted() {
    for (defects, stops) in [("none", false), ("lose-commit-signatures", true)] {
        let mut world = shard(defects);
        // Between two blocks: one that is half finished brings signatures of its own.
        world.run_for(CLOCKS.interval / 2);
        restart(&mut world, 0..4);
        assert_eq!(blocks(&mut world, LONG) == 0, stops, "{defects}");
        let told = says(&world, "Cannot got commit signatures from last block");
        assert_eq!(told > 3, stops, "{defects}: {told} lines");
    }
}

#[test]
fn a_restarted_leader_that_lost_its_signatures_tries_in_vain_and_is_replaced() {
    let mut world = shard("lose-commit-signatures");
    world.run_for(CLOCKS.interval / 2);
    restart(&mut world, 0..1);
    assert!(blocks(&mut world, budget(CLOCKS)) > 0);
    assert!(says(&world, "Cannot got commit signatures from last block") > 0);
}

#[test]
fn head_before_disk_announces_a_mismatched_number_after_a_failed_write() {
    for (defects, mismatch) in [("none", 0), ("head-before-disk", 1)] {
        let mut world = shard(defects);
        world.set_failing(0, true);
        world.run_for(20 * CLOCKS.interval);
        let status = world.core(0).expect("it runs").status();
        let head = status.head.block.header.height;
        assert_eq!(status.height, head + 1 + mismatch, "{defects}");
        let told = says(&world, "[OnAnnounce] BlockNum not match");
        assert_eq!(told > 0, mismatch > 0, "{defects}: {told} lines");
        // Room comes back, and the lost block does not.
        world.set_failing(0, false);
        world.run_for(LONG);
        assert_eq!(
            world.height(0) + 1 < world.best(),
            mismatch > 0,
            "{defects}"
        );
    }
}

#[test]
fn view_change_cannot_recover_what_a_dead_leader_began() {
    for (defects, stops) in [("none", false), ("view-change-cannot-recover", true)] {
        let mut world = shard(defects);
        world.trap = Some(Trap::Prepared);
        world.run_until(600_000 * MILLISECOND, |world| !world.is_up(0));
        assert_eq!(blocks(&mut world, LONG) == 0, stops, "{defects}");
        let now = world.now;
        world.start_at(0, now);
        assert_eq!(
            blocks(&mut world, LONG) == 0,
            stops,
            "{defects}: with all nodes"
        );
        if stops {
            let status = world.core(1).expect("it runs").status();
            let climbed = status.view_change_id - status.view;
            assert!(climbed > 5, "{climbed} views");
        }
    }
}

#[test]
fn a_view_change_between_blocks_recovers_in_spite_of_the_defect() {
    let mut world = shard("view-change-cannot-recover");
    let height = world.best();
    world.run_until(600_000 * MILLISECOND, |world| {
        (0..4).all(|node| world.height(node) > height)
    });
    world.crash(0);
    assert!(blocks(&mut world, LONG) > 0);
}

/// The incident in small: a block that cannot be written, and a view change that does not recover.
#[test]
fn a_leader_that_forgets_its_failed_block_stops_a_shard_that_cannot_change_views() {
    let mut world = shard("head-before-disk,view-change-cannot-recover");
    world.set_failing(0, true);
    world.run_for(20 * CLOCKS.interval);
    world.set_failing(0, false);
    assert_eq!(blocks(&mut world, LONG), 0);
    // The cure: all nodes stop, get another build, and start on the same disks.
    world.defects = Default::default();
    restart(&mut world, 0..4);
    assert!(blocks(&mut world, budget(CLOCKS)) > 0);
}

#[test]
fn stuck_syncing_never_catches_up() {
    for (defects, stuck) in [("none", false), ("stuck-syncing", true)] {
        let mut world = shard(defects);
        world.crash(3);
        world.run_for(10 * CLOCKS.interval);
        let now = world.now;
        world.start_at(3, now);
        world.run_for(LONG);
        assert_eq!(world.mode(3) == Some(Mode::Syncing), stuck, "{defects}");
        assert_eq!(world.height(3) + 10 < world.best(), stuck, "{defects}");
    }
}

#[test]
fn without_retry_lost_messages_cost_view_changes() {
    let new_views = |defects| {
        let mut world = shard(defects);
        world.weather = Weather { loss: 20, ..CALM };
        world.run_for(200 * CLOCKS.interval);
        world.checks.new_views
    };
    let (healthy, defective) = (new_views("none"), new_views("no-message-retry"));
    assert!(
        defective > 3 * healthy.max(3),
        "{defective} new views against {healthy}"
    );
}

#[test]
fn block_time_creeps_with_the_height() {
    let time_of = |defects| {
        let mut world = shard(defects);
        let begun = world.now;
        world.run_until(600_000 * MILLISECOND, |world| world.best() >= 500);
        let middle = world.now;
        world.run_until(600_000 * MILLISECOND, |world| world.best() >= 600);
        ((middle - begun) / 490, (world.now - middle) / 100)
    };
    let (early, late) = time_of("block-time-creep");
    assert!(late > early + early / 5, "{early} us, later {late} us");
    let (early, late) = time_of("none");
    assert!(late < early + early / 50, "{early} us, later {late} us");
}

#[test]
fn heights_that_overflow_stop_the_shard_there() {
    let network = Network::new(GenesisConfig {
        seed: "simulation".to_owned(),
        faucets: 1,
        timestamp_ms: 1_600_000_000_000,
        initial_height: 65_500,
        ..GenesisConfig::default()
    });
    let mut world = shard_on(&network, "height-overflow", 65_535);
    assert_eq!(blocks(&mut world, LONG), 0);
    let mut world = shard_on(&network, "none", 65_535);
    assert!(blocks(&mut world, LONG) > 0);
}

#[test]
fn an_idle_signer_follows_and_is_missing_in_every_bitmap() {
    let mut world = World::new(
        7,
        &network(4, 0, 100, None),
        CLOCKS,
        1_000,
        FakeCrypto::new as fn(NodeId) -> FakeCrypto,
    );
    (0..3).for_each(|node| world.start_at(node, 0));
    world.run_for(MILLISECOND);
    world.defects = "idle-signer".parse().expect("it exists");
    let now = world.now;
    world.start_at(3, now);
    world.run_until(600_000 * MILLISECOND, |world| world.best() >= 50);
    world.run_for(CLOCKS.interval);
    assert!(world.height(3) >= 49);
    assert!(world.checks.signers.iter().all(|signers| *signers <= 3));
}
