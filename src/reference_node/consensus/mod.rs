//! The FBFT consensus core.

mod agreement;
mod config;
mod core;
mod dispatch;
mod durable;
mod messages;
mod propose;
mod round;
mod sync;
mod view_change;
mod votes;

pub use self::core::Consensus;
pub use config::ConsensusConfig;
pub use messages::{
    CommittedBlock, HeadStatus, Input, Lock, Message, Micros, Mode, NewView, Output, PersistedView, Proposal,
    Recovered, RoundPhase, Snapshot, Status, ViewChangeVote, Vote, Write, WriteId,
};
