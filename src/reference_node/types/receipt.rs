//! Value on its way from one shard to another.

use super::{Address, Amount, Certificate, Hash, Header, SentRecord, ShardId};
use serde::{Deserialize, Serialize};

/// One cross-shard transfer, debited on the source shard and not yet credited on the destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction that made it.
    pub transaction: Hash,
    /// The account that was debited on the source shard.
    pub from: Address,
    /// The account to credit on the destination shard.
    pub to: Address,
    /// Value moved.
    pub amount: Amount,
}

/// All receipts that one source block has for one destination, with the proof that the block is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBatch {
    /// The shard to credit.
    pub destination: ShardId,
    /// The receipts, in the order of execution.
    pub receipts: Vec<Receipt>,
    /// The source block's header; its record for `destination` commits to number and content of the batch.
    pub header: Header,
    /// The commit certificate of the source block.
    pub certificate: Certificate,
}

impl ReceiptBatch {
    /// The source shard.
    pub fn source(&self) -> ShardId {
        self.header.shard
    }

    /// The batch's number among all from its source to its destination, from 0; none if the header knows of no batch.
    pub fn sequence(&self) -> Option<u64> {
        let record = self.record()?;
        record.batch?;
        record.next_sequence.checked_sub(1)
    }

    /// What the source header says about the destination.
    pub fn record(&self) -> Option<&SentRecord> {
        self.header
            .sent
            .iter()
            .find(|record| record.destination == self.destination)
    }
}

/// The commitment of a source block to the receipts for one destination.
pub fn receipts_root(receipts: &[Receipt]) -> Hash {
    Hash::of_value("receipts", receipts)
}
