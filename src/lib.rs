//! canarynet: canary testnets with accelerated block time, in containers.
//!
//! Facts are written to one journal, by one writer, in one order; everything that is concluded is
//! computed from the journal. The modules below are in reading order; `ARCHITECTURE.md` draws the picture.

pub mod exit;
pub mod ids;
pub mod time;

pub mod journal;

pub mod plan;
pub mod profile;

pub mod detect;
pub mod report;
pub mod verdict;

pub mod fault;

pub mod disk;
pub mod engine;
pub mod probe;

pub mod cli;
pub mod run;

pub mod reference_node;
