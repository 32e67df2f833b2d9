//! The detectors: pure state machines over the journal.

pub mod finding;
