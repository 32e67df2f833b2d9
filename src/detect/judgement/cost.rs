//! What watching cost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::micros;

/// What watching cost during the soak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CostView {
    /// Cost entries seen.
    pub samples: u64,
    /// Share of one core: canary, watcher, samplers and helper together.
    pub cpu_share: f64,
    /// ... of this program.
    pub canary_cpu_share: f64,
    /// ... of the watcher.
    pub watcher_cpu_share: f64,
    /// ... of the samplers.
    pub samplers_cpu_share: f64,
    /// ... of helper containers.
    pub helper_cpu_share: f64,
    /// Memory at the last entry, all together, in bytes.
    pub memory: u64,
    /// Most memory, all together, in bytes.
    pub memory_peak: u64,
    /// How memory grew, all together; `None` with too few entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_slope: Option<MemorySlope>,
    /// The engine's share of one core while watching; `None` where it cannot be seen.
    pub engine_cpu_share: Option<f64>,
    /// The engine's share of one core while watching was switched off on purpose.
    pub engine_cpu_share_unwatched: Option<f64>,
    /// Bytes of the run directory.
    pub run_directory: u64,
    /// Longest time an observation waited before it was written.
    #[serde(with = "micros")]
    pub lag: Duration,
    /// Observations thrown away because a queue was full.
    pub dropped: u64,
    /// Whether watching slows the network, where the plan asked (`observer_ab`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer: Option<ObserverView>,
    /// Whether all of it kept the plan's budget.
    pub within_budget: bool,
}

/// How memory grew over time: a robust slope with its interval at 95 %, in bytes an hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemorySlope {
    /// The slope.
    pub bytes_per_hour: f64,
    /// Its lower bound.
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
}

/// The network's block interval with and without watching, by turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ObserverView {
    /// Turns, each a stretch without watching and one with it.
    pub turns: u64,
    /// Mean block interval with watching, in milliseconds.
    pub watched_interval: f64,
    /// ... without.
    pub unwatched_interval: f64,
    /// How much longer it is with watching, as a share of that without.
    pub difference: f64,
    /// The interval of the difference at 95 %, over the turns.
    pub interval: (f64, f64),
}
