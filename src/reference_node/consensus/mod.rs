//! The FBFT consensus core.

mod config;
mod messages;

pub use config::ConsensusConfig;
pub use messages::{
    CommittedBlock, HeadStatus, Input, Lock, Message, Micros, Mode, NewView, Output, Payload, PersistedView, Proposal, Recovered,
    RoundPhase, Snapshot, Status, ViewChangeVote, Vote, Write, WriteId,
};
