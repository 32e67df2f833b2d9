//! What every node of a network agrees on before its first block: who takes part, with which keys, and who owns what.
//!
//! All of it is computed from a small set of parameters, keys included: a testnet's secrets are a function of its
//! seed, so that a run can be repeated. Nothing here is fit for value.

use super::chain::ChainState;
use super::crypto::{Bls, SecretKey};
use super::types::{
    Address, Amount, Block, Committee, Epoch, Hash, Header, Height, Member, NodeId, PublicKey,
    ShardId, TransactionKey,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most shards of a network. Headers and states hold a few records per other shard.
pub const MAX_SHARDS: u16 = 32;
/// The most nodes of a shard.
pub const MAX_NODES: u16 = 256;
/// The most value at genesis, a quarter of what an amount can hold: rewards have the rest for centuries.
pub const MAX_SUPPLY: Amount = Amount::MAX / 4;
/// The most a signer may earn per block, so that rewards cannot overflow within any conceivable run.
pub const MAX_BLOCK_REWARD: Amount = 1_000_000_000;

/// The parameters of a network. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenesisConfig {
    /// All keys are derived from it.
    pub seed: String,
    /// Number of shards.
    pub shards: u16,
    /// Validators per shard.
    pub validators: u16,
    /// Explorers per shard: they follow and never sign.
    pub explorers: u16,
    /// Seats of a committee; all validators if not given.
    pub committee_size: Option<u16>,
    /// Blocks of an epoch.
    pub epoch_length: u64,
    /// The height of the genesis block; the first block made is the one after.
    pub initial_height: Height,
    /// Wall time of the genesis block in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// What each signer of a block earns when the next block carries its signature.
    pub block_reward: Amount,
    /// Accounts per shard that own value at genesis.
    pub faucets: u16,
    /// What each of them owns.
    pub faucet_balance: Amount,
}

impl Default for GenesisConfig {
    fn default() -> Self {
        GenesisConfig {
            seed: "canarynet".to_owned(),
            shards: 1,
            validators: 4,
            explorers: 0,
            committee_size: None,
            epoch_length: 100,
            initial_height: 0,
            timestamp_ms: 0,
            block_reward: 1_000_000,
            faucets: 16,
            faucet_balance: 1_000_000_000_000,
        }
    }
}

/// A parameter that makes no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Outside the bounds that the field has.
    #[error("{field} must be from {min} to {max}, not {value}")]
    OutOfRange {
        /// The parameter.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Takes its turns in committees.
    Validator,
    /// Follows its shard.
    Explorer,
}

/// What everybody knows about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its public key.
    pub key: PublicKey,
    /// What it is for.
    pub role: Role,
    /// Where its rewards go.
    pub reward_address: Address,
}

/// A network before its first block.
#[derive(Debug, Clone)]
pub struct Genesis {
    config: GenesisConfig,
    nodes: BTreeMap<NodeId, NodeRecord>,
    hash: Hash,
}

impl Genesis {
    /// Derives everything from the parameters.
    ///
    /// # Errors
    /// Names the parameter that is out of range.
    pub fn new(config: GenesisConfig) -> Result<Genesis, GenesisError> {
        check(&config)?;
        let ids = (0..config.shards).flat_map(|shard| {
            (0..config.validators + config.explorers).map(move |index| NodeId::new(shard, index))
        });
        let record = |node: NodeId| {
            let key = SecretKey::from_seed(&config.seed, node).public_key();
            let role = if node.index < config.validators {
                Role::Validator
            } else {
                Role::Explorer
            };
            (
                node,
                NodeRecord {
                    key,
                    role,
                    reward_address: Address::of_validator(&key),
                },
            )
        };
        let nodes = ids.map(record).collect();
        let hash = Hash::of_value("genesis", &config);
        Ok(Genesis {
            config,
            nodes,
            hash,
        })
    }

    /// The parameters.
    pub fn config(&self) -> &GenesisConfig {
        &self.config
    }

    /// What tells this network from others: the parent of every shard's genesis block.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.config.shards).map(ShardId)
    }

    /// A node's record, if there is such a node.
    pub fn node(&self, node: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&node)
    }

    /// All nodes of a shard, validators first.
    pub fn nodes(&self, shard: ShardId) -> impl Iterator<Item = NodeId> + use<> {
        let known = shard.0 < self.config.shards;
        let count = if known {
            self.config.validators + self.config.explorers
        } else {
            0
        };
        (0..count).map(move |index| NodeId { shard, index })
    }

    /// The validators of a shard.
    pub fn validators(&self, shard: ShardId) -> impl Iterator<Item = NodeId> + use<> {
        self.nodes(shard).take(usize::from(self.config.validators))
    }

    /// The epoch of a height.
    pub fn epoch_of(&self, height: Height) -> Epoch {
        height / self.config.epoch_length
    }

    /// Whether a new committee makes the block at this height.
    pub fn is_epoch_start(&self, height: Height) -> bool {
        height.is_multiple_of(self.config.epoch_length)
    }

    /// The committee of a shard: its validators rotated by the epoch's number, as many as there are seats.
    pub fn committee(&self, shard: ShardId, epoch: Epoch) -> Committee {
        let validators = u64::from(self.config.validators);
        let first = epoch % validators;
        let seat = |position: u64| {
            let index = (first + position) % validators;
            Member {
                node: NodeId {
                    shard,
                    index: u16::try_from(index).unwrap_or(0),
                },
                power: 1,
            }
        };
        let seats = u64::from(self.config.committee_size.unwrap_or(self.config.validators));
        Committee {
            shard,
            epoch,
            members: (0..seats).map(seat).collect(),
        }
    }

    /// The state of a shard at genesis.
    pub fn state(&self, shard: ShardId) -> ChainState {
        let accounts = (0..self.config.faucets).map(|index| self.faucet_address(shard, index));
        let accounts = accounts.map(|address| (address, self.config.faucet_balance));
        ChainState::genesis(shard, accounts, usize::from(self.config.validators))
    }

    /// The genesis block of a shard. It has no certificate; every node has it from here.
    pub fn block(&self, shard: ShardId) -> Block {
        let mut block = Block {
            header: Header {
                shard,
                height: self.config.initial_height,
                view: self.config.initial_height,
                epoch: self.epoch_of(self.config.initial_height),
                leader: self
                    .committee(shard, self.epoch_of(self.config.initial_height))
                    .at(0),
                timestamp_ms: self.config.timestamp_ms,
                parent: self.hash,
                state_root: self.state(shard).root(),
                body_root: Hash::ZERO,
                sent: Vec::new(),
                received: Vec::new(),
                last_commit: None,
            },
            transactions: Vec::new(),
            incoming: Vec::new(),
            crosslinks: Vec::new(),
        };
        block.header.body_root = block.body_root();
        block
    }

    /// Signatures as `node` makes them; none if there is no such node.
    pub fn bls(&self, node: NodeId) -> Option<Bls> {
        self.node(node)?;
        let keys = self.nodes.iter().map(|(node, record)| (*node, record.key));
        Some(Bls::new(
            SecretKey::from_seed(&self.config.seed, node),
            keys,
        ))
    }

    /// The key of an account that owns value at genesis.
    pub fn faucet_key(&self, shard: ShardId, index: u16) -> SigningKey {
        SigningKey::from_bytes(&Hash::of_value("faucet key", &(&self.config.seed, shard, index)).0)
    }

    /// The address of that account.
    pub fn faucet_address(&self, shard: ShardId, index: u16) -> Address {
        Address::of_key(&TransactionKey(
            self.faucet_key(shard, index).verifying_key().to_bytes(),
        ))
    }
}

fn check(config: &GenesisConfig) -> Result<(), GenesisError> {
    let within = |field, value: u64, min: u64, max: u64| {
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            Err(GenesisError::OutOfRange {
                field,
                value,
                min,
                max,
            })
        }
    };
    let validators = u64::from(config.validators);
    within("shards", config.shards.into(), 1, MAX_SHARDS.into())?;
    within("validators", validators, 1, MAX_NODES.into())?;
    within(
        "explorers",
        config.explorers.into(),
        0,
        u64::from(MAX_NODES) - validators,
    )?;
    within(
        "committee_size",
        config.committee_size.map_or(validators, u64::from),
        1,
        validators,
    )?;
    within("epoch_length", config.epoch_length, 1, u64::MAX)?;
    within("initial_height", config.initial_height, 0, u64::MAX / 2)?;
    within("block_reward", config.block_reward, 0, MAX_BLOCK_REWARD)?;
    let owners = u64::from(config.faucets) * u64::from(config.shards);
    within(
        "faucet_balance",
        config.faucet_balance,
        0,
        MAX_SUPPLY / owners.max(1),
    )
}
