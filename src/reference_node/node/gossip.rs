//! What nodes say to each other beside consensus: transfers inside a shard, receipts and final headers between
//! shards. All of it is best effort; the relay repeats what matters.

use serde::{Deserialize, Serialize};

use crate::reference_node::network::{FRAME_LIMIT, Frame, Kind};
use crate::reference_node::types::{
    CrossLink, DecodeError, ReceiptBatch, Transaction, decode, encode,
};

/// Transfers in one message.
pub(super) const TRANSACTIONS: usize = 256;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Gossip {
    /// Transfers for the pool of the same shard.
    Transactions(Vec<Transaction>),
    /// Receipts for the receiver's shard.
    Batch(Box<ReceiptBatch>),
    /// A final header of another shard, or of the sender's own when receiver and sender are of different shards.
    CrossLink(Box<CrossLink>),
}

impl Gossip {
    /// None when it is too long for a frame, which no honest content is.
    pub(super) fn frame(&self) -> Option<Frame> {
        Frame::new(Kind::Gossip, &encode(self))
    }

    pub(super) fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        decode(payload, FRAME_LIMIT)
    }
}
