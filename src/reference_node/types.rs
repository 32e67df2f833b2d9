//! The words of the chain: identifiers, hashes, votes, certificates, blocks, transactions and receipts.
//!
//! Plain data with a canonical encoding (postcard) and nothing else: no signature is checked and no state is
//! known here. A hash is always taken over the re-encoded value, so a sloppy encoding on the wire cannot give
//! one block two hashes.

mod block;
mod bytes;
mod committee;
mod receipt;
mod transaction;
mod vote;

pub use block::{Block, CrossLink, Header, ReceivedRecord, SentRecord};
pub use bytes::{Address, Hash, PublicKey, Signature, TransactionKey, TransactionSignature};
pub use committee::{Committee, Member};
pub use receipt::{Receipt, ReceiptBatch, receipts_root};
pub use transaction::Transaction;
pub use vote::{Bitmap, Certificate, Phase, VotePayload};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use std::str::FromStr;

/// A block's number on its shard.
pub type Height = u64;
/// One leader's turn at a height. Views grow with heights and never go back.
pub type View = u64;
/// `height / epoch_length`: the time for which one committee serves.
pub type Epoch = u64;
/// Value in base units. The supply of a network stays far below the type's range; see `genesis`.
pub type Amount = u64;

/// One chain of the network. Shard 0 is the beacon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard that tracks all others by crosslinks.
    pub const BEACON: ShardId = ShardId(0);
}

impl fmt::Display for ShardId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A node of the network, named `s<shard>-n<index>`. The validators of a shard have the first indices, its
/// explorers the ones after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The shard that the node belongs to.
    pub shard: ShardId,
    /// Its position among the shard's nodes, from 0.
    pub index: u16,
}

impl NodeId {
    /// The node with this position on this shard.
    pub const fn new(shard: u16, index: u16) -> Self {
        NodeId {
            shard: ShardId(shard),
            index,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "s{}-n{:02}", self.shard, self.index)
    }
}

/// A node name that is not of the form `s<shard>-n<index>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node name has the form s<shard>-n<index>, for example s0-n03")]
pub struct NodeNameError;

impl FromStr for NodeId {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let (shard, index) = text
            .strip_prefix('s')
            .and_then(|rest| rest.split_once("-n"))
            .ok_or(NodeNameError)?;
        let number = |digits: &str| -> Result<u16, NodeNameError> {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NodeNameError);
            }
            digits.parse().map_err(|_| NodeNameError)
        };
        Ok(NodeId::new(number(shard)?, number(index)?))
    }
}

/// Why bytes from outside are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any honest value of this kind has.
    #[error("{size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes do not follow the encoding.
    #[error("malformed encoding")]
    Malformed(#[source] postcard::Error),
    /// The value ends before the bytes do.
    #[error("{0} bytes after the end of the value")]
    Trailing(usize),
}

/// The canonical encoding.
///
/// It cannot fail: all our types have a known length and no map with foreign keys.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("invariant: plain data of known length always encodes")
}

/// Reads one value that must fill `bytes`, at most `limit` of them.
///
/// # Errors
/// Says in which way the bytes are no such value. Never panics, whatever the bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge {
            size: bytes.len(),
            limit,
        });
    }
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Trailing(rest.len()))
    }
}
