//! What became of the generator's own transfers: which wait, and how long it took until a block had the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::reference_node::chain::ChainState;
use crate::reference_node::types::{Address, Block};

/// Steps of the histogram; one more holds what took longer than the last of them.
pub const STEPS: usize = 31;
/// Upper bound of the first step: about what one block takes at the fastest interval.
const FIRST: f64 = 0.05;
/// From one bound to the next: a quantile is right to within a quarter. The last one is 40 s.
const GROWTH: f64 = 1.25;

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inclusion {
    /// Transfers that a block has.
    pub included: u64,
    /// How many took at most as long as each step's bound, and longer than the one before.
    pub steps: [u64; STEPS + 1],
    /// Age of the oldest transfer that no block has.
    pub oldest: Duration,
}

/// The transfers of one generator.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    waiting: BTreeMap<(Address, u64), Instant>,
    told: Inclusion,
}

/// The upper bound of a step in seconds.
#[must_use]
pub fn bound(step: usize) -> f64 {
    FIRST * GROWTH.powi(i32::try_from(step).unwrap_or(i32::MAX))
}

impl Tracker {
    /// A transfer was made. One made again, because the pool did not take it, counts from now on.
    pub(super) fn made(&mut self, sender: Address, nonce: u64, now: Instant) {
        self.waiting.insert((sender, nonce), now);
    }

    /// A block has some of them. `timed` unless it came late by state sync: then the time says nothing of the chain.
    pub(super) fn committed(&mut self, block: &Block, timed: bool, now: Instant) {
        for transaction in &block.transactions {
            let key = (transaction.sender(), transaction.nonce);
            let Some(made) = self.waiting.remove(&key) else {
                continue;
            };
            self.told.included += 1;
            if timed {
                let took = now.saturating_duration_since(made).as_secs_f64();
                let step = (0..STEPS).find(|step| took <= bound(*step));
                self.told.steps[step.unwrap_or(STEPS)] += 1;
            }
        }
    }

    /// The state was replaced as a whole: what it has used is included, nobody knows when.
    pub(super) fn state_replaced(&mut self, state: &ChainState) {
        let before = self.waiting.len();
        self.waiting
            .retain(|(sender, nonce), _| *nonce >= state.account(sender).nonce);
        self.told.included += (before - self.waiting.len()) as u64;
    }

    pub(super) fn numbers(&self, now: Instant) -> Inclusion {
        let oldest = self.waiting.values().min();
        Inclusion {
            oldest: oldest.map_or(Duration::ZERO, |made| now.saturating_duration_since(*made)),
            ..self.told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_node::genesis::{Genesis, GenesisConfig};
    use crate::reference_node::types::{ShardId, Transaction};

    #[test]
    fn what_blocks_have_is_timed_and_the_rest_grows_old() {
        let genesis = Genesis::new(GenesisConfig::default()).unwrap();
        let shard = ShardId(0);
        let (key, sender) = (
            genesis.faucet_key(shard, 0),
            genesis.faucet_address(shard, 0),
        );
        let transfer = |nonce| Transaction::transfer(&key, nonce, (shard, shard), sender, 1);
        let mut block = genesis.block(shard);
        block.transactions = vec![transfer(0), transfer(7)];
        let (start, mut tracker) = (Instant::now(), Tracker::default());
        let after = |millis| start + Duration::from_millis(millis);
        tracker.made(sender, 0, after(0));
        tracker.made(sender, 1, after(10));
        tracker.made(sender, 2, after(20));
        tracker.committed(&block, true, after(60));
        let told = tracker.numbers(after(110));
        assert_eq!(
            (told.included, told.steps[1]),
            (1, 1),
            "60 ms, and no other's"
        );
        assert_eq!(told.oldest, Duration::from_millis(100));
        block.transactions = vec![transfer(1)];
        tracker.committed(&block, false, after(90_000));
        let told = tracker.numbers(after(90_000));
        assert_eq!((told.included, told.steps.iter().sum::<u64>()), (2, 1));
        block.transactions = vec![transfer(2)];
        tracker.committed(&block, true, after(90_000));
        let told = tracker.numbers(after(90_000));
        assert_eq!((told.steps[STEPS], told.oldest), (1, Duration::ZERO));
        tracker.made(sender, 3, after(0));
        tracker.state_replaced(&genesis.state(shard));
        assert_eq!(tracker.numbers(after(1)).included, 3, "not used yet");
        assert!(bound(STEPS - 1) > 40.0 && bound(STEPS - 1) < 41.0);
    }
}
