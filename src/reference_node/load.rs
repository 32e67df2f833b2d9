//! The load generator: each validator of a shard makes its share of the shard's transfers from faucet accounts of
//! its own, drawn from the seed.
//!
//! It keeps to its rate by the clock and never catches up what a stalled chain could not take: when the accounts
//! have enough transfers waiting it makes none, so that a stall ends with full blocks and not with a flood.

pub mod inclusion;

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::chain::ChainState;
use super::config::{Rate, Share};
use super::genesis::Genesis;
use super::mempool::Mempool;
use super::types::{Address, Block, Hash, NodeId, ShardId, Transaction};
use inclusion::{Inclusion, Tracker};

/// Accounts of each validator: a nonce gap in one does not stop the others.
pub const ACCOUNTS_PER_VALIDATOR: u16 = 4;
/// Transfers of one account that may wait.
const WAITING_PER_ACCOUNT: u64 = 32;
/// Most transfers made at one go, whatever the clock says.
const BURST: u32 = 64;
/// Most value of a transfer.
const AMOUNT_LIMIT: u64 = 1_000;

/// The generator of one validator.
pub struct Load {
    node: NodeId,
    keys: Vec<(SigningKey, Address)>,
    /// All faucets of all shards: transfers stay among them, so that the state does not grow.
    receivers: Vec<(ShardId, Vec<Address>)>,
    cross_shard: f64,
    every: Duration,
    due: Instant,
    random: ChaCha8Rng,
    turn: usize,
    /// Transfers made since the start.
    pub made: u64,
    /// Transfers not made because enough were waiting.
    pub held_back: u64,
    /// Transfers not made because the generator had no time: what it does not show, and its own fault.
    pub missed: u64,
    tracker: Tracker,
}

impl Load {
    /// The generator of `node`, or none when the rate is zero or the node is an explorer.
    #[must_use]
    pub fn new(
        genesis: &Genesis,
        node: NodeId,
        rate: Rate,
        share: Share,
        now: Instant,
    ) -> Option<Self> {
        let validators = genesis.config().validators;
        let every = Duration::try_from_secs_f64(f64::from(validators) / rate.0).ok()?;
        if node.index >= validators {
            return None;
        }
        let first = node.index * ACCOUNTS_PER_VALIDATOR;
        let keys = (first..first + ACCOUNTS_PER_VALIDATOR)
            .map(|index| {
                (
                    genesis.faucet_key(node.shard, index),
                    genesis.faucet_address(node.shard, index),
                )
            })
            .collect();
        let receivers = genesis
            .shards()
            .map(|shard| {
                let addresses = (0..validators * ACCOUNTS_PER_VALIDATOR)
                    .map(|index| genesis.faucet_address(shard, index))
                    .collect();
                (shard, addresses)
            })
            .collect();
        let seed = Hash::of_value("load", &(&genesis.config().seed, node));
        Some(Self {
            node,
            keys,
            receivers,
            cross_shard: share.0,
            every,
            due: now + every,
            random: ChaCha8Rng::from_seed(seed.0),
            turn: 0,
            made: 0,
            held_back: 0,
            missed: 0,
            tracker: Tracker::default(),
        })
    }

    /// When `due` has work.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.due
    }

    /// The transfers that are due now.
    pub fn due(&mut self, now: Instant, mempool: &Mempool, state: &ChainState) -> Vec<Transaction> {
        let mut transactions: Vec<Transaction> = Vec::new();
        for _ in 0..BURST {
            if self.due > now {
                return transactions;
            }
            self.due += self.every;
            match self.transfer(mempool, state, &transactions) {
                Some(transaction) => {
                    self.made += 1;
                    self.tracker
                        .made(transaction.sender(), transaction.nonce, now);
                    transactions.push(transaction);
                }
                None => self.held_back += 1,
            }
        }
        // The process was stopped for longer than a burst lasts: what was missed is not made up for.
        let behind = now.saturating_duration_since(self.due);
        self.missed += u64::try_from(behind.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(0);
        self.due = self.due.max(now);
        transactions
    }

    /// A block is durable; `synced` if it came late, by state sync.
    pub fn committed(&mut self, block: &Block, synced: bool, now: Instant) {
        self.tracker.committed(block, !synced, now);
    }

    /// The state was replaced as a whole.
    pub fn state_replaced(&mut self, state: &ChainState) {
        self.tracker.state_replaced(state);
    }

    /// What became of the transfers.
    #[must_use]
    pub fn inclusion(&self, now: Instant) -> Inclusion {
        self.tracker.numbers(now)
    }

    fn transfer(
        &mut self,
        mempool: &Mempool,
        state: &ChainState,
        fresh: &[Transaction],
    ) -> Option<Transaction> {
        self.turn = (self.turn + 1) % self.keys.len();
        let (key, address) = &self.keys[self.turn];
        let account = state.account(address);
        let made_now = fresh
            .iter()
            .filter(|transaction| transaction.from.0 == key.verifying_key().to_bytes());
        let nonce = mempool.next_nonce(address, state) + made_now.count() as u64;
        if nonce - account.nonce >= WAITING_PER_ACCOUNT {
            return None;
        }
        let amount = self.random.random_range(1..=AMOUNT_LIMIT);
        let others = self.receivers.len() - 1;
        let own = usize::from(self.node.shard.0);
        let crosses = others > 0 && self.random.random_bool(self.cross_shard);
        let position = if crosses {
            (own + 1 + self.random.random_range(0..others)) % (others + 1)
        } else {
            own
        };
        let (to_shard, addresses) = &self.receivers[position];
        let to = addresses[self.random.random_range(0..addresses.len())];
        Some(Transaction::transfer(
            key,
            nonce,
            (self.node.shard, *to_shard),
            to,
            amount,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_node::crypto::FakeCrypto;
    use crate::reference_node::genesis::GenesisConfig;
    use crate::reference_node::mempool::Tip;

    fn genesis() -> Genesis {
        Genesis::new(GenesisConfig {
            shards: 2,
            ..GenesisConfig::default()
        })
        .unwrap()
    }

    #[test]
    fn keeps_its_rate_and_stops_when_nothing_is_taken() {
        let genesis = genesis();
        let state = genesis.state(ShardId(1));
        let start = Instant::now();
        let node = NodeId::new(1, 2);
        let mut mempool = Mempool::new(node.shard, 2);
        let crypto = FakeCrypto::new(node);
        let mut load = Load::new(&genesis, node, Rate(40.0), Share(0.5), start).unwrap();
        let mut made = Vec::new();
        for step in 0..=20_u32 {
            for transaction in load.due(start + step * Duration::from_secs(1), &mempool, &state) {
                let tip = Tip {
                    state: &state,
                    height: 0,
                    crypto: &crypto,
                };
                mempool.insert(transaction.clone(), true, &tip).unwrap();
                made.push(transaction);
            }
        }
        // 40 a second shared by four validators, until four accounts have 32 waiting each.
        assert_eq!(
            made.len() as u64,
            u64::from(ACCOUNTS_PER_VALIDATOR) * WAITING_PER_ACCOUNT
        );
        assert_eq!(load.made + load.held_back, 200);
        let crossing = made
            .iter()
            .filter(|transaction| transaction.is_cross_shard())
            .count();
        assert!((40..90).contains(&crossing), "{crossing}");
    }

    #[test]
    fn a_long_stop_is_not_made_up_for() {
        let genesis = genesis();
        let state = genesis.state(ShardId(0));
        let start = Instant::now();
        let mempool = Mempool::new(ShardId(0), 2);
        let mut load =
            Load::new(&genesis, NodeId::new(0, 0), Rate(400.0), Share(0.0), start).unwrap();
        assert!(
            load.due(start + Duration::from_secs(600), &mempool, &state)
                .len()
                <= BURST as usize
        );
        // 100 a second of this validator, for ten minutes.
        assert!((59_900..60_000).contains(&load.missed), "{}", load.missed);
        assert!(
            load.due(start + Duration::from_secs(600), &mempool, &state)
                .len()
                <= 1
        );
    }

    #[test]
    fn no_load_without_rate_or_as_explorer() {
        let genesis = genesis();
        let now = Instant::now();
        assert!(Load::new(&genesis, NodeId::new(0, 0), Rate(0.0), Share(0.0), now).is_none());
        assert!(Load::new(&genesis, NodeId::new(0, 4), Rate(50.0), Share(0.0), now).is_none());
    }
}
