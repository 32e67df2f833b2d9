//! Why a block, a transaction or a stored state is refused.

use crate::reference_node::types::{Amount, Epoch, Hash, Height, NodeId, ShardId, View};

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is about something else: another phase, shard, height, block, or a view before the block's.
    #[error("is not a commit certificate of this block")]
    OtherPayload,
    /// The bitmap has a wrong length or bits beyond the committee.
    #[error("has a bitmap that does not fit the committee")]
    Bitmap,
    /// The signers are too few.
    #[error("lacks a quorum")]
    NoQuorum,
    /// The aggregate is not theirs.
    #[error("has an invalid signature")]
    Signature,
}

/// Why a block is refused. Nothing of a refused block takes effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block is of another shard.
    #[error("block of shard {found}, not {expected}")]
    WrongShard {
        /// Ours.
        expected: ShardId,
        /// The block's.
        found: ShardId,
    },
    /// Not the height after the parent's.
    #[error("block number {found}, expected {expected}")]
    WrongHeight {
        /// The parent's and one.
        expected: Height,
        /// The block's.
        found: Height,
    },
    /// Not a child of our parent.
    #[error("parent hash {found}, expected {expected}")]
    WrongParent {
        /// Our head.
        expected: Hash,
        /// The block's parent.
        found: Hash,
    },
    /// The view does not grow.
    #[error("view {found} is not above the parent's {parent}")]
    ViewNotAboveParent {
        /// The parent's view.
        parent: View,
        /// The block's view.
        found: View,
    },
    /// Not the epoch of its height.
    #[error("epoch {found}, expected {expected}")]
    WrongEpoch {
        /// By the height.
        expected: Epoch,
        /// The block's.
        found: Epoch,
    },
    /// The leader has no seat in the committee.
    #[error("leader {0} is not in the committee")]
    LeaderNotInCommittee(NodeId),
    /// The time does not grow.
    #[error("timestamp {found} ms is not after the parent's {parent} ms")]
    TimestampNotAfterParent {
        /// The parent's, in milliseconds since 1970.
        parent: u64,
        /// The block's.
        found: u64,
    },
    /// The time lies in the future.
    #[error("timestamp of block too high: {found} ms, the clock says {now} ms")]
    TimestampInFuture {
        /// Our clock, in milliseconds since 1970.
        now: u64,
        /// The block's.
        found: u64,
    },
    /// Over one of the bounds of a block.
    #[error("{count} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what: bytes, transactions, batches, crosslinks.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The body is not the one that the header commits to.
    #[error("body root does not match the body")]
    WrongBodyRoot,
    /// The certificate of the parent is missing, not wanted (right after genesis) or bad.
    #[error("no commit certificate of the parent")]
    MissingLastCommit,
    /// A certificate although the parent is genesis.
    #[error("commit certificate of the genesis block")]
    UnexpectedLastCommit,
    /// The certificate of the parent is bad.
    #[error("last commit certificate {0}")]
    BadLastCommit(CertificateFault),
    /// A crosslink is bad.
    #[error("crosslink of shard {shard} at {height}: {reason}")]
    BadCrossLink {
        /// The shard linked.
        shard: ShardId,
        /// The height linked.
        height: Height,
        /// In which way.
        reason: LinkFault,
    },
    /// A batch is bad.
    #[error("batch from shard {source_shard}: {reason}")]
    BadBatch {
        /// The shard it comes from.
        source_shard: ShardId,
        /// In which way.
        reason: LinkFault,
    },
    /// A transaction is bad.
    #[error("transaction {position} ({transaction}): {reason}")]
    BadTransaction {
        /// Its place in the block.
        position: usize,
        /// Its name.
        transaction: Hash,
        /// In which way.
        reason: TransactionError,
    },
    /// The numbers and roots of receipts are not those of the execution.
    #[error("receipt records of the header do not match the execution")]
    WrongReceipts,
    /// The state is not the one that the header commits to.
    #[error("state root {found}, executed {executed}")]
    WrongStateRoot {
        /// By our execution.
        executed: Hash,
        /// The block's.
        found: Hash,
    },
    /// An amount leaves its range. Genesis bounds the supply so that this cannot happen in an honest network.
    #[error("amount overflow")]
    Overflow,
}

/// What is wrong with a proof from another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// No such shard, or the own one.
    #[error("not another shard of this network")]
    NoOtherShard,
    /// The header's epoch is not that of its height.
    #[error("epoch does not fit the height")]
    WrongEpoch,
    /// The certificate is bad.
    #[error("certificate {0}")]
    Certificate(CertificateFault),
    /// Not newer than what is linked already.
    #[error("not newer than the one known")]
    NotNewer,
    /// Counters fell, or acknowledge what was never sent.
    #[error("receipt counters make no sense")]
    Counters,
    /// Meant for another shard.
    #[error("for another destination")]
    OtherDestination,
    /// Not the next number: executed already, or one before it is missing.
    #[error("number {found}, expected {expected}")]
    OutOfOrder {
        /// The next number.
        expected: u64,
        /// The batch's.
        found: u64,
    },
    /// The header does not commit to these receipts.
    #[error("receipts do not match the header")]
    WrongReceipts,
}

/// Why a transaction is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Executes on another shard.
    #[error("for another shard")]
    WrongShard,
    /// The receiver's shard does not exist.
    #[error("to an unknown shard")]
    UnknownShard,
    /// Moves nothing.
    #[error("amount is zero")]
    ZeroAmount,
    /// Executed already, or another took its place. It will never be valid again.
    #[error("nonce too low: {found}, the account is at {expected}")]
    NonceTooLow {
        /// The account's next.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// One before it is missing. It may become valid.
    #[error("nonce too high: {found}, the account is at {expected}")]
    NonceTooHigh {
        /// The account's next.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The sender owns less. It may become valid.
    #[error("insufficient balance: {balance}, needs {amount}")]
    InsufficientBalance {
        /// What it owns.
        balance: Amount,
        /// What it wants to send.
        amount: Amount,
    },
    /// The signature is not the sender's.
    #[error("invalid signature")]
    BadSignature,
    /// Too many receipts wait at the destination. It may become valid.
    #[error("too many unacknowledged batches to shard {0}")]
    OutboxFull(ShardId),
    /// The shard has all the accounts that it may have. It may become valid.
    #[error("no room for another account")]
    TooManyAccounts,
}

impl TransactionError {
    /// Whether the transaction may become valid later, so that a mempool may keep it.
    pub fn may_pass_later(self) -> bool {
        matches!(
            self,
            Self::NonceTooHigh { .. }
                | Self::InsufficientBalance { .. }
                | Self::OutboxFull(_)
                | Self::TooManyAccounts
        )
    }
}

/// Why rows are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A row's key is of no known form.
    #[error("unknown row key of {0} bytes")]
    UnknownKey(usize),
    /// A row's value does not decode or does not belong to its key.
    #[error("malformed row of kind {0}")]
    BadRow(u8),
    /// More rows than a state can have.
    #[error("more than {0} rows")]
    TooManyRows(usize),
    /// The row with the counters is missing.
    #[error("no row with the counters")]
    NoCounters,
    /// The state is not the one that the header commits to.
    #[error("state root {found}, the header says {expected}")]
    WrongRoot {
        /// By the header.
        expected: Hash,
        /// Of the rows.
        found: Hash,
    },
}
