//! Seeded simulation of a shard: thousands of schedules of loss, delay, reordering, duplication, crashes, restarts
//! (all that was not durable is lost), failed writes, partitions and heals, on the real core, chain and genesis.
//!
//! Asserted in every schedule: never a fork, never a lost block that any node reported, never two different votes or
//! proposals of one node in one view, a new block within the recovery budget after every heal, everybody caught up and
//! out of Syncing after it; and the same seed gives the same outcome.
//!
//! `CANARYNET_SIMULATION_SCHEDULES` sets how many schedules are played, `CANARYNET_SIMULATION_SEED` plays one.

mod chance;
mod checks;
mod defects;
mod disk;
mod events;
mod liar;
mod pace;
mod schedule;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::chance::Chance;
use self::disk::Network;
use self::schedule::{Outcome, network, play};
use crate::reference_node::crypto::FakeCrypto;

/// Schedules of a normal test run.
const SCHEDULES: u64 = 2_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The kinds of network that schedules are played on.
fn networks() -> Vec<Network> {
    vec![
        network(4, 0, 100, None),
        network(4, 1, 5, None),
        network(4, 0, 3, None),
        network(7, 0, 100, None),
        network(7, 1, 4, Some(4)),
    ]
}

fn network_of(seed: u64, networks: &[Network]) -> &Network {
    // Four nodes in most cases: they are the common shape and the fastest to play.
    let choice = match Chance::new(seed).between(0, 9) {
        0..=3 => 0,
        4..=6 => 1,
        7 => 2,
        8 => 3,
        _ => 4,
    };
    &networks[choice]
}

fn play_fake(seed: u64, networks: &[Network], trace: bool) -> Outcome {
    play(
        seed,
        network_of(seed, networks),
        1 + seed % 3,
        trace,
        FakeCrypto::new,
    )
}

#[test]
fn thousands_of_schedules_never_fork_never_lose_a_block_and_live_again() {
    let networks = networks();
    if let Some(seed) = setting("CANARYNET_SIMULATION_SEED") {
        println!("{:?}", play_fake(seed, &networks, true));
        return;
    }
    let schedules = setting("CANARYNET_SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = std::thread::scope(|scope| {
        let work = || {
            let mut outcomes = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= schedules {
                    break;
                }
                match catch_unwind(AssertUnwindSafe(|| play_fake(seed, &networks, false))) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(_) => {
                        failed.store(true, Ordering::Relaxed);
                        eprintln!("FAILED: repeat with CANARYNET_SIMULATION_SEED={seed}");
                    }
                }
            }
            outcomes
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("panics are caught"))
            .collect::<Vec<_>>()
    });
    assert!(
        !failed.load(Ordering::Relaxed),
        "a schedule failed, see above for its seed"
    );
    assert_eq!(totals.len() as u64, schedules);
    let sum = |field: fn(&Outcome) -> u64| totals.iter().map(field).sum::<u64>();
    println!(
        "{schedules} schedules: {} blocks, {} steps, {} heals, {} new views, {} snapshots, longest recovery {} ms",
        sum(|outcome| outcome.best),
        sum(|outcome| outcome.steps),
        sum(|outcome| outcome.heals),
        sum(|outcome| outcome.new_views),
        sum(|outcome| outcome.snapshots),
        totals
            .iter()
            .map(|outcome| outcome.recovery)
            .max()
            .unwrap_or(0)
            / 1_000
    );
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let networks = networks();
    for seed in 0..20 {
        assert_eq!(
            play_fake(seed, &networks, false),
            play_fake(seed, &networks, false),
            "seed {seed}"
        );
    }
    let digests: std::collections::BTreeSet<u64> = (0..20)
        .map(|seed| play_fake(seed, &networks, false).digest)
        .collect();
    assert_eq!(
        digests.len(),
        20,
        "different seeds must play different schedules"
    );
}

#[test]
fn schedules_with_real_signatures() {
    let network = network(4, 1, 5, None);
    for seed in 1_000_000..1_000_003 {
        play(seed, &network, 1, false, |node| {
            network.genesis.bls(node).expect("genesis knows its nodes")
        });
    }
}
