//! Making a block from what is offered. What does not fit or is not valid is left out, so that nobody who feeds a
//! leader can make its block a bad one.

use super::execution::Execution;
use super::{BlockError, ChainState, Rules, TransactionError};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::types::{
    Block, Certificate, CrossLink, Hash, Header, NodeId, ReceiptBatch, Transaction, View, encode,
};
use std::cmp::Reverse;

/// Room kept for the header: records for all other shards of the largest network and two certificates' worth.
const HEADER_BYTES: usize = 8 * 1024;

/// Failed pairings that a leader pays for offers that are not proven; honest offers need none.
const MAX_FAILED_OFFERS: usize = 4;

/// What a leader may put in its block, in order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// From the mempool; those of one sender in order of their nonces.
    pub transactions: Vec<Transaction>,
    /// From other shards, in any order.
    pub incoming: Vec<ReceiptBatch>,
    /// From other shards, in any order.
    pub crosslinks: Vec<CrossLink>,
}

/// What a leader's block is made of.
#[derive(Debug, Clone)]
pub struct Proposal<'a> {
    /// The head.
    pub parent: &'a Header,
    /// The state after it.
    pub state: &'a ChainState,
    /// The head's commit certificate; none only when the head is genesis.
    pub last_commit: Option<Certificate>,
    /// The leader of the view.
    pub leader: NodeId,
    /// The view.
    pub view: View,
    /// Wall time in milliseconds since 1970. The block gets the millisecond after its parent's if this is not later.
    pub timestamp_ms: u64,
    /// What may go into it.
    pub payload: &'a Payload,
}

/// A block ready to be announced.
#[derive(Debug, Clone)]
pub struct Built {
    /// The block.
    pub block: Block,
    /// The state after it.
    pub state: ChainState,
    /// Transactions that were offered and refused, for the mempool. Those that found no room are not among them.
    pub rejected: Vec<(Transaction, TransactionError)>,
}

impl<C: Crypto> Rules<'_, C> {
    /// Builds the block after the proposal's parent.
    ///
    /// # Errors
    /// Only when the last commit certificate is not the parent's: nothing that is offered as payload is an error.
    pub fn build_block(&self, proposal: Proposal<'_>) -> Result<Built, BlockError> {
        let Proposal {
            parent,
            state,
            last_commit,
            leader,
            view,
            timestamp_ms,
            payload,
        } = proposal;
        let mut execution = Execution::begin(*self, parent, state, last_commit.as_ref(), true)?;
        let mut room = Room {
            bytes: Block::MAX_BYTES - HEADER_BYTES,
        };
        let crosslinks = pick_crosslinks(&mut execution, &payload.crosslinks, &mut room);
        let incoming = pick_batches(&mut execution, &payload.incoming, &mut room);
        let mut rejected = Vec::new();
        let transactions = pick_transactions(
            &mut execution,
            &payload.transactions,
            &mut room,
            &mut rejected,
        );
        let (state, sent, received) = execution.finish();
        let height = parent.height + 1;
        let header = Header {
            shard: parent.shard,
            height,
            view,
            epoch: self.genesis.epoch_of(height),
            leader,
            timestamp_ms: timestamp_ms.max(parent.timestamp_ms + 1),
            parent: parent.hash(),
            state_root: state.root(),
            body_root: Hash::ZERO,
            sent,
            received,
            last_commit,
        };
        let mut block = Block {
            header,
            transactions,
            incoming,
            crosslinks,
        };
        block.header.body_root = block.body_root();
        Ok(Built {
            block,
            state,
            rejected,
        })
    }
}

/// Bytes left in the block.
struct Room {
    bytes: usize,
}

impl Room {
    /// Takes the value's bytes; the caller has seen that there are so many.
    fn take<T: serde::Serialize>(&mut self, value: &T) {
        self.bytes = self.bytes.saturating_sub(encode(value).len());
    }
}

/// The newest useful header of each shard.
fn pick_crosslinks<C: Crypto>(
    execution: &mut Execution<'_, C>,
    offers: &[CrossLink],
    room: &mut Room,
) -> Vec<CrossLink> {
    let mut offers: Vec<&CrossLink> = offers.iter().collect();
    offers.sort_by_key(|link| (link.header.shard, Reverse(link.header.height)));
    let (mut picked, mut failed) = (Vec::new(), 0);
    for link in offers {
        if picked.len() == Block::MAX_CROSSLINKS || failed == MAX_FAILED_OFFERS {
            break;
        }
        if !execution.state().wants_crosslink(&link.header) {
            continue;
        }
        if encode(link).len() > room.bytes {
            continue;
        }
        match execution.link(link) {
            Ok(()) => {
                room.take(link);
                picked.push(link.clone());
            }
            Err(_) => failed += 1,
        }
    }
    picked
}

/// The next batches of all sources, in turn, so that a long queue of one source does not hold up the others.
fn pick_batches<C: Crypto>(
    execution: &mut Execution<'_, C>,
    offers: &[ReceiptBatch],
    room: &mut Room,
) -> Vec<ReceiptBatch> {
    let distance = |batch: &ReceiptBatch| {
        let sequence = batch.sequence()?;
        sequence.checked_sub(execution.state().expected_from(batch.source()))
    };
    let mut offers: Vec<(u64, &ReceiptBatch)> = offers
        .iter()
        .filter_map(|batch| Some((distance(batch)?, batch)))
        .collect();
    offers.sort_by_key(|(distance, batch)| (*distance, batch.source()));
    let (mut picked, mut failed) = (Vec::new(), 0);
    for (_, batch) in offers {
        if picked.len() == Block::MAX_INCOMING || failed == MAX_FAILED_OFFERS {
            break;
        }
        if batch.sequence() != Some(execution.state().expected_from(batch.source())) {
            continue;
        }
        if encode(batch).len() > room.bytes {
            break;
        }
        match execution.receive(batch) {
            Ok(()) => {
                room.take(batch);
                picked.push(batch.clone());
            }
            Err(_) => failed += 1,
        }
    }
    picked
}

fn pick_transactions<C: Crypto>(
    execution: &mut Execution<'_, C>,
    offers: &[Transaction],
    room: &mut Room,
    rejected: &mut Vec<(Transaction, TransactionError)>,
) -> Vec<Transaction> {
    let mut picked = Vec::new();
    for transaction in offers {
        if picked.len() == Block::MAX_TRANSACTIONS || room.bytes < Transaction::MAX_BYTES {
            break;
        }
        match execution.transact(transaction) {
            Ok(()) => {
                room.take(transaction);
                picked.push(transaction.clone());
            }
            Err(reason) => rejected.push((transaction.clone(), reason)),
        }
    }
    picked
}
