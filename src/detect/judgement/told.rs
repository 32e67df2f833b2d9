//! What is concluded from what nodes tell of themselves: traffic, who led and signed, forms of log lines, and what each
//! detector could judge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Intervals;
use crate::{ids::NodeName, time::micros};

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Blocks, heads and ledgers, by the nodes' RPC.
    Chain,
    /// The nodes' metrics pages.
    Metrics,
    /// The nodes' logs.
    Log,
    /// The samplers inside the nodes.
    Resources,
    /// The engine's events.
    Engine,
    /// The canary itself.
    Canary,
}

impl Source {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Metrics => "metrics",
            Self::Log => "log",
            Self::Resources => "resources",
            Self::Engine => "engine",
            Self::Canary => "canary",
        }
    }
}

/// What one detector could judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorView {
    /// Its id.
    pub id: String,
    /// The sources that it needs.
    pub needs: Vec<Source>,
    /// Least share of the watched time, over all nodes, in which it had all of them.
    pub judged: f64,
}

/// A validator's part in its shard over the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Participation {
    /// Blocks that it led.
    pub led: u64,
    /// Its turns as leader.
    pub turns: u64,
    /// Turns that a view change took from it.
    pub missed_turns: u64,
    /// Blocks that it signed, and blocks whose signers are known.
    pub signed: (u64, u64),
    /// Most blocks in a row that it did not sign: the longest gap between its rewards.
    pub longest_unsigned: u64,
}

impl Participation {
    /// Share of the blocks that it signed, which is its share of the rewards that it could have.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let (signed, told) = self.signed;
        (told > 0).then(|| signed as f64 / told as f64)
    }
}

/// What load generators did over the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoadView {
    /// Transactions made.
    pub made: u64,
    /// ... held back because the chain took none.
    pub held_back: u64,
    /// ... that the generators were too late for, on nodes that no fault was in the way of.
    pub missed: u64,
    /// ... that a block has.
    pub included: u64,
    /// Time until a block had one.
    pub inclusion: Latencies,
}

impl LoadView {
    /// Share of what was to be made that was offered to the chain.
    #[must_use]
    pub fn offered_share(&self) -> Option<f64> {
        let offered = self.made.saturating_add(self.held_back);
        let due = offered.saturating_add(self.missed);
        (due > 0).then(|| offered as f64 / due as f64)
    }
}

/// Quantiles of times that nodes told in steps: upper bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// How many.
    pub count: u64,
    /// Half took at most this.
    #[serde(with = "micros")]
    pub p50: Duration,
    /// 95 of 100.
    #[serde(with = "micros")]
    pub p95: Duration,
    /// 99 of 100.
    #[serde(with = "micros")]
    pub p99: Duration,
}

/// What a shard's blocks held over the soak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Blocks that told what they hold.
    pub told: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Receipts of other shards that they executed.
    pub receipts: u64,
    /// Blocks without a transaction.
    pub empty: u64,
    /// First blocks of epochs: the time from the last block of the epoch before.
    pub boundaries: Intervals,
    /// The load generators of its nodes.
    pub load: LoadView,
}

/// A form of log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateView {
    /// The message, with what varies as `<*>`.
    pub text: String,
    /// Level of its first line.
    pub level: String,
    /// The node that said it first.
    pub node: NodeName,
    /// Lines of it that were counted one by one.
    pub lines: u64,
    /// It came all the time, in some shard.
    pub regular: bool,
    /// It came for the first time in the soak.
    pub new: bool,
}
