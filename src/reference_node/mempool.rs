//! Transfers that wait for a block: bounded, in the order of their nonces per sender.
//!
//! Invariant: at most `CAPACITY` transfers, at most `PER_SENDER` of one sender, and of one sender and nonce the
//! first that came. What can never be executed any more (its nonce is used) goes with the block that used it; what no
//! block could have so far goes when it is too old.

use std::collections::{BTreeMap, VecDeque};

use super::chain::{ChainState, TransactionError};
use super::crypto::Crypto;
use super::types::{Address, Block, ShardId, Transaction};

/// Transfers in all: eight of the largest blocks, at 150 bytes each well below a megabyte.
const CAPACITY: usize = 4_096;
/// Transfers of one sender, so that nobody fills the pool alone.
const PER_SENDER: usize = 256;
/// How far above the next nonce a transfer may be.
const NONCE_AHEAD: u64 = PER_SENDER as u64;

/// Blocks that a transfer may wait for its sender to have the money, or for one before it that never came: more than
/// a burst or a lost message takes, and few enough that nobody fills the pool for good.
const WAITS_MOST: u64 = 1_000;

/// Blocks between two looks for those that wait in vain.
const LOOK: u64 = 100;

/// Why a transfer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedTransaction {
    /// It is executed elsewhere.
    #[error("transaction of another shard")]
    OtherShard,
    /// The receiver's shard does not exist.
    #[error("unknown destination shard")]
    UnknownShard,
    /// The sender's signature is wrong.
    #[error("invalid sender")]
    Signature,
    /// Its number is used already.
    #[error("nonce too low")]
    NonceTooLow,
    /// Its number is too far ahead.
    #[error("nonce too high")]
    NonceTooHigh,
    /// It moves nothing.
    #[error("amount is zero")]
    ZeroAmount,
    /// It is the sender's next, who has less than it moves.
    #[error("insufficient funds for transfer")]
    InsufficientBalance,
    /// A transfer with this sender and number waits already.
    #[error("already known")]
    Known,
    /// No room, in all or for this sender.
    #[error("transaction pool is full")]
    Full,
}

/// What a transfer is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Tip<'a, C> {
    /// State after the head.
    pub state: &'a ChainState,
    /// Height of the head.
    pub height: u64,
    /// Checks the sender's signature, and remembers good ones for the block that will carry them.
    pub crypto: &'a C,
}

struct Waiting {
    transaction: Transaction,
    /// Made or submitted here: this node sees to it that others have it.
    own: bool,
    /// Head at which it came, or was last sent to the others.
    since: u64,
    /// Head at which it came.
    came: u64,
}

impl Waiting {
    fn is_old(&self, height: u64) -> bool {
        height.saturating_sub(self.came) > WAITS_MOST
    }
}

/// The pool.
pub struct Mempool {
    shard: ShardId,
    shards: u16,
    senders: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    /// Senders in the order in which they came, for fairness between them.
    turns: VecDeque<Address>,
    size: usize,
}

/// How many transfers wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Ready for the next block.
    pub executable: usize,
    /// Waiting for an earlier one of the same sender.
    pub waiting: usize,
}

impl Mempool {
    /// An empty pool for a node of `shard` in a network of `shards`.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16) -> Self {
        Self {
            shard,
            shards,
            senders: BTreeMap::new(),
            turns: VecDeque::new(),
            size: 0,
        }
    }

    /// Takes a transfer, if it can be executed one day. `own` ones are sent to the others again while they wait.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn insert<C: Crypto>(
        &mut self,
        transaction: Transaction,
        own: bool,
        tip: &Tip<'_, C>,
    ) -> Result<(), RejectedTransaction> {
        if transaction.shard != self.shard {
            return Err(RejectedTransaction::OtherShard);
        }
        if transaction.to_shard.0 >= self.shards {
            return Err(RejectedTransaction::UnknownShard);
        }
        let sender = transaction.sender();
        let account = tip.state.account(&sender);
        let next = account.nonce;
        if transaction.amount == 0 {
            return Err(RejectedTransaction::ZeroAmount);
        }
        if transaction.nonce < next {
            return Err(RejectedTransaction::NonceTooLow);
        }
        if transaction.nonce - next >= NONCE_AHEAD {
            return Err(RejectedTransaction::NonceTooHigh);
        }
        // Of a later one nobody can say: those before it may bring the sender money.
        if transaction.nonce == next && transaction.amount > account.balance {
            return Err(RejectedTransaction::InsufficientBalance);
        }
        let known = self.senders.get(&sender);
        if known.is_some_and(|waiting| waiting.contains_key(&transaction.nonce)) {
            return Err(RejectedTransaction::Known);
        }
        if self.size >= CAPACITY || known.is_some_and(|waiting| waiting.len() >= PER_SENDER) {
            return Err(RejectedTransaction::Full);
        }
        // Last, because it costs a curve operation.
        if !tip.crypto.verify_transaction(&transaction) {
            return Err(RejectedTransaction::Signature);
        }
        let waiting = self.senders.entry(sender).or_insert_with(|| {
            self.turns.push_back(sender);
            BTreeMap::new()
        });
        waiting.insert(
            transaction.nonce,
            Waiting {
                transaction,
                own,
                since: tip.height,
                came: tip.height,
            },
        );
        self.size += 1;
        Ok(())
    }

    /// Transfers for the next block, at most `limit`, one of each sender in turn.
    #[must_use]
    pub fn select(&self, state: &ChainState, limit: usize) -> Vec<Transaction> {
        let mut ready: Vec<_> = self
            .turns
            .iter()
            .filter_map(|sender| {
                let next = state.account(sender).nonce;
                let run = self.senders.get(sender)?.range(next..).zip(next..);
                Some(
                    run.take_while(|((nonce, _), expected)| *nonce == expected)
                        .map(|((_, waiting), _)| waiting),
                )
            })
            .collect();
        let mut selected = Vec::new();
        while selected.len() < limit && !ready.is_empty() {
            ready.retain_mut(|run| match run.next() {
                Some(waiting) if selected.len() < limit => {
                    selected.push(waiting.transaction.clone());
                    true
                }
                _ => false,
            });
        }
        selected
    }

    /// Forgets what this block executed.
    pub fn committed(&mut self, block: &Block, state: &ChainState) {
        for transaction in &block.transactions {
            self.forget_used(&transaction.sender(), state);
        }
    }

    /// Forgets all that the state has used, after the chain moved by other means than single blocks.
    pub fn state_replaced(&mut self, state: &ChainState) {
        for sender in self.turns.clone() {
            self.forget_used(&sender, state);
        }
    }

    /// Forgets what a block could not have and never can, and what could not be paid for too long. What waits for
    /// another shard stays: that shard is late, not the sender.
    pub fn refused(&mut self, transactions: &[(Transaction, TransactionError)], height: u64) {
        for (transaction, reason) in transactions {
            let (sender, nonce) = (transaction.sender(), transaction.nonce);
            let waiting = self
                .senders
                .get(&sender)
                .and_then(|known| known.get(&nonce));
            let Some(waiting) = waiting.filter(|waiting| waiting.transaction == *transaction)
            else {
                continue;
            };
            let lasts = match reason {
                TransactionError::OutboxFull(_) | TransactionError::NonceTooHigh { .. } => true,
                reason => reason.may_pass_later() && !waiting.is_old(height),
            };
            if !lasts {
                self.forget(&sender, |at, _| at == nonce);
            }
        }
    }

    /// Forgets, every now and then, what has waited too long for one of the same sender that did not come.
    pub fn forget_stranded(&mut self, height: u64, state: &ChainState) {
        if !height.is_multiple_of(LOOK) {
            return;
        }
        for sender in self.turns.clone() {
            let next = self.next_nonce(&sender, state);
            self.forget(&sender, |nonce, waiting| {
                nonce > next && waiting.is_old(height)
            });
        }
    }

    fn forget(&mut self, sender: &Address, which: impl Fn(u64, &Waiting) -> bool) {
        let Some(waiting) = self.senders.get_mut(sender) else {
            return;
        };
        let before = waiting.len();
        waiting.retain(|nonce, waiting| !which(*nonce, waiting));
        self.size -= before - waiting.len();
        if waiting.is_empty() {
            self.senders.remove(sender);
            self.turns.retain(|known| known != sender);
        }
    }

    fn forget_used(&mut self, sender: &Address, state: &ChainState) {
        let next = state.account(sender).nonce;
        self.forget(sender, |nonce, _| nonce < next);
    }

    /// Own transfers that wait for more than `patience` blocks: to be sent to the others once more. At most `limit`.
    pub fn overdue(&mut self, height: u64, patience: u64, limit: usize) -> Vec<Transaction> {
        let waiting = self.senders.values_mut().flat_map(BTreeMap::values_mut);
        let overdue = waiting
            .filter(|waiting| waiting.own && height.saturating_sub(waiting.since) > patience);
        overdue
            .take(limit)
            .map(|waiting| {
                waiting.since = height;
                waiting.transaction.clone()
            })
            .collect()
    }

    /// The number after the last one of this sender that waits here without a gap, from the state's on.
    #[must_use]
    pub fn next_nonce(&self, sender: &Address, state: &ChainState) -> u64 {
        let next = state.account(sender).nonce;
        let Some(waiting) = self.senders.get(sender) else {
            return next;
        };
        next + waiting
            .range(next..)
            .zip(next..)
            .take_while(|((nonce, _), expected)| *nonce == expected)
            .count() as u64
    }

    /// Transfers that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Transfers that wait, by whether the next block could have them.
    #[must_use]
    pub fn sizes(&self, state: &ChainState) -> Sizes {
        let executable = self
            .senders
            .keys()
            .map(|sender| (self.next_nonce(sender, state) - state.account(sender).nonce) as usize)
            .sum();
        Sizes {
            executable,
            waiting: self.size.saturating_sub(executable),
        }
    }
}

#[cfg(test)]
mod tests;
