//! The chain of one shard as pure functions: state and block in, state or a precise error out.
//!
//! ```text
//!  parent header, state, transactions, batches, crosslinks        parent header, state, block
//!                        |                                                     |
//!                   build_block                                          validate_block
//!                        \___________________  Execution  ___________________/
//!                   rewards -> acknowledgements -> incoming receipts -> transactions
//!                                                 |
//!                                       new ChainState (old one untouched)
//! ```
//!
//! Building and checking run the same `Execution`, so a block that an honest leader builds is a block that every
//! honest validator accepts. A state is cheap to clone: consensus executes a block before it is final and drops the
//! result if another block wins.
//!
//! Value between shards. A cross-shard transfer debits its sender and adds a receipt to the block's batch for the
//! destination; batches of a pair of shards are numbered. The batch stays in the source's *outbox* until a final
//! header of the destination shows that it was executed. The destination executes batches in order of their numbers,
//! so each exactly once whatever is lost, repeated or reordered in between. Invariant over all shards: balances and
//! value in flight = genesis + rewards.
//!
//! What is not checked here: who leads which view. That is consensus's business; the chain only wants a leader with a
//! seat and a view above the parent's.

mod accounts;
mod build;
mod error;
mod execution;
mod outbox;
mod rows;
mod state;
mod validate;

pub use accounts::Account;
pub use build::{Built, Payload, Proposal};
pub use error::{BlockError, CertificateFault, LinkFault, StateError, TransactionError};
pub use execution::Check;
pub use rows::{StateChanges, StateRow};
pub use state::{ChainState, PairInFlight, SentTotal};

use super::crypto::Crypto;
use super::genesis::Genesis;

/// How far ahead of the local clock a block's timestamp may be, in milliseconds.
///
/// Harmony's figure for "timestamp too high"; clocks of one machine differ by far less.
pub const MAX_CLOCK_DRIFT_MS: u64 = 2_000;

/// The most batches to one destination that wait for their acknowledgement. Past it the source refuses transfers to
/// that destination: a shard that is down for minutes must not fill the others' states.
pub const MAX_OUTBOX_BATCHES: usize = 512;

/// The most receipts in those batches. With both bounds, and `MAX_ACCOUNTS`, a snapshot of a network of a few shards
/// stays below 4 MiB, the size of a message.
pub const MAX_OUTBOX_RECEIPTS: usize = 4_096;

/// The most accounts of a shard, so that strangers cannot grow a state without end.
pub const MAX_ACCOUNTS: usize = 32_768;

/// The beacon wants a new crosslink of a shard after this many of its blocks, or at once when receipts moved: each
/// costs every validator a pairing.
pub const CROSSLINK_INTERVAL: u64 = 4;

/// What blocks are built and checked by: the network's parameters and the signatures.
#[derive(Debug)]
pub struct Rules<'a, C: Crypto> {
    /// The network.
    pub genesis: &'a Genesis,
    /// Checks signatures.
    pub crypto: &'a C,
}

impl<C: Crypto> Clone for Rules<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Crypto> Copy for Rules<'_, C> {}

#[cfg(test)]
mod tests;
