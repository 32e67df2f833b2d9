//! The reference node: one validator or explorer of one shard of an FBFT network modelled on Harmony's protocol.
//!
//! ```text
//!            TCP frames          timers        write results       transactions
//!                |                  |                |                  |
//!  network ------+------> node (the only task that steps the core) <----+---- mempool, load, rpc
//!                                   |  Input
//!                                   v
//!                        consensus::Consensus::step        pure: no clock, socket, file, randomness
//!                                   |  Output
//!        +-----------------+--------+---------+------------------+
//!        v                 v                  v                  v
//!     network            store               log              status (read by rpc and metrics)
//! ```
//!
//! The core and the chain (`consensus`, `chain`, `types`, `crypto`, `genesis`) never touch the world; the
//! shell around them (everything else here) never decides anything about the protocol.

pub mod chain;
pub mod consensus;
pub mod crypto;
pub mod genesis;
pub mod types;

pub mod config;
pub mod defects;
pub mod load;
pub mod log;
pub mod mempool;
pub mod metrics;
pub mod network;
pub mod node;
pub mod rpc;
pub mod store;
pub mod wall;

#[cfg(test)]
mod simulation;
