//! What nodes tell of themselves beside their heads: figures of their metrics page, sums of their ledger, positions by
//! other sources than RPC, and what their log says in summary.
//!
//! All of it is optional: a chain tells what it can, and what is missing is judged by nobody.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Height, NodeName, ShardId, ViewId},
    time::micros,
};

/// What a block holds, as far as its chain tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlockContent {
    /// Transactions in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactions: Option<u32>,
    /// Receipts of other shards that it executed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receipts: Option<u32>,
    /// Which validators signed the block *before* it: hex; the lowest bit of the first byte is the shard's first one.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "super::event::repeated_option"
    )]
    pub signed: Option<Arc<str>>,
}

/// Where a position was read, beside RPC, whose positions are `Heads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The node's metrics page.
    Metrics,
    /// A line of its log.
    Log,
    /// Its disk, read aside.
    Disk,
}

/// Where a node stands, by another source than its RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The node.
    pub node: NodeName,
    /// Where it was read.
    pub origin: Origin,
    /// Height of its newest block.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub height: Option<Height>,
    /// Height under agreement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreeing: Option<Height>,
    /// View under agreement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view: Option<ViewId>,
    /// Hash of its newest block, lower-case hex without prefix.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<Arc<str>>,
    /// How long ago it stood there: a disk that was copied is read later.
    #[serde(with = "micros", skip_serializing_if = "Duration::is_zero", default)]
    pub age: Duration,
}

/// Figures of a node's metrics page, by the names that its profile gives. Counters count since the node's process
/// started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The node; who reads the page does not know it and leaves the default out.
    pub node: Option<NodeName>,
    /// Transactions that wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<u64>,
    /// Those of them that the next block could have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ready: Option<u64>,
    /// Transactions that the load generator made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub made: Option<u64>,
    /// ... that it held back, because the chain took none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_back: Option<u64>,
    /// ... that it should have made and was too late for: its own fault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missed: Option<u64>,
    /// ... that a block has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub included: Option<u64>,
    /// Age of the oldest one that no block has, in microseconds; 0 if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<u64>,
    /// How long inclusion took: upper bound in microseconds and how many lay in that step; empty steps are left out.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub inclusion: Vec<(u64, u64)>,
    /// Peers of the node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peers: Option<u64>,
    /// Calls that made writes durable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub syncs: Option<u64>,
    /// Time spent in them, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sync_time: Option<u64>,
}

/// What one node's ledger adds up to after one block. Values are in the chain's smallest unit, modulo 2^64: only
/// differences count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The node; a dialect does not know it and leaves the default out.
    pub node: Option<NodeName>,
    /// After this block.
    pub height: Option<Height>,
    /// Digest of what the node holds, hex, as much of it as is needed to tell two apart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<Arc<str>>,
    /// What its block says that the digest is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub block_state: Option<Arc<str>>,
    /// Transactions executed since genesis.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transfers: Option<u64>,
    /// Sum of all balances.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub balance: Option<u64>,
    /// Rewards paid since genesis.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rewards: Option<u64>,
    /// Batches of receipts made for each other shard, and their value.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sent: Vec<(ShardId, u64, u64)>,
    /// Batches of receipts executed of each other shard, and their value.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub received: Vec<(ShardId, u64, u64)>,
    /// The newest block of each other shard that this one took note of.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub links: Vec<(ShardId, Height)>,
}

/// A data disk that was filled before its node was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLevel {
    /// Whose; who filled it does not know that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Bytes of the file system.
    pub size: u64,
    /// Bytes used before.
    pub before: u64,
    /// Bytes used since.
    pub used: u64,
    /// In how many pieces a file was that was written before; none where the file system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces_before: Option<Pieces>,
    /// The same since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Pieces>,
}

/// A file and in how many pieces it is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// Bytes of the file.
    pub bytes: u64,
    /// Pieces.
    pub extents: u32,
}
