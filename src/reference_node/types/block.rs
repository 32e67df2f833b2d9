//! Blocks and what other shards get to see of them.

use super::{
    Amount, Certificate, Epoch, Hash, Height, NodeId, ReceiptBatch, ShardId, Transaction, View,
    encode,
};
use serde::{Deserialize, Serialize};

/// What a shard has sent to one destination, counted from genesis to the end of the block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SentRecord {
    /// The destination shard.
    pub destination: ShardId,
    /// The number that the next batch will have, so the number of batches so far.
    pub next_sequence: u64,
    /// The value of all of them.
    pub value: Amount,
    /// The root of this block's own batch (number `next_sequence - 1`), if it made one.
    pub batch: Option<Hash>,
}

/// What a shard has received from one source, counted from genesis to the end of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReceivedRecord {
    /// The source shard.
    pub source: ShardId,
    /// The number of the batch that is expected next: all before it are executed.
    pub next_sequence: u64,
    /// The value of all of them.
    pub value: Amount,
}

/// The part of a block that is signed (by way of its hash) and that proves the rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Header {
    /// The shard.
    pub shard: ShardId,
    /// The block's number.
    pub height: Height,
    /// The view in which the block was first proposed. A later view may finish it unchanged.
    pub view: View,
    /// The epoch of `height`.
    pub epoch: Epoch,
    /// The leader who made the block.
    pub leader: NodeId,
    /// Wall time in milliseconds since 1970, growing from block to block.
    pub timestamp_ms: u64,
    /// Hash of the block before; at genesis the hash of the genesis parameters.
    pub parent: Hash,
    /// The state after the block.
    pub state_root: Hash,
    /// Commitment to transactions, incoming batches and crosslinks.
    pub body_root: Hash,
    /// Outgoing receipts per destination, ascending; destinations never sent to are left out.
    pub sent: Vec<SentRecord>,
    /// Incoming receipts per source, ascending; sources never received from are left out.
    pub received: Vec<ReceivedRecord>,
    /// The commit certificate of the parent; none only right after genesis.
    pub last_commit: Option<Certificate>,
}

impl Header {
    /// The block's hash.
    pub fn hash(&self) -> Hash {
        Hash::of_value("header", self)
    }

    /// The number of the batch that `source` must send next, as of this block.
    pub fn next_expected_from(&self, source: ShardId) -> u64 {
        self.received
            .iter()
            .find(|record| record.source == source)
            .map_or(0, |record| record.next_sequence)
    }
}

/// A header and its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Transfers executed on this shard, in order.
    pub transactions: Vec<Transaction>,
    /// Receipts from other shards, in the order of their numbers per source.
    pub incoming: Vec<ReceiptBatch>,
    /// Final headers of other shards: all of them on the beacon, elsewhere those that acknowledge receipts.
    pub crosslinks: Vec<CrossLink>,
}

impl Block {
    /// The most bytes that a block takes on the wire, so that sixteen fit a message of 4 MiB.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// The most transactions of a block.
    pub const MAX_TRANSACTIONS: usize = 500;
    /// The most batches of a block: each costs every validator a pairing.
    pub const MAX_INCOMING: usize = 8;
    /// The most crosslinks of a block: each costs every validator a pairing.
    pub const MAX_CROSSLINKS: usize = 8;

    /// The block's hash, which is its header's.
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }

    /// The commitment to the body that the header must carry.
    pub fn body_root(&self) -> Hash {
        Hash::of(&[
            b"body\0",
            Hash::of_value("transactions", &self.transactions).as_bytes(),
            Hash::of_value("incoming", &self.incoming).as_bytes(),
            Hash::of_value("crosslinks", &self.crosslinks).as_bytes(),
        ])
    }

    /// Size of the canonical encoding in bytes.
    pub fn size(&self) -> usize {
        encode(self).len()
    }
}

/// A header of another shard with the certificate that makes it final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossLink {
    /// The header.
    pub header: Header,
    /// Its commit certificate.
    pub certificate: Certificate,
}
