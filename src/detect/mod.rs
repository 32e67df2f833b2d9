//! The detectors: pure state machines over the journal.

pub mod finding;
pub mod judgement;

pub use finding::{Finding, Severity};
pub use judgement::{Judgement, NodeView, ShardView};
