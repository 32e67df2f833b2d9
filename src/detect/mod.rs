//! The detectors: pure state machines over the journal.
//!
//! ```text
//! entry --> World (folded once) --> each detector --> Findings --> changes for the display, evidence, the verdict
//! ```
//!
//! No clock but the entries', no file, no socket. Live and afterwards the same code reads the same lines.

mod blind;
mod canary_overloaded;
mod commit_signatures_lost;
mod crash;
mod crash_loop;
mod db_corruption;
mod detector;
mod disk_error;
mod disk_full;
mod disk_read_only;
pub mod evidence;
mod excuses;
pub mod expectation;
mod fault_ineffective;
pub mod finding;
pub mod findings;
mod fork;
mod ghost_bytes;
mod height_regression;
mod hung;
mod inodes_full;
mod invalid_announce;
pub mod judge;
pub mod judgement;
mod log_lines_lost;
mod low_signers;
mod measure;
mod never_started;
mod no_leader;
mod no_recovery;
mod node_lagging;
mod oom_kill;
mod slow_blocks;
mod stall;
mod stuck_syncing;
#[cfg(test)]
mod tests;
mod view_change_loop;
mod view_change_storm;
pub mod world;

pub use detector::{DETECTORS, Detector, DetectorInfo};
pub use finding::{Finding, Severity};
pub use findings::{ChangeKind, FindingChange, Findings};
pub use judge::{Judge, plan_of};
pub use judgement::{Judgement, NodeView, ShardView};
