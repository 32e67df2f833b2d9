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
pub mod events;
pub mod heads;
pub mod keeper;
pub mod signals;
pub mod sink;

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
