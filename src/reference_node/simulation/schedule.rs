//! One seed, one schedule: faults, heals, and what is owed after each heal.

use super::chance::Chance;
use super::disk::Network;
use super::world::{CALM, CLOCKS, Clocks, MILLISECOND, Trap, Weather, World};
use crate::reference_node::consensus::{Micros, Mode};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::genesis::GenesisConfig;
use crate::reference_node::types::NodeId;

/// What a schedule came to. Equal seeds give equal outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) digest: u64,
    pub(super) best: u64,
    pub(super) now: Micros,
    pub(super) steps: u64,
    pub(super) heals: u64,
    pub(super) new_views: u64,
    pub(super) snapshots: u64,
    /// Longest time from a heal to the first new block.
    pub(super) recovery: Micros,
}

/// Time from a heal to the first block that is never exceeded: the recovery budget of the domain.
pub(super) fn budget(clocks: Clocks) -> Micros {
    (10 * clocks.interval).max(2 * clocks.timeout_max)
}

pub(super) fn network(
    validators: u16,
    explorers: u16,
    epoch_length: u64,
    committee_size: Option<u16>,
) -> Network {
    let config = GenesisConfig {
        seed: "simulation".to_owned(),
        validators,
        explorers,
        epoch_length,
        committee_size,
        faucets: 1,
        timestamp_ms: 1_600_000_000_000,
        ..GenesisConfig::default()
    };
    Network::new(config)
}

struct Schedule<C, F> {
    world: World<C, F>,
    validators: usize,
    /// Validators that may be missing while a quorum is still owed: less than a third of the committee. None where the
    /// committee is a part of the validators.
    spare: usize,
    recovery: Micros,
    heals: u64,
}

/// Plays the schedule of a seed.
pub(super) fn play<C: Crypto, F: Fn(NodeId) -> C>(
    seed: u64,
    network: &Network,
    phases: u64,
    trace: bool,
    crypto: F,
) -> Outcome {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let validators = usize::from(network.genesis.config().validators);
    let whole = network
        .genesis
        .config()
        .committee_size
        .is_none_or(|size| usize::from(size) == validators);
    let retention = if chance.percent(30) { 3 } else { 1_000 };
    let mut world = World::new(seed, network, CLOCKS, retention, crypto);
    world.trace = trace;
    let mut spare = if whole { (validators - 1) / 3 } else { 0 };
    if spare > 0 && chance.percent(15) {
        // A liar takes the place of one that may be missing.
        world.liar = Some(chance.index(validators));
        spare -= 1;
    }
    let mut schedule = Schedule {
        world,
        validators,
        spare,
        recovery: 0,
        heals: 0,
    };
    schedule.begin();
    for _ in 0..phases {
        schedule.strike();
        schedule.heal();
    }
    schedule.finish();
    let world = schedule.world;
    Outcome {
        digest: world.checks.digest(),
        best: world.best(),
        now: world.now,
        steps: world.steps,
        heals: schedule.heals,
        new_views: world.checks.new_views,
        snapshots: world.checks.snapshots,
        recovery: schedule.recovery,
    }
}

impl<C: Crypto, F: Fn(NodeId) -> C> Schedule<C, F> {
    fn begin(&mut self) {
        let mut last = 0;
        for node in 0..self.world.len() {
            let at = self.world.chance.between(0, 300 * MILLISECOND);
            last = last.max(at);
            self.world.start_at(node, at);
        }
        self.owe_a_block(last);
    }

    /// One to three faults at once, for a while.
    fn strike(&mut self) {
        let faults = 1 + self.world.chance.index(3);
        for _ in 0..faults {
            self.one_fault();
            if self.world.chance.percent(30) {
                let pause = self.world.chance.between(0, 3 * CLOCKS.interval);
                self.world.run_for(pause);
            }
        }
        let long = self.world.chance.percent(10);
        let limit = if long {
            8 * CLOCKS.timeout
        } else {
            6 * CLOCKS.interval
        };
        let time = self.world.chance.between(0, limit);
        self.world.run_for(time);
    }

    fn one_fault(&mut self) {
        let world = &mut self.world;
        let count = world.len();
        match world.chance.index(9) {
            0 => {
                world.weather = Weather {
                    loss: world.chance.between(2, 50),
                    duplication: world.chance.between(0, 30),
                    ..world.weather
                };
            }
            1 => {
                let delay = world.chance.between(MILLISECOND, CLOCKS.timeout);
                let write = world.chance.between(MILLISECOND, CLOCKS.interval);
                world.weather = Weather {
                    delay,
                    write,
                    ..world.weather
                };
            }
            2 => self.partition(),
            3 => {
                // One-way cuts.
                for _ in 0..world.chance.between(1, count as u64) {
                    let (from, to) = (world.chance.index(count), world.chance.index(count));
                    if from != to {
                        world.cut(from, to);
                    }
                }
            }
            4 => self.crash_some(),
            5 => {
                for _ in 0..world.chance.between(1, count as u64) {
                    let node = world.chance.index(count);
                    world.set_failing(node, true);
                }
            }
            6 => {
                // The power of the whole shard is cut at once, some of it comes back by itself.
                for node in 0..count {
                    world.crash(node);
                    if world.chance.percent(50) {
                        let at = world.now + world.chance.between(0, CLOCKS.timeout);
                        world.start_at(node, at);
                    }
                }
            }
            7 => {
                world.trap = Some(
                    [Trap::Prepared, Trap::Committed, Trap::NewView, Trap::Report]
                        [world.chance.index(4)],
                )
            }
            _ => {
                // The current leader dies.
                let leader =
                    (0..count).find_map(|node| world.core(node).map(|core| core.status().leader));
                if let Some(leader) = leader {
                    world.crash(usize::from(leader.index));
                }
            }
        }
    }

    fn partition(&mut self) {
        let world = &mut self.world;
        let sides: Vec<bool> = (0..world.len()).map(|_| world.chance.percent(50)).collect();
        for from in 0..world.len() {
            for to in 0..world.len() {
                if sides[from] != sides[to] {
                    world.cut(from, to);
                }
            }
        }
    }

    fn crash_some(&mut self) {
        let world = &mut self.world;
        for _ in 0..world.chance.between(1, world.len() as u64) {
            let node = world.chance.index(world.len());
            world.crash(node);
            if world.chance.percent(60) {
                let at = world.now + world.chance.between(0, 2 * CLOCKS.timeout);
                world.start_at(node, at);
            }
        }
    }

    /// Everything is repaired, but for as many validators as may be missing; then the network owes a block.
    fn heal(&mut self) {
        let missing: Vec<usize> = (0..self.world.chance.index(self.spare + 1))
            .map(|_| {
                self.world
                    .reporter
                    .take()
                    .unwrap_or(self.world.chance.index(self.validators))
            })
            .filter(|node| *node < self.validators)
            .collect();
        self.repair(&missing);
        self.owe_catching_up(&missing);
        let pause = self.world.chance.between(0, 2 * CLOCKS.interval);
        self.world.run_for(pause);
    }

    fn repair(&mut self, missing: &[usize]) {
        let world = &mut self.world;
        world.weather = CALM;
        world.trap = None;
        world.join_all();
        let mut last = world.now;
        for node in 0..world.len() {
            world.set_failing(node, false);
            if missing.contains(&node) {
                match world.chance.index(3) {
                    0 => world.crash(node),
                    1 => world.set_failing(node, true),
                    _ => (0..world.len())
                        .filter(|other| *other != node)
                        .for_each(|other| {
                            world.cut(node, other);
                            world.cut(other, node);
                        }),
                }
            } else if !world.is_up(node) {
                let at = world.now + world.chance.between(0, CLOCKS.timeout / 2);
                last = last.max(at);
                world.start_at(node, at);
            }
        }
        self.owe_a_block(last);
    }

    fn owe_a_block(&mut self, healed: Micros) {
        self.heals += 1;
        let world = &mut self.world;
        // Whatever comes before the last repair does not count.
        world.run_until(healed, |_| false);
        let before = world.best();
        let live = world.run_until(healed + budget(CLOCKS), |world| world.best() > before);
        assert!(
            live,
            "NOT LIVE: no block after {before} within the recovery budget{}",
            self.describe()
        );
        self.recovery = self.recovery.max(self.world.now - healed);
    }

    /// Every node that is not missing follows, and leaves Syncing.
    fn owe_catching_up(&mut self, missing: &[usize]) {
        let target = self.world.best() + 1;
        let deadline = self.world.now + 3 * budget(CLOCKS);
        let nodes: Vec<usize> = (0..self.world.len())
            .filter(|node| !missing.contains(node))
            .collect();
        let caught_up = self.world.run_until(deadline, |world| {
            nodes.iter().all(|node| {
                world.height(*node) >= target && world.mode(*node) != Some(Mode::Syncing)
            })
        });
        assert!(
            caught_up,
            "LEFT BEHIND: not all of {nodes:?} reached {target}{}",
            self.describe()
        );
    }

    fn finish(&mut self) {
        self.repair(&[]);
        self.owe_catching_up(&[]);
        if self.world.liar.is_none() && self.world.chance.percent(20) {
            // Back at its rate: nine blocks of ten intervals, after what a change of leadership may still take.
            self.world.run_for(2 * CLOCKS.timeout);
            let before = self.world.best();
            self.world
                .run_for(10 * CLOCKS.interval + CLOCKS.interval / 2);
            let made = self.world.best() - before;
            assert!(
                made >= 9,
                "SLOW: {made} blocks in ten intervals after all was well{}",
                self.describe()
            );
        }
    }

    fn describe(&self) -> String {
        let world = &self.world;
        let node = |node: usize| {
            let Some(core) = world.core(node) else {
                return format!("\n  {node}: down at {}", world.height(node));
            };
            let status = core.status();
            format!(
                "\n  {node}: head {} view {} asked {} {:?} {:?} leader {} peers at {} failing {}",
                world.height(node),
                status.view,
                status.view_change_id,
                status.mode,
                status.phase,
                status.leader,
                status.best_peer_height,
                status.write_failing
            )
        };
        let nodes: String = (0..world.len()).map(node).collect();
        format!(" (time {} us){nodes}", world.now)
    }
}
