//! Alerts: whoever is to be told of findings is told while the run goes on, and told again when they end.
//!
//! ```text
//!  findings that changed --> Ledger (pure: what to tell, by key) --> Outbox (pure: to whom, when, again) --> send
//!                            never blocks the watch: a bounded queue before a task of its own
//! ```
//! The key of an alert is the plan's name and the finding's fingerprint, so that it is the same after a restart and
//! the next night: a receiver that knows it already tells nobody twice.

pub mod desk;
pub mod ledger;
pub mod notice;
pub mod outbox;
pub mod payload;
mod send;

pub use desk::Desk;
pub use ledger::Ledger;
pub use notice::{Notice, State};
