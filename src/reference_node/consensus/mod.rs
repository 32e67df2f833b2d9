//! The FBFT consensus core.

mod messages;

pub use messages::{
    CommittedBlock, HeadStatus, Input, Lock, Message, Micros, Mode, NewView, Output, PersistedView, Proposal, Recovered,
    RoundPhase, Snapshot, Status, ViewChangeVote, Vote, Write, WriteId,
};
