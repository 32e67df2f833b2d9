//! Checking a block: cheap things first, signatures and execution last.

use super::execution::{Check, Execution};
use super::{BlockError, ChainState, MAX_CLOCK_DRIFT_MS, Rules};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::types::{Block, Header};

impl<C: Crypto> Rules<'_, C> {
    /// Executes `block` on the state after `parent` and returns the state after it.
    ///
    /// # Errors
    /// The first thing that is wrong with the block. `state` is untouched in any case.
    pub fn validate_block(
        &self,
        parent: &Header,
        state: &ChainState,
        block: &Block,
        check: Check,
    ) -> Result<ChainState, BlockError> {
        self.check_header(parent, state, &block.header)?;
        if let Check::Proposal { now_ms: now } = check {
            let found = block.header.timestamp_ms;
            // The earliest date after the parent is always good: else a clock that is set back would stop the chain until
            // it shows the parent's date again.
            let earliest = parent.timestamp_ms.saturating_add(1);
            if found > now.saturating_add(MAX_CLOCK_DRIFT_MS) && found > earliest {
                return Err(BlockError::TimestampInFuture { now, found });
            }
        }
        check_bounds(block)?;
        if block.header.body_root != block.body_root() {
            return Err(BlockError::WrongBodyRoot);
        }
        let verify = check != Check::Final;
        let mut execution = Execution::begin(
            *self,
            parent,
            state,
            block.header.last_commit.as_ref(),
            verify,
        )?;
        block
            .crosslinks
            .iter()
            .try_for_each(|link| execution.link(link))?;
        block
            .incoming
            .iter()
            .try_for_each(|batch| execution.receive(batch))?;
        for (position, transaction) in block.transactions.iter().enumerate() {
            execution
                .transact(transaction)
                .map_err(|reason| BlockError::BadTransaction {
                    position,
                    transaction: transaction.hash(),
                    reason,
                })?;
        }
        let (state, sent, received) = execution.finish();
        if block.header.sent != sent || block.header.received != received {
            return Err(BlockError::WrongReceipts);
        }
        if block.header.state_root != state.root() {
            return Err(BlockError::WrongStateRoot {
                executed: state.root(),
                found: block.header.state_root,
            });
        }
        Ok(state)
    }

    fn check_header(
        &self,
        parent: &Header,
        state: &ChainState,
        header: &Header,
    ) -> Result<(), BlockError> {
        let expected = state.shard();
        if header.shard != expected {
            return Err(BlockError::WrongShard {
                expected,
                found: header.shard,
            });
        }
        let expected = parent.height + 1;
        if header.height != expected {
            return Err(BlockError::WrongHeight {
                expected,
                found: header.height,
            });
        }
        let expected = parent.hash();
        if header.parent != expected {
            return Err(BlockError::WrongParent {
                expected,
                found: header.parent,
            });
        }
        if header.view <= parent.view {
            return Err(BlockError::ViewNotAboveParent {
                parent: parent.view,
                found: header.view,
            });
        }
        let expected = self.genesis.epoch_of(header.height);
        if header.epoch != expected {
            return Err(BlockError::WrongEpoch {
                expected,
                found: header.epoch,
            });
        }
        if self
            .genesis
            .committee(header.shard, header.epoch)
            .position(header.leader)
            .is_none()
        {
            return Err(BlockError::LeaderNotInCommittee(header.leader));
        }
        if header.timestamp_ms <= parent.timestamp_ms {
            return Err(BlockError::TimestampNotAfterParent {
                parent: parent.timestamp_ms,
                found: header.timestamp_ms,
            });
        }
        Ok(())
    }
}

fn check_bounds(block: &Block) -> Result<(), BlockError> {
    let within = |what, count: usize, limit: usize| {
        if count <= limit {
            Ok(())
        } else {
            Err(BlockError::TooMany { what, count, limit })
        }
    };
    within(
        "transactions",
        block.transactions.len(),
        Block::MAX_TRANSACTIONS,
    )?;
    within("batches", block.incoming.len(), Block::MAX_INCOMING)?;
    within("crosslinks", block.crosslinks.len(), Block::MAX_CROSSLINKS)?;
    within("bytes", block.size(), Block::MAX_BYTES)
}
