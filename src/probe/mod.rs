//! Probes: where observations come from.
//!
//! ```text
//!   watcher's container              each node's container            the engine
//!   watcher: polls RPC --+           sampler: resources, files --+    logs, events
//!   (heads: merges)      | exec      (one long exec)             |       |
//!                        v                                       v       v
//!   run_watcher ------------------- run_sampler ------------- run_logs  run_events     (tasks of the canary)
//!                        \               |                       |      /
//!                         +--------- Sink: one bounded queue ----------+
//! ```
//!
//! Nothing here judges. All that nodes say is hostile: it is bounded, counted and cleaned here, so that only harmless
//! text goes on. No probe waits for the journal, and no reader can stop a node.

pub mod access;
pub mod cgroup;
pub mod cost;
pub mod docker;
pub mod events;
pub mod heads;
pub mod keeper;
pub mod logs;
pub mod sampler;
pub mod signals;
pub mod sink;
pub mod watcher;

pub mod sampling;
pub mod spool;
pub mod unsynced;
pub mod watching;

mod probe_state;

/// What all probes of a run share; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context<A> {
    /// The way to the containers.
    pub access: A,
    /// Where observations go.
    pub sink: sink::Sink,
    /// What probes tell each other.
    pub signals: signals::Signals,
    /// What watching costs.
    pub costs: cost::CostBook,
    /// True while watching is switched off on purpose.
    pub paused: tokio::sync::watch::Receiver<bool>,
}

/// Says on standard error why a process inside a container ended.
#[expect(
    clippy::print_stderr,
    reason = "the processes inside containers have no other way to say why they ended"
)]
fn complain(who: &str, error: &dyn std::error::Error) {
    let mut line = format!("{who}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{}", crate::journal::text::clean(&line, 500));
}
