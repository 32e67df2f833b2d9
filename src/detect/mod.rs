//! The detectors: pure state machines over the journal.
//!
//! ```text
//! entry --> World (folded once) --> each detector --> Findings --> changes for the display, evidence, the verdict
//! ```
//!
//! No clock but the entries', no file, no socket. Live and afterwards the same code reads the same lines.

mod blind;
mod block_time_creep;
mod canary_overloaded;
pub mod causes;
mod commit_signatures_lost;
mod cpu_creep;
mod crash;
mod crash_loop;
mod cross_shard_stall;
mod db_corruption;
mod detector;
mod disk_error;
mod disk_exhaustion_forecast;
mod disk_full;
mod disk_growth;
mod disk_hang;
mod disk_read_only;
mod double_proposal;
mod empty_blocks;
pub mod evidence;
mod excuses;
pub mod expectation;
pub mod explain;
mod fault_ineffective;
mod fd_growth;
pub mod finding;
pub mod findings;
mod fork;
mod ghost_bytes;
mod growth;
mod height_mismatch;
mod height_regression;
mod hung;
mod idle_validator;
mod inodes_full;
mod invalid_announce;
pub mod judge;
pub mod judgement;
pub mod kept;
mod leader_flapping;
mod log_flood;
mod log_lines_lost;
mod log_template_storm;
mod log_template_vanished;
mod low_signers;
mod measure;
mod memory_growth;
mod never_started;
mod new_log_template;
mod no_leader;
mod no_recovery;
mod node_lagging;
mod oom_kill;
pub mod outlook;
mod slow_blocks;
mod slow_fsync;
mod stall;
mod state_mismatch;
pub mod statistics;
mod stuck_syncing;
mod templates;
#[cfg(test)]
mod tests;
mod tx_lost;
mod tx_not_included;
mod value_not_conserved;
mod view_change_loop;
mod view_change_storm;
pub mod world;

pub use detector::{DETECTORS, Detector, DetectorInfo, Wants, newer_than};
pub use finding::{Finding, Severity};
pub use findings::{ChangeKind, FindingChange, Findings};
pub use judge::{Judge, plan_of};
pub use judgement::{Judgement, NodeView, ShardView};
