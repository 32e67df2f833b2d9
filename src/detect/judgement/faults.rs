//! What became of injected faults, and of the canary's tests of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{NodeName, ShardId},
    journal::text::clean,
    plan::SoakTime,
    time::{Elapsed, micros},
};

/// What became of one injected fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultView {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The nodes that it was done to.
    pub targets: Vec<String>,
    /// Their shards.
    pub shards: Vec<ShardId>,
    /// When it fired.
    pub requested: Elapsed,
    /// When all of it was acknowledged.
    pub acknowledged: Option<Elapsed>,
    /// Whether its effect was seen; `None` if that was never read.
    pub effective: Option<bool>,
    /// What was read back.
    pub proof: String,
    /// Why it did not fire.
    pub skipped: Option<String>,
    /// When it was healed.
    pub healed: Option<Elapsed>,
    /// What failed in healing.
    pub heal_failed: Option<String>,
    /// From the heal to the first block of each of its shards.
    pub first_block: Option<SoakTime>,
    /// From the heal until every node of its shards has the newest block.
    pub caught_up: Option<SoakTime>,
}

impl FaultView {
    pub(crate) fn new(id: &str, kind: &str, requested: Elapsed) -> Self {
        Self {
            id: clean(id, 64),
            kind: clean(kind, 64),
            targets: Vec::new(),
            shards: Vec::new(),
            requested,
            acknowledged: None,
            effective: None,
            proof: String::new(),
            skipped: None,
            healed: None,
            heal_failed: None,
            first_block: None,
            caught_up: None,
        }
    }
}

/// One fake stall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// Where.
    pub shard: ShardId,
    /// The nodes that were paused.
    pub nodes: Vec<NodeName>,
    /// From when.
    pub begins: Elapsed,
    /// Until when.
    pub ends: Option<Elapsed>,
    /// When the judge noticed the stall as critical.
    pub found: Option<Elapsed>,
}

/// What became of all faults of one kind. Times are those of faults that were effective.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KindView {
    /// The kind.
    pub kind: String,
    /// How often it was injected.
    pub fired: u64,
    /// ... and its effect was seen.
    pub effective: u64,
    /// How often it did not fire.
    pub skipped: u64,
    /// How often it was healed.
    pub healed: u64,
    /// From the heal to the first block of each of its shards.
    pub first_block: Spread,
    /// Heals after which a first block came later than the recovery budget, or never although it had its time.
    pub late: u64,
    /// ... of these, never.
    pub never_back: u64,
    /// From the heal until every node of its shards had the newest block.
    pub caught_up: Spread,
    /// Heals after which nodes never caught up although they had three recovery budgets for it.
    pub never_caught_up: u64,
}

/// A few times: median, 99th percentile and the longest, all zero where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Median.
    #[serde(with = "micros")]
    pub p50: Duration,
    /// 99 of 100 are at most this.
    #[serde(with = "micros")]
    pub p99: Duration,
    /// Longest.
    #[serde(with = "micros")]
    pub longest: Duration,
}

impl Spread {
    /// Of these times, in any order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share).ceil() as usize;
            times.get(place.max(1) - 1).copied().unwrap_or_default()
        };
        Self {
            count: times.len() as u64,
            p50: at(0.5),
            p99: at(0.99),
            longest: at(1.0),
        }
    }
}
