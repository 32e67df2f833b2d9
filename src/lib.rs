//! canarynet: canary testnets with accelerated block time, in containers.
//!
//! Facts are written to one journal, by one writer, in one order; everything that is concluded is
//! computed from the journal. The modules below are in reading order; `ARCHITECTURE.md` draws the picture.

pub mod alert;
pub mod exit;
pub mod ids;
pub mod time;

pub mod journal;

pub mod plan;
pub mod profile;

pub mod detect;
pub mod report;
pub mod verdict;

pub mod compare;

pub mod fault;

pub mod disk;
pub mod engine;
pub mod link;
pub mod probe;
pub mod serve;
pub mod watch;

pub mod matrix;
pub mod snapshot;

pub mod bundle;
pub mod certificate;
pub mod cli;
pub mod repro;
pub mod run;

pub mod reference_node;
